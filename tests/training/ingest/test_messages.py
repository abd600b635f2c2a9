from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.core.errors import DataError
from recsys.core.schema import EVENTS, MESSAGES
from recsys.data.dataset import load_dataset
from training.ingest.ingest import IngestConfig
from training.ingest.messages import split_messages, with_clicks
from training.ingest.raw_table import numbered

SENT: dict[str, Any] = {"user_id": "u", "event": "message_sent", "timestamp": "2024-05-02T08:00:00Z", "message_id": "m"}
CLICK = SENT | {"event": "message_clicked", "timestamp": "2024-05-02T09:00:00Z", "recommendation_id": "r"}
Write = Callable[[list[dict[str, Any]]], Path]


def test_messages_in_the_events_file_become_their_own_table(run: Any, events_file: Write, good: dict[str, Any]) -> None:
    report, out = run(events=events_file([good, SENT, CLICK | {"item_id": "i"}, CLICK]))
    messages = pl.read_parquet(out / "messages.parquet")
    assert messages.schema == pl.Schema(MESSAGES)
    assert messages["event"].to_list() == ["message_sent", "message_clicked", "message_clicked"]
    events = pl.read_parquet(out / "events.parquet").select("item_id", "event", "recommendation_id")
    assert events.rows() == [("i", "purchase", None), ("i", "select_item", "r")]
    assert report.tables["messages"].kept == 3
    assert report.info.rows == {"events": 2, "messages": 3}
    assert len(load_dataset(out).events) == 2


def test_a_file_of_messages(run: Any, events_file: Write, good: dict[str, Any], tmp_path: Path) -> None:
    rows = [
        SENT | {"item_ids": "a|b"},
        SENT | {"event": "opened"},
        SENT | {"user_id": None},
        SENT | {"message_id": "n"},
    ]
    path = tmp_path / "messages.csv"
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    report, out = run(events=events_file([good]), messages=path)
    assert pl.read_parquet(out / "messages.parquet")["item_ids"].to_list() == [["a", "b"], None]
    assert report.tables["messages"].reasons == {"event is not a known name": 1, "user_id is empty": 1}


def test_a_message_that_is_reported_twice_counts_once(
    run: Any, events_file: Write, good: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "messages.csv"
    without_id = {name: value for name, value in SENT.items() if name != "message_id"}
    retried = SENT | {"timestamp": "2024-05-02T08:00:07Z", "received_at": "2024-05-02T08:00:08Z"}
    again = without_id | {"received_at": "2024-05-02T08:00:09Z"}
    rows = [SENT, without_id, retried, again, SENT | {"user_id": "v"}, CLICK]
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    report, out = run(events=events_file([good]), messages=path)
    assert len(pl.read_parquet(out / "messages.parquet")) == 4
    assert report.tables["messages"].reasons == {"duplicate message_id": 1, "duplicate row": 1}


def test_times_of_messages_have_the_bounds_of_events(run: Any, events_file: Write, good: dict[str, Any]) -> None:
    report, _ = run(events=events_file([good, SENT, SENT | {"timestamp": "2031-01-01T00:00:00Z"}]))
    assert report.tables["messages"].reasons == {"timestamp is in the future": 1}


def test_a_file_with_bad_messages_alone_is_named(run: Any, events_file: Write) -> None:
    with pytest.raises(DataError, match=r"messages: 1 of 1 row of events.csv .* is .user_id is empty"):
        run(IngestConfig(), events=events_file([SENT | {"user_id": None, "session_id": "s"}]))


def test_events_without_messages_stay() -> None:
    raw = {"events": numbered(pl.DataFrame({"name": ["purchase"], "item_id": ["i"]}))}
    assert split_messages(raw, {"name": "event"}) == raw
    assert split_messages({}, {}) == {}


def test_a_mapped_column_is_found() -> None:
    raw = {"events": numbered(pl.DataFrame({"name": ["purchase", "message_opened"], "item_id": ["i", None]}))}
    split = split_messages(raw, {"name": "event"})
    assert {table: part.frame["name"].to_list() for table, part in split.items()} == {
        "events": ["purchase"],
        "messages": ["message_opened"],
    }
    assert split["messages"].rows.to_list() == [2]


def test_only_clicks_with_an_item_are_events() -> None:
    assert with_clicks({"items": pl.DataFrame()}).keys() == {"items"}
    row = {"user_id": "u", "event": "message_opened", "item_id": "i", "channel": "push"}
    messages = pl.DataFrame([row, row | {"event": "message_clicked", "item_id": None}], schema=MESSAGES)
    assert "events" not in with_clicks({"messages": messages})
    clicked = with_clicks({"messages": messages.with_columns(event=pl.lit("message_clicked"))})["events"]
    assert clicked.schema == pl.Schema(EVENTS)
    assert clicked.select("user_id", "item_id", "event").rows() == [("u", "i", "select_item")]
    assert clicked["channel"].to_list() == [None], "a message is no channel that the shop sells in"
