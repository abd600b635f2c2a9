from __future__ import annotations

import itertools
from dataclasses import astuple, replace

import numpy as np
import pytest

from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.core.schema import EVENT_NAMES
from recsys.data.history import UserHistory
from recsys.fitting.engine import Engine
from recsys.models.temporal.kernels import DAYS, ORDERS
from recsys.moments.registry import MOMENTS
from recsys.pipeline.resolve import resolve
from recsys.retrieval.candidates import Scored, unite
from recsys.retrieval.query import Query
from recsys.retrieval.sources import CANDIDATE_SOURCES, due_source, popular_source, repeat_source
from recsys.retrieval.user_state import UserState
from tests.shop import PHONES, USERS_WITH_HISTORY, WEEKLY_ITEM, WEEKLY_SHOPPERS, moment

VIEW = EVENT_NAMES.index("view_item")
every_source = pytest.mark.parametrize("name", CANDIDATE_SOURCES)
SEEDS = (PHONES[0], "薯片-原")


def _query(engine: Engine, user_id: str | None, item_ids: tuple[str, ...] = (), as_of: int | None = None) -> Query:
    moment_ = engine.dataset_info.end if as_of is None else as_of
    request = Request("for_you", moment_, user_id=user_id, item_ids=item_ids)
    return resolve(engine, request, PLACEMENTS["for_you"]).query


def _found(*pairs: tuple[int, float]) -> Scored:
    return np.array([row for row, _ in pairs], np.int32), np.array([score for _, score in pairs], np.float32)


def test_candidates_are_a_union_and_scores_shares_of_the_best() -> None:
    found = {"a": _found((5, 2.0), (3, 1.0)), "b": _found((3, 4.0)), "c": _found()}
    candidates = unite(found, np.empty(0, np.int32), 9)
    assert candidates.item_idx.tolist() == [3, 5]
    assert {name: score.tolist() for name, score in candidates.scores.items()} == {
        "a": [0.5, 1.0],
        "b": [1.0, 0.0],
        "c": [0.0, 0.0],
    }
    kept = candidates.take(np.array([False, True]))
    assert kept.item_idx.tolist() == [5]
    assert kept.scores["a"].tolist() == [1.0]


@every_source
def test_a_source_gives_distinct_allowed_rows_with_positive_scores(name: str, shop_engine: Engine) -> None:
    allowed = np.arange(len(shop_engine.items)) % 3 != 0
    n_found = 0
    for user_id in (*USERS_WITH_HISTORY[::6], None):
        query = _query(shop_engine, user_id, SEEDS)
        for asked in (query, replace(query, allowed=None), replace(query, allowed=allowed)):
            rows, score = CANDIDATE_SOURCES[name](UserState(shop_engine, asked))
            assert rows.dtype == np.int32
            assert score.dtype == np.float32
            assert len(rows) == len(score) == len(np.unique(rows))
            assert np.isfinite(score).all()
            assert (score > 0).all()
            assert ((rows >= 0) & (rows < len(shop_engine.items))).all()
            if asked.allowed is not None:
                assert asked.allowed[rows].all()
            n_found += len(rows)
    assert n_found > 0 or name in ("touched", "alternatives", *MOMENTS), "nobody here looks without buying"


@every_source
def test_nothing_known_and_nothing_allowed_is_nothing_found(name: str, shop_engine: Engine) -> None:
    nothing = np.zeros(len(shop_engine.items), np.bool_)
    query = replace(_query(shop_engine, USERS_WITH_HISTORY[20], SEEDS), allowed=nothing)
    assert len(CANDIDATE_SOURCES[name](UserState(shop_engine, query))[0]) == 0
    if name not in ("popular", "popular_by_hour", "trending", "first_order"):
        assert len(CANDIDATE_SOURCES[name](UserState(shop_engine, _query(shop_engine, None)))[0]) == 0


@every_source
def test_asking_changes_no_model(name: str, shop_engine: Engine) -> None:
    arrays = (shop_engine.popularity.share, shop_engine.timeofday.lift, shop_engine.hybrid.similar_score)
    before = [np.array(array) for array in arrays]
    CANDIDATE_SOURCES[name](UserState(shop_engine, _query(shop_engine, USERS_WITH_HISTORY[20], SEEDS)))
    for old, new in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_was_bought_is_scored_by_days_and_orders_since(shop_engine: Engine) -> None:
    """The reference is the sum itself, from the shopper's own events and the steps of the model."""
    kernels = shop_engine.repeat.kernels
    query = _query(shop_engine, WEEKLY_SHOPPERS[0])
    rows, score = repeat_source(UserState(shop_engine, replace(query, allowed=None)))
    bought = query.history.of_type(shop_engine.dataset_info.target_event)
    expected: dict[int, float] = dict.fromkeys(bought.item_idx.tolist(), 0.0)
    begun = [basket for basket, _ in itertools.groupby(bought.basket_idx.tolist())]
    for item, when, basket in zip(*(each.tolist() for each in astuple(bought)[:2]), bought.basket_idx, strict=True):
        curve = kernels.curves[kernels.curve_of[item]]
        day = sum(first <= (query.now - when) / 86_400 for first in DAYS) - 1
        order = len(DAYS) + sum(first <= len(begun) - 1 - begun.index(basket) for first in ORDERS) - 1
        expected[item] += float(kernels.height[item] * (curve[day] + curve[order]))
    assert dict(zip(rows.tolist(), score.tolist(), strict=True)) == pytest.approx(expected, rel=1e-5)


def test_a_weekly_item_is_due_a_week_on(shop_engine: Engine) -> None:
    row = shop_engine.items.row(WEEKLY_ITEM)
    last = moment(108, 12)

    def is_due(days: float) -> bool:
        as_of = last + int(days * 86_400)
        query = _query(shop_engine, WEEKLY_SHOPPERS[1], as_of=as_of)
        history = query.history.take((query.history.timestamp <= last) | (query.history.item_idx != row))
        return row in due_source(UserState(shop_engine, replace(query, history=history)))[0]

    assert [is_due(days) for days in (0.1, 2, 6.5, 8, 40)] == [False, False, True, True, False]


def test_the_best_sellers_come_first(shop_engine: Engine) -> None:
    rows, _ = popular_source(UserState(shop_engine, replace(_query(shop_engine, None), allowed=None)))
    assert (np.diff(shop_engine.popularity.share[rows]) <= 0).all()
    assert len(rows) == len(shop_engine.items)


def test_what_was_looked_at_and_not_bought_is_a_candidate(shop_engine: Engine) -> None:
    query = _query(shop_engine, USERS_WITH_HISTORY[0])
    bought, looked_at = int(query.history.item_idx[0]), int(_unseen(shop_engine, query))
    views = query.history.take(np.array([0, 0]))
    views = replace(views, item_idx=np.array([bought, looked_at], np.int32), event_type=np.full(2, VIEW, np.int8))
    columns = {name: np.concatenate([column, vars(views)[name]]) for name, column in vars(query.history).items()}
    state = UserState(shop_engine, replace(query, history=UserHistory(**columns)))
    rows, score = CANDIDATE_SOURCES["touched"](state)
    assert rows.tolist() == [looked_at]
    assert score[0] > 0


def _unseen(engine: Engine, query: Query) -> int:
    return next(row for row in range(len(engine.items)) if row not in query.history.item_idx)
