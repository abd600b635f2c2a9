from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import EVENT_NAMES
from recsys.eventlog.identities import Identities
from recsys.eventlog.store import HistoryColumns, StoredEvent
from recsys.fitting.engine import Engine
from recsys.live.catalog_overlay import CatalogOverlay
from recsys.live.live_events import LiveEvents
from recsys.live.user_profiles import UserProfiles
from tests.shop import NEW_YORKER, WEEKLY_ITEM, moment

NOW = moment(121, 12)


class Reader:
    """Live events of an engine, and the numbers of those that were set aside."""

    def __init__(self, engine: Engine) -> None:
        self.aside: list[int] = []
        self.identities, self.profiles = Identities(), UserProfiles(engine)
        catalog = CatalogOverlay(engine, lambda *_: None)
        self.events = LiveEvents(
            engine, catalog, self.identities, self.profiles, lambda seq, *_: self.aside.append(seq)
        )

    def seqs(self, key: str) -> list[int]:
        buffer = self.events.of(key)
        return [] if buffer is None else buffer["seq"].tolist()


def event(seq: int, user_id: Any = "u", **columns: Any) -> StoredEvent:
    body = {"item_id": WEEKLY_ITEM, "event": "purchase"} | columns
    return StoredEvent(seq, f"e{seq}", NOW + seq, HistoryColumns(user_id=user_id, **body))


def test_only_acts_on_items_of_the_catalog_are_kept(shop_engine: Engine) -> None:
    reader = Reader(shop_engine)
    odd = (
        {"event": "view_item_list"},
        {"event": "unheard_of"},
        {"event": "message_sent"},
        {"event": "message_opened"},
        {"event": "message_clicked", "item_id": None},
        {"item_id": "unknown"},
        {"item_id": 7},
        {"user_id": None},
    )
    changed = reader.events.apply([event(n, **each) for n, each in enumerate(odd, 1)] + [event(9)])
    assert (changed, reader.seqs("u"), reader.aside) == ({"u": 9}, [9], [])
    assert reader.events.apply([]) == {}


def test_erased_events_stay_away(shop_engine: Engine) -> None:
    reader = Reader(shop_engine)
    reader.identities.erase("u", NOW + 2)
    reader.events.apply([event(1), event(2), event(3)])
    assert reader.seqs("u") == [2, 3]
    reader.events.drop_until("u", 2)
    assert reader.seqs("u") == [3]


def test_a_click_in_a_message_is_one_of_its_item(shop_engine: Engine) -> None:
    reader = Reader(shop_engine)
    reader.events.apply([event(1, event="message_clicked"), event(2, event="select_item")])
    buffer = reader.events.of("u")
    assert buffer is not None
    assert buffer["event_type"].tolist() == [EVENT_NAMES.index("select_item")] * 2


BAD: Sequence[dict[str, Any]] = (
    {"user_id": []},
    {"user_id": 7},
    {"event": {}},
    {"quantity": "2"},
    {"basket_id": 5},
)


@given(st.lists(st.sampled_from([None, *range(len(BAD))]), max_size=12))
def test_what_cannot_be_encoded_is_set_aside_alone(shop_engine: Engine, kinds: Sequence[int | None]) -> None:
    reader = Reader(shop_engine)
    reader.events.apply([event(n, **({} if kind is None else BAD[kind])) for n, kind in enumerate(kinds, 1)])
    assert reader.seqs("u") == [n for n, kind in enumerate(kinds, 1) if kind is None]
    assert reader.aside == [n for n, kind in enumerate(kinds, 1) if kind is not None]


@pytest.mark.parametrize("part", [1, 3, 100])
def test_events_in_parts_of_any_size_are_those_of_one_part(shop_engine: Engine, part: int) -> None:
    users, draw = ("u", "v", NEW_YORKER), random.Random(part)
    events = [event(seq, draw.choice(users), session_id=draw.choice([None, "s"])) for seq in range(1, 60)]
    whole, parts = Reader(shop_engine), Reader(shop_engine)
    whole.events.apply(events)
    for start in range(0, len(events), part):
        parts.events.apply(events[start : start + part])
    for user in users:
        one, other = whole.events.of(user), parts.events.of(user)
        assert one is not None
        assert other is not None
        assert one.tobytes() == other.tobytes()


def test_a_user_who_moves_has_other_hours(shop_engine: Engine) -> None:
    reader = Reader(shop_engine)
    reader.events.apply([event(1)])
    before = reader.events.of("u")
    reader.events.move("u", "America/New_York")
    after = reader.events.of("u")
    assert before is not None
    assert after is not None
    assert before["hour"][0] != after["hour"][0]
