from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import MESSAGES
from recsys.data.message_repeats import distinct_messages, message_repeats

AT = datetime(2026, 5, 1, 8, tzinfo=UTC)
SENT: dict[str, Any] = {"user_id": "u", "event": "message_sent", "timestamp": AT, "channel": "push", "item_ids": ["a"]}


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=MESSAGES)


@pytest.mark.parametrize("event", ["message_sent", "message_opened", "message_clicked"])
@pytest.mark.parametrize(
    ("first", "second", "is_repeat"),
    [
        ({}, {"received_at": AT}, True),
        ({}, {"timestamp": AT + timedelta(seconds=1)}, False),
        ({}, {"item_ids": ["b"]}, False),
        ({"event_id": "e"}, {"event_id": "e", "timestamp": AT + timedelta(days=9)}, True),
        ({"event_id": "e"}, {"event_id": "f"}, False),
        ({"message_id": "m"}, {"message_id": "m", "timestamp": AT + timedelta(hours=3)}, True),
        ({"message_id": "m", "event_id": "e"}, {"message_id": "m", "timestamp": AT + timedelta(hours=3)}, True),
        ({"message_id": "m"}, {"message_id": "m", "event_id": "e"}, True),
        ({"message_id": "m"}, {"message_id": "m", "timestamp": AT + timedelta(days=7)}, False),
        ({"message_id": "m"}, {"message_id": "n"}, False),
        ({"message_id": "m"}, {"message_id": "m", "user_id": "v"}, False),
        ({"message_id": "m"}, {"message_id": "m", "channel": "email"}, False),
        ({"message_id": "m", "item_id": "a"}, {"message_id": "m", "item_id": "b"}, False),
    ],
)
def test_what_is_reported_twice(event: str, first: dict, second: dict, is_repeat: bool) -> None:
    rows = table(SENT | {"event": event} | first, SENT | {"event": event} | second)
    assert len(distinct_messages(rows)) == (1 if is_repeat else 2)
    assert len(distinct_messages(table(SENT | first, SENT | {"event": event} | second))) == (
        1 if (is_repeat and event == "message_sent") or first.get("event_id") == second.get("event_id") == "e" else 2
    )


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from("uv"),
            "event": st.sampled_from(["message_sent", "message_opened"]),
            "timestamp": st.sampled_from([AT, AT + timedelta(hours=1), AT + timedelta(days=1)]),
            "message_id": st.sampled_from([None, "m", "n"]),
            "event_id": st.sampled_from([None, "e", "f"]),
            "item_ids": st.sampled_from([None, [], ["a"]]),
        }
    ),
    max_size=8,
)


@given(ROWS)
def test_a_table_that_is_delivered_again_adds_nothing(rows: list[dict[str, Any]]) -> None:
    once = distinct_messages(table(*rows))
    assert distinct_messages(once).equals(once)
    assert distinct_messages(pl.concat([once, once.with_columns(received_at=pl.lit(AT))])).equals(once)
    found = message_repeats(table(*rows))
    assert found.sum_horizontal().cast(int).max() in (None, 0, 1)


def test_no_message() -> None:
    assert distinct_messages(table()).is_empty()
