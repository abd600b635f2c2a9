from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.data.dataset import DAY_S
from recsys.fitting.engine import Engine
from recsys.pipeline.resolve import resolve
from recsys.ranking.features import FEATURES, PurchaseRuns, features
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.sources import generate
from recsys.retrieval.user_state import UserState
from tests.shop import ODD_USERS, USERS_WITH_HISTORY

FOR_YOU = PLACEMENTS["for_you"]


def _asked(engine: Engine, user_id: str, as_of: int | None = None) -> tuple[UserState, Candidates]:
    request = Request("for_you", engine.dataset_info.end if as_of is None else as_of, user_id=user_id)
    state = resolve(engine, request, FOR_YOU)
    return state, generate(FOR_YOU.sources, state)


@pytest.mark.parametrize("user_id", [*USERS_WITH_HISTORY[::5], *ODD_USERS, "a stranger"])
def test_own_columns_equal_counts_by_loops(shop_engine: Engine, user_id: str) -> None:
    """Every purchase gone through one by one."""
    state, candidates = _asked(shop_engine, user_id)
    table = dict(zip(FEATURES, features(state, candidates).T, strict=True))
    bought = state.query.history.of_type(shop_engine.dataset_info.target_event)
    baskets: dict[int, int] = {}
    for basket, when in zip(bought.basket_idx.tolist(), bought.timestamp.tolist(), strict=True):
        baskets.setdefault(basket, when)
    assert (table["shopper_baskets"] == len(baskets)).all()
    for place, row in enumerate(candidates.item_idx.tolist()):
        times: dict[int, int] = {}
        for item, basket, when in zip(bought.item_idx, bought.basket_idx.tolist(), bought.timestamp, strict=True):
            if item == row:
                times.setdefault(basket, int(when))
        ages = sorted(((state.query.now - when) / DAY_S for when in times.values()), reverse=True)
        assert table["own_baskets"][place] == len(ages)
        assert table["own_28d"][place] == sum(age < 28 for age in ages)
        np.testing.assert_allclose(table["own_decayed_30d"][place], sum(np.exp(-age / 30) for age in ages), rtol=1e-5)
        idle = ages[-1] if ages else np.nan
        np.testing.assert_allclose(table["own_idle_days"][place], idle, rtol=1e-5)
        gap = (ages[0] - ages[-1]) / (len(ages) - 1) if len(ages) > 1 else np.nan
        np.testing.assert_allclose(table["own_gap_days"][place], gap, rtol=1e-4)
        gaps = -np.diff(ages)
        deviation = gaps.std() / max(gaps.mean(), 0.5) if len(ages) > 2 else np.nan
        np.testing.assert_allclose(table["own_gap_deviation"][place], deviation, rtol=1e-3, atol=2e-2)


def test_features_use_no_later_events(shop_engine: Engine) -> None:
    """A request in the past sees the history of then."""
    past = shop_engine.dataset_info.end - 40 * DAY_S
    state, candidates = _asked(shop_engine, USERS_WITH_HISTORY[0], past)
    idle = features(state, candidates)[:, FEATURES.index("own_idle_days")]
    assert (idle[~np.isnan(idle)] >= 0).all()
    assert len(state.query.history) < len(_asked(shop_engine, USERS_WITH_HISTORY[0])[0].query.history)


def test_columns_are_named_once_and_are_never_infinite(shop_engine: Engine) -> None:
    assert len(set(FEATURES)) == len(FEATURES)
    for user_id in (*USERS_WITH_HISTORY, *ODD_USERS):
        state, candidates = _asked(shop_engine, user_id)
        table = features(state, candidates)
        assert table.shape == (len(candidates.item_idx), len(FEATURES))
        assert not np.isinf(table).any()
        assert not np.isnan(table[:, [FEATURES.index(name) for name in ("als", "together", "own_baskets")]]).any()


Line = tuple[int, int]
LINES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=25).map(
    lambda lines: sorted(lines, key=lambda line: line[1])
)


def runs_of(lines: list[Line]) -> PurchaseRuns:
    """Group purchases, (item, basket) in order of time; a basket's number is its time."""
    item, basket = (np.array(column, np.int32) for column in (zip(*lines, strict=True) if lines else ((), ())))
    bought = SimpleNamespace(item_idx=item, basket_idx=basket, timestamp=basket.astype(np.int64))
    return PurchaseRuns.of_items(cast(Any, SimpleNamespace(bought=bought)))


def test_runs_by_hand() -> None:
    """Item 3 is bought in baskets 0 and 2 and item 1 twice in basket 1."""
    runs = runs_of([(3, 0), (1, 1), (1, 1), (3, 2)])
    assert runs.label.tolist() == [1, 3]
    assert runs.count.tolist() == [1, 2]
    assert runs.timestamp.tolist() == [1, 0, 2]
    assert runs.summed(runs.timestamp.astype(np.float64)).tolist() == [1, 2]
    spread = runs.spread([runs.count], np.array([3, 0, 1], np.int32), [-1.0])
    assert spread.tolist() == [[2], [-1], [1]]


def test_runs_by_type_by_hand() -> None:
    """Items 0 and 2 are of type 5, item 1 of none."""
    runs = runs_of([(2, 0), (1, 1), (0, 2)]).by(np.array([5, -1, 5], np.int32))
    assert runs.label.tolist() == [5]
    assert runs.timestamp.tolist() == [0, 2]


@given(LINES)
def test_runs_equal_sets_of_baskets(lines: list[Line]) -> None:
    runs = runs_of(lines)
    baskets = {item: sorted({basket for each, basket in lines if each == item}) for item, _ in lines}
    assert runs.label.tolist() == sorted(baskets)
    assert len(runs) == len(baskets)
    found = [runs.timestamp[start : start + n].tolist() for start, n in zip(runs.starts, runs.count, strict=True)]
    assert found == [baskets[item] for item in sorted(baskets)]
    assert runs.line.tolist() == [item for item in sorted(baskets) for _ in baskets[item]]
