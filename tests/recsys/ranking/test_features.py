from __future__ import annotations

import numpy as np
import pytest

from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.data.dataset import DAY_S
from recsys.fitting.engine import Engine
from recsys.pipeline.resolve import resolve
from recsys.ranking.features import FEATURES, features
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
