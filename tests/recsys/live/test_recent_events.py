from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import CLICKED
from recsys.data.history import UserHistory
from recsys.eventlog.store import HistoryColumns, StoredEvent
from recsys.live.recent_events import EventBuffer, EventEncoder, RecentEvents, joined
from tests.shop import TIMEZONE, moment

CLOCKWORK = EventEncoder(TIMEZONE, has_hours=True, mean_rating=4.0)


def stored(seq: int, at: float, **body: object) -> StoredEvent:
    return StoredEvent(seq, None, at, HistoryColumns(**body))


def rows(*events: StoredEvent, key: str = "u", timezone: str | None = None) -> EventBuffer:
    n = len(events)
    return CLOCKWORK.encode(events, [key] * n, [3] * n, [7] * n, [timezone] * n)


def row(seq: int, at: float, **body: object) -> EventBuffer:
    return rows(stored(seq, at, **body))


def event(seq: int, at: float, **body: object) -> np.void:
    recent = RecentEvents(1)
    recent.add(["u"], row(seq, at, **body))
    buffer = recent.of("u")
    assert buffer is not None
    assert buffer.tobytes() == row(seq, at, **body).tobytes()
    return buffer[0]


def test_an_event_has_the_numbers_of_the_tables() -> None:
    read = event(1, moment(3, 9.5), value=2.0, basket_id="b")
    assert (read["item_idx"], read["event_type"], read["hour"], read["rating_weight"]) == (3, 7, 9, 0.5)
    assert event(1, 0.0, value=100.0)["rating_weight"] == 2.0, "cut as in the tables"
    assert event(1, 0.0)["rating_weight"] == 1.0
    [plain] = EventEncoder(TIMEZONE, False, 0.0).encode([stored(1, 0.0, value=3.0)], ["u"], [0], [0], [None])
    assert (plain["rating_weight"], plain["event_type"], plain["hour"]) == (1.0, 0, -1)


def test_no_event_is_no_row() -> None:
    assert rows().shape == (0,)


@given(
    st.lists(
        st.builds(
            stored,
            st.integers(1, 2**62),
            st.floats(0, 4e9),
            basket_id=st.none() | st.text(),
            session_id=st.none() | st.text(),
            value=st.none() | st.floats(),
            quantity=st.none() | st.floats() | st.integers(),
            price=st.none() | st.floats() | st.text(max_size=1) | st.just(10**400),
            channel=st.sampled_from([None, "app", "web"]),
            event=st.sampled_from(["view_item", CLICKED]),
        ),
        max_size=5,
    ),
    st.sampled_from([None, "America/New_York"]),
)
def test_events_together_are_encoded_as_each_alone(events: Sequence[StoredEvent], timezone: str | None) -> None:
    rows(stored(1, 0.0, channel="app"), stored(2, 0.0, channel="web"))  # known from then on
    alone = b"".join(rows(each, timezone=timezone).tobytes() for each in events)
    assert rows(*events, timezone=timezone).tobytes() == alone


def test_the_channel_of_a_message_is_none_of_the_shop() -> None:
    encoder = EventEncoder(TIMEZONE, True, 0.0, channels=("app",))
    events = [stored(1, 0.0, channel="app"), stored(2, 0.0, channel="push", event=CLICKED), stored(3, 0.0)]
    buffer = encoder.encode(events, ["u"] * 3, [0] * 3, [0] * 3)
    assert (buffer["channel"].tolist(), encoder.channels) == ([0, -1, -1], ("app",))


@pytest.mark.parametrize(("quantity", "kept"), [(2, 2.0), (0.5, 0.5), (1e300, math.inf), (-1e300, -math.inf)])
def test_a_quantity_of_any_size_is_kept_in_32_bits(quantity: float, kept: float) -> None:
    assert event(1, 0.0, quantity=quantity)["quantity"] == kept
    assert math.isnan(event(1, 0.0)["quantity"])


@pytest.mark.parametrize("body", [{"quantity": "2"}, {"value": []}, {"quantity": 10**400}])
def test_an_event_of_other_types_cannot_be_encoded(body: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        rows(stored(1, 0.0), stored(2, 0.0, **body))


def test_a_basket_is_the_basket_else_the_session_else_the_day() -> None:
    day, night = moment(3, 9), moment(3, 23)
    assert event(1, day, basket_id="b")["basket_idx"] == event(2, night, basket_id="b")["basket_idx"]
    assert event(1, day, session_id="b")["basket_idx"] == event(2, night, session_id="b")["basket_idx"]
    assert event(1, day)["basket_idx"] == event(2, night)["basket_idx"] != event(3, night + 7200)["basket_idx"]
    numbers = {int(event(1, day, **who)["basket_idx"]) for who in ({}, {"basket_id": "b"}, {"session_id": "b"})}
    assert len(numbers) == 3


def test_another_zone_moves_hours_and_days() -> None:
    buffer = rows(stored(1, moment(3, 9)), stored(2, moment(3, 23), basket_id="b"))
    moved = CLOCKWORK.moved(buffer, "America/New_York", "u")
    assert moved["hour"].tolist() == [20, 10]
    assert moved["basket_idx"][0] != buffer["basket_idx"][0]
    assert moved["basket_idx"][1] == buffer["basket_idx"][1]
    assert buffer["hour"].tolist() == [9, 23], "the buffer that was stays as it is"


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), min_size=1, max_size=30),
    st.integers(1, 6),
    st.integers(1, 7),
)
def test_runs_are_sorted_and_bounded(events: Sequence[tuple[str, int]], max_events: int, part: int) -> None:
    """The reference sorts all events of a user and keeps the latest."""
    recent = RecentEvents(max_events)
    for seq, (key, at) in enumerate(events, 1):
        recent.add([key], row(seq, float(at)))
        if seq % part == 0:
            recent.of(key)
    for key in "ab":
        wanted = sorted((at, seq) for seq, (who, at) in enumerate(events, 1) if who == key)[-max_events:]
        buffer = recent.of(key)
        found = [] if buffer is None else list(zip(buffer["at"].tolist(), buffer["seq"].tolist(), strict=True))
        assert found == wanted
    assert len(recent) == len({key for key, _ in events})


def test_a_user_with_very_many_events_keeps_the_latest() -> None:
    recent, n = RecentEvents(50), 1000
    for seq in range(1, n + 1, 7):
        part = [stored(each, float(each % 500)) for each in range(seq, min(seq + 7, n + 1))]
        recent.add(["u"] * len(part), rows(*part))
    buffer = recent.of("u")
    assert buffer is not None
    wanted = sorted((each % 500, each) for each in range(1, n + 1))[-50:]
    assert list(zip(buffer["at"].tolist(), buffer["seq"].tolist(), strict=True)) == wanted


def test_what_is_late_takes_its_place_behind_the_bundles_own() -> None:
    def of(*timestamps: int) -> UserHistory:
        n = len(timestamps)
        empty = (np.zeros(n, np.int8), np.zeros(n, np.int32), np.zeros(n, np.int8), *[np.ones(n, np.float32)] * 2)
        return UserHistory(np.zeros(n, np.int32), np.array(timestamps, np.int64), *empty)

    buffer = rows(stored(1, 1.5), stored(2, 2.0), stored(3, 9.0))
    history = joined([of(1, 2, 3)], [buffer], 100)
    assert history.timestamp.tolist() == [1, 1, 2, 2, 3, 9]
    assert history.item_idx.tolist() == [0, 3, 0, 3, 0, 3]
    assert joined([of(1, 2, 3)], [buffer], 2).timestamp.tolist() == [3, 9]
    assert joined([of(5), of(2)], [], 9).timestamp.tolist() == [2, 5]
    assert len(joined([of()], [], 9)) == 0
