"""What a request means, on an engine of eight items."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from recsys.core.errors import RequestError
from recsys.core.placements import PLACEMENTS, Pin, Placement
from recsys.core.request import MAX_LIMIT, Request
from recsys.core.schema import USERS
from recsys.data.history import History, UserHistory
from recsys.fitting.engine import Engine
from recsys.pipeline.recommend import recommend_with_trace
from recsys.pipeline.resolve import VIEWED, find_placement, resolve, resolve_request, user_attributes
from recsys.rules.masks import Masks
from tests.recsys.tiny_engine import N_ITEMS, NOW, history, tiny_engine
from tests.shop import table

EVENTS = history((0, 3), (2, 1))
USERS_TABLE = table(
    [
        {"user_id": "u", "timezone": "Asia/Shanghai", "tags": ["gold"]},
        {"user_id": "shy", "personalization": False},
        {"user_id": "v"},
    ],
    USERS,
)
FOR_YOU, POPULAR = PLACEMENTS["for_you"], PLACEMENTS["popular"]


def engine_of(**changes: Any) -> Engine:
    """Users `u` and `shy` have bought items 0 and 2; `v` nothing."""
    events = UserHistory(*(np.concatenate([column, column]) for column in vars(EVENTS).values()))
    return tiny_engine(users_table=USERS_TABLE, history=History.grouped(np.array([0, 2, 4, 4]), events), **changes)


ENGINE = engine_of()


def ask(placement: str = "for_you", **fields: Any) -> Request:
    return Request(placement, NOW, **fields)


@pytest.mark.parametrize(
    ("request_", "field", "says"),
    [
        (ask("nothing"), "placement", "'nothing' is not a placement: choose from complementary"),
        (ask(limit=0), "limit", "limit is 0, out of range"),
        (ask(limit=MAX_LIMIT + 1), "limit", f"choose 1 to {MAX_LIMIT}"),
        (ask("similar"), "item_ids", "'similar' wants at least one item"),
        (ask(filter="price < 9"), "filter", "the filter is text"),
    ],
)
def test_a_request_that_cannot_be_answered_names_its_field(request_: Request, field: str, says: str) -> None:
    with pytest.raises(RequestError, match=says) as raised:
        find_placement(request_)
    assert raised.value.field == field


def test_a_request_overrides_the_placement() -> None:
    assert find_placement(ask(limit=1)) is FOR_YOU
    assert find_placement(ask(limit=MAX_LIMIT)) is FOR_YOU
    assert find_placement(ask(diversity=0.5)) == replace(FOR_YOU, diversity=0.5)
    assert find_placement(ask(tail_share=0.0)) == replace(FOR_YOU, tail_share=0.0)
    mine = replace(FOR_YOU, name="mine", diversity=0.25)
    assert find_placement(ask("mine", tail_share=0.5), {"mine": mine}) == replace(mine, tail_share=0.5)


def test_a_known_user_has_rows_a_history_and_a_local_hour() -> None:
    """It is 22:13 in UTC: 6 h of the next day in Shanghai."""
    query = resolve(ENGINE, ask(user_id="u", limit=7, n_lookahead=3), FOR_YOU).query
    assert (query.user_idx, query.user_key, query.timezone) == (0, "u", "Asia/Shanghai")
    assert (query.now, query.limit, query.n_lookahead) == (NOW, 7, 3)
    assert (query.hour, query.bucket) == (6, 0)
    assert query.day == datetime.fromtimestamp(NOW, UTC).toordinal() + 1
    assert query.history.item_idx.tolist() == [0, 2]
    assert (query.allowed, query.seeds.tolist(), query.missing_ids) == (None, [], ())


def test_later_events_are_not_seen() -> None:
    before = replace(ask(user_id="u"), as_of=NOW - 2 * 86_400)
    assert resolve(ENGINE, before, FOR_YOU).query.history.item_idx.tolist() == [0]


@pytest.mark.parametrize("user", [{}, {"user_id": "stranger"}, {"visitor_id": "stranger"}, {"session_id": "s"}])
def test_of_strangers_nothing_is_known(user: dict[str, str]) -> None:
    query = resolve(ENGINE, ask(**user), FOR_YOU).query
    assert (query.user_idx, query.user_key, len(query.history), query.timezone) == (-1, "", 0, "UTC")
    assert (query.hour, query.bucket) == (22, 1)


def test_who_wants_no_personal_lists_has_no_history() -> None:
    query = resolve(ENGINE, ask(user_id="shy"), FOR_YOU).query
    assert len(query.history) == 0


def test_a_visitor_is_used_where_there_is_no_user() -> None:
    assert resolve(ENGINE, ask(visitor_id="u"), FOR_YOU).query.user_idx == 0
    assert resolve(ENGINE, ask(user_id="v", visitor_id="u"), FOR_YOU).query.user_idx == 2


def test_seeds_are_rows_and_unknown_ones_are_named() -> None:
    query = resolve(ENGINE, ask("similar", item_ids=("c", "nobody", "a")), PLACEMENTS["similar"]).query
    assert (query.seeds.tolist(), query.seeds.dtype) == ([2, 0], np.int32)
    assert query.missing_ids == ("nobody",)


def test_items_of_the_request_stand_for_the_history_of_a_stranger() -> None:
    asked = ask(item_ids=("c", "a"))
    viewed = resolve(ENGINE, asked, FOR_YOU)
    assert viewed.query.history.item_idx.tolist() == [2, 0]
    assert viewed.query.history.timestamp.tolist() == [NOW - 1, NOW]
    assert set(viewed.query.history.event_type.tolist()) == {VIEWED}
    assert viewed.weighted_history[1].tolist() == pytest.approx([0.15, 0.15])
    assert len(resolve(ENGINE, replace(asked, placement="popular"), POPULAR).query.history) == 0
    known = resolve(ENGINE, replace(asked, user_id="u"), FOR_YOU).query.history
    assert known.item_idx.tolist() == [0, 2, 2, 0], "the session follows what is known of the user"
    assert (np.diff(known.timestamp) >= 0).all()
    assert len(resolve(ENGINE, ask(item_ids=("nobody",)), FOR_YOU).query.history) == 0


def test_the_pool_the_filter_and_exclusions_narrow_together() -> None:
    """Item d is not available, a and b are the head, and variants."""
    some = replace(ENGINE.catalog, available=np.arange(N_ITEMS) != 3)
    engine = engine_of(catalog=some)

    def rows(placement: Placement, **fields: Any) -> list[int]:
        mask = resolve(engine, ask(**fields), placement).query.allowed
        assert mask is not None
        return np.flatnonzero(mask).tolist()

    tail = PLACEMENTS["long_tail"]
    late = Masks(0).compiled("item_id > 'b'", engine)
    assert rows(FOR_YOU) == [0, 1, 2, 4, 5, 6, 7]
    assert rows(tail) == [2, 4, 5, 6, 7]
    assert rows(FOR_YOU, exclude=("a", "h")) == [2, 4, 5, 6]
    assert rows(FOR_YOU, filter=late) == [2, 4, 5, 6, 7]
    assert rows(tail, filter=late, exclude=("c",)) == [4, 5, 6, 7]
    assert rows(replace(FOR_YOU, filter="item_id < 'd'")) == [0, 1, 2]


def test_filters_read_the_local_hour_the_weekday_and_the_user() -> None:
    """6 h on a Wednesday in Shanghai; what the request says of itself goes before."""

    def n_allowed(text: str, **fields: Any) -> int:
        mask = resolve(ENGINE, ask(user_id="u", **fields), replace(FOR_YOU, filter=text)).query.allowed
        assert mask is not None
        return int(mask.sum())

    assert n_allowed("context.local_hour = 6 AND context.weekday = 3") == N_ITEMS
    assert n_allowed("context.local_hour = 6", context={"local_hour": 7}) == 0
    assert n_allowed("has(user.tags, 'gold')") == N_ITEMS
    assert n_allowed("has(user.tags, 'silver')") == 0


def test_rules_of_the_placement_are_in_rows() -> None:
    placement = replace(FOR_YOU, pins=(Pin("c", 1),))
    assert resolve(ENGINE, ask(), placement).query.overrides.pins == ((2, 1),)
    found, state = resolve_request(ENGINE, ask("mine", user_id="u"), {"mine": placement})
    assert found is placement
    assert state.query.overrides.pins == ((2, 1),)
    assert state.engine is ENGINE


def test_attributes_are_those_of_the_users_table() -> None:
    assert user_attributes(ENGINE, ask(user_id="u"), None)["tags"] == ["gold"]
    assert not user_attributes(ENGINE, ask(user_id="stranger"), None)
    assert not user_attributes(ENGINE, ask(), None)


@pytest.mark.parametrize("name", ["diversity", "tail_share"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_an_override_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{name} is") as caught:
        find_placement(ask(**{name: value}))
    assert caught.value.field == name


def test_a_repeated_seed_counts_once_at_its_latest_position() -> None:
    state = resolve(ENGINE, ask(item_ids=("c", "a", "c", "nobody", "nobody")), PLACEMENTS["similar"])
    assert state.query.seeds.tolist() == [0, 2]
    assert state.query.missing_ids == ("nobody",)
    viewed = resolve(ENGINE, ask(item_ids=("c", "a", "c")), FOR_YOU)
    assert viewed.query.history.item_idx.tolist() == [2, 0, 2]


@pytest.mark.parametrize(("hour", "n"), [(17, 0), (18, 20), (19, 20), (20, 0)])
def test_outside_its_window_a_list_without_a_fallback_is_empty(shop_engine: Engine, hour: int, n: int) -> None:
    """The window is of the user's own clock: u010 lives in New York, the shop is in Shanghai."""
    theme = replace(FOR_YOU, name="theme", weekdays=(5,), hours=(18, 19), fallback="")
    as_of = int(datetime(2024, 6, 28, hour, 30, tzinfo=ZoneInfo("America/New_York")).timestamp())
    found = recommend_with_trace(shop_engine, Request("theme", as_of, user_id="u010"), placements={"theme": theme})
    assert len(found.recommendations.items) == n
    with_fallback = replace(theme, fallback="popular")
    request = Request("theme", as_of, user_id="u010")
    found = recommend_with_trace(shop_engine, request, placements={"theme": with_fallback})
    assert len(found.recommendations.items) == 20
    assert found.recommendations.fallback_used == (n == 0)


def test_a_relative_date_counts_from_the_moment_of_the_request() -> None:
    """Items of the tiny shop have no creation; `now()` itself is compared."""
    placement, masks = replace(FOR_YOU, filter="now() >= TIMESTAMP '2023-11-14T22:13:00Z'"), Masks()
    for as_of, n in ((1_699_999_979, 0), (1_699_999_980, N_ITEMS), (1_700_000_039, N_ITEMS)):
        request = Request("for_you", as_of, context={"now()": "2030-01-01"})
        allowed = resolve(ENGINE, request, placement, masks=masks).query.allowed
        assert allowed is not None
        assert int(allowed.sum()) == n
