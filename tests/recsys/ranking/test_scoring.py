"""Scores against the formulas in loops, on an engine of eight items; see `tests.recsys.tiny_engine`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.placements import Placement
from recsys.fitting.blend import Blend, Blends
from recsys.fitting.engine import Engine, Rankers
from recsys.fitting.ranker import NO_RANKER, Ranker
from recsys.ranking.features import FEATURES, features
from recsys.ranking.scoring import blend, contributions, ranker_of, score_of
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.user_state import UserState
from tests.recsys.tiny_engine import N_ITEMS, VIEW, f32, i32, state_of, tiny_engine

ENGINE = tiny_engine()
REPEAT_SHARE = 0.25
FOUND = {"repeat": f32(1, 0, 0, 0.5), "als": f32(0, 1, 0.25, 0.5), "popular": f32(0.5, 0, 1, 0)}
EVENTS = ((0, 1), (2, 30), (3, 2))


def candidates(scores: Mapping[str, np.ndarray]) -> Candidates:
    n = len(next(iter(scores.values())))
    return Candidates.of(np.arange(n, dtype=np.int32), scores, dict.fromkeys(scores, 1.0))


def placement(**fields: object) -> Placement:
    return Placement(**({"name": "mine", "anchor": "user", "sources": {"als": 1.0}} | fields))  # type: ignore[arg-type]


def test_one_source_is_multiplied_by_its_weight() -> None:
    parts = contributions(placement(sources={"als": 3.0}), state_of(*EVENTS), candidates({"als": f32(1, 0.5)}))
    assert parts.tolist() == [[3.0, 1.5]]
    assert parts.dtype == np.float64


def test_a_source_that_the_placement_does_not_weigh_counts_once() -> None:
    parts = contributions(placement(sources={}), state_of(), candidates({"als": f32(1, 0.5), "ease": f32(0, 1)}))
    assert parts.tolist() == [[1.0, 0.5], [0.0, 1.0]]


@pytest.mark.parametrize(("n_known", "weight"), [(0, 5.0), (1, 5.0), (3, 1 + 4 * 4 / 6), (5, 3.0)])
def test_what_everyone_buys_counts_the_more_the_less_is_known(n_known: int, weight: float) -> None:
    """Five times as much at one distinct item, looked at or bought, and half way to once at five."""
    state = state_of(*((item, 1, VIEW) for item in range(n_known)), *((0, 2) for _ in range(min(n_known, 1))))
    parts = contributions(placement(sources={"popular": 0.5}), state, candidates({"popular": f32(1), "als": f32(1)}))
    assert parts[:, 0].tolist() == pytest.approx([0.5 * weight, 1.0])


def test_what_comes_again_and_what_is_new_are_two_distributions() -> None:
    """`r = ¼`; by hand, with what taste says of what was bought lowered to `(r + .001) / (r + .1)`."""
    lowered = 0.251 / 0.35
    parts = contributions(
        placement(sources={"repeat": 2.0, "als": 1.0}),
        state_of(*EVENTS),
        candidates({"repeat": f32(1, 0, 0.5), "als": f32(0.5, 1, 0)}),
    )
    assert parts[0].tolist() == pytest.approx([2 * 0.25 * 2 / 3, 0, 2 * 0.25 / 3])
    taste = 0.5 * lowered + 1
    assert parts[1].tolist() == pytest.approx([0.75 * 0.5 * lowered / taste, 0.75 / taste, 0])


def test_repeats_alone_are_no_mixture() -> None:
    parts = contributions(placement(sources={"repeat": 2.0}), state_of(*EVENTS), candidates({"repeat": f32(1, 0.5)}))
    assert parts.tolist() == [[2.0, 1.0]]


def test_a_side_without_candidates_adds_nothing() -> None:
    for found in ({"repeat": f32(0, 0), "als": f32(1, 0)}, {"repeat": f32(1, 0), "als": f32(0, 0)}):
        parts = contributions(placement(), state_of(*EVENTS), candidates(found))
        assert np.isfinite(parts).all()
        assert parts.sum() == pytest.approx(1 - REPEAT_SHARE if found["als"].any() else REPEAT_SHARE)


def test_where_nothing_is_ever_bought_twice_it_is_still_listed_behind_all_others() -> None:
    engine = tiny_engine(repeat=replace(ENGINE.repeat, repeat_share=0.0))
    state = state_of(*EVENTS, engine=engine)
    score = contributions(placement(), state, candidates({"repeat": f32(1, 0), "als": f32(1, 0.1)})).sum(axis=0)
    assert 0 < score[0] < 0.2 * score[1]


SHARES = st.floats(0, 1, width=32)


@given(
    rows=st.lists(st.tuples(SHARES, SHARES, SHARES), min_size=1, max_size=8),
    weights=st.tuples(*[st.floats(0.1, 3)] * 3),
    share=st.floats(0, 1),
)
def test_contributions_are_those_of_a_loop(
    rows: list[tuple[float, float, float]], weights: tuple[float, float, float], share: float
) -> None:
    names = ("als", "repeat", "popular")
    found = {name: np.array([row[place] for row in rows], np.float32) for place, name in enumerate(names)}
    engine = replace(ENGINE, repeat=replace(ENGINE.repeat, repeat_share=share))
    dial = dict(zip(names, weights, strict=True))
    parts = contributions(placement(sources=dial, blend="next"), state_of(*EVENTS, engine=engine), candidates(found))
    dial["popular"] *= 1 + 4 * 4 / 6
    lowered = (share + 0.001) / (share + 0.1)
    raw = {
        name: [
            dial[name] * score * (lowered if found["repeat"][n] > 0 else 1)
            for n, score in enumerate(found[name].tolist())
        ]
        for name in names
    }
    taste = max(sum(raw["als"]) + sum(raw["popular"]), 1e-12)
    again = max(sum(raw["repeat"]), 1e-12)
    for place, name in enumerate(names):
        factor = dial["repeat"] * max(share, 0.02) / again if name == "repeat" else (1 - share) / taste
        assert parts[place].tolist() == pytest.approx([score * factor for score in raw[name]], rel=1e-9)


def score(
    placed: Placement, state: UserState, found: Mapping[str, np.ndarray], with_ranker: bool = False
) -> list[float]:
    return score_of(placed, state, candidates(found), with_ranker=with_ranker)[0].tolist()


def test_the_blend_is_the_sum_times_the_trend() -> None:
    """Trends are 1, 1, 4 and ¼."""
    taken = candidates(FOUND)
    parts = np.array([[1.0, 2, 3, 4], [1, 0, 0, 2], [0, 0, 0, 0.5]])
    assert blend(placement(), ENGINE, taken, parts).tolist() == [2, 2, 3, 6.5]
    assert blend(placement(trend_power=0.5), ENGINE, taken, parts).tolist() == [2, 2, 6, 3.25]


def test_the_hour_counts_by_its_power() -> None:
    """Lifts of the morning are ½, 1, 4 and 1; the shopper bought nothing, so that they are everyone's."""
    found = {"als": f32(1, 1, 1, 1)}
    assert score(placement(hour_power=2.0), state_of(), found) == pytest.approx([0.5**1.6, 1, 4**1.6, 1])
    assert score(placement(), state_of(), found) == [1, 1, 1, 1]


def test_the_tail_discount_divides_by_a_power_of_the_buyers() -> None:
    """30, 20, 16, 8, 4, 2, none and one buyer; none counts as one."""
    found = {"als": np.ones(N_ITEMS, np.float32)}
    expected = [n**-0.5 for n in (30, 20, 16, 8, 4, 2, 1, 1)]
    assert score(placement(tail_discount=0.5), state_of(), found) == pytest.approx(expected)


def test_all_dials_multiply() -> None:
    dials = placement(trend_power=1.0, hour_power=1.0, tail_discount=1.0)
    found = {"als": f32(1, 0.5, 0.25)}
    expected = [0.5**0.8 / 30, 0.5 / 20, 0.25 * 4 * 4**0.8 / 16]
    assert score(dials, state_of(), found) == pytest.approx(expected)


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    """One tree on the share of sales, so that candidates differ."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, len(FEATURES)))
    column = FEATURES.index("log_share")
    table[:, column] = rng.uniform(-30, 0, 400)
    settings = {"verbose": -1, "num_threads": 1, "num_leaves": 4, "min_data_in_leaf": 5, "seed": 0}
    truth = lightgbm.Dataset(table, table[:, column] > -2, feature_name=list(FEATURES), params=settings)
    booster = lightgbm.train(settings | {"objective": "regression", "learning_rate": 1.0}, truth, 2)
    return Ranker(booster.model_to_string(), slope=2.0, intercept=-1.0, hour_weight=0.5)


def ranked(ranker: Ranker) -> Engine:
    return tiny_engine(rankers=Rankers(next=ranker, new=replace(ranker, intercept=1.0)))


def test_a_ranker_orders_by_its_odds_told_as_a_probability(ranker: Ranker) -> None:
    state, found = state_of(*EVENTS, engine=ranked(ranker)), {"als": np.ones(N_ITEMS, np.float32)}
    raw = ranker.booster.predict(features(state, candidates(found)), num_threads=1)
    assert len(set(raw.tolist())) > 1
    for name, intercept in (("next", -1.0), ("new", 1.0)):
        expected = 1 / (1 + np.exp(-(2 * raw + intercept)))
        assert score(placement(ranker=name), state, found, with_ranker=True) == pytest.approx(expected.tolist())


def test_a_ranker_s_odds_are_turned_by_the_dials_and_its_own_weight_of_the_hour(ranker: Ranker) -> None:
    """The dials multiply odds, not probabilities."""
    state, found = state_of(*EVENTS, engine=ranked(ranker)), {"als": np.ones(N_ITEMS, np.float32)}
    rows = np.arange(N_ITEMS, dtype=np.int32)
    odds = np.exp(2 * ranker.booster.predict(features(state, candidates(found)), num_threads=1) - 1)
    odds *= state.lift(rows).astype(np.float64) ** (0.5 * 2.0) * np.array([30, 20, 16, 8, 4, 2, 1, 1.0]) ** -0.5
    dials = placement(ranker="next", hour_power=2.0, tail_discount=0.5)
    assert score(dials, state, found, with_ranker=True) == pytest.approx((odds / (1 + odds)).tolist())


def test_without_the_ranker_the_blend_orders(ranker: Ranker) -> None:
    state, found = state_of(*EVENTS, engine=ranked(ranker)), {"als": f32(1, 0.5)}
    assert score(placement(ranker="next"), state, found, with_ranker=False) == [1, 0.5]
    assert score(placement(), state, found, with_ranker=True) == [1, 0.5]


def test_no_candidates_have_no_scores(ranker: Ranker) -> None:
    for with_ranker in (True, False):
        state, nothing = state_of(*EVENTS, engine=ranked(ranker)), {"als": f32()}
        assert score(placement(ranker="next", hour_power=1.0), state, nothing, with_ranker) == []


def test_a_ranker_serves_unless_the_blend_was_better(ranker: Ranker) -> None:
    engine = ranked(ranker)
    known = state_of((0, 1), (2, 1, VIEW), engine=engine)
    assert ranker_of(placement(ranker="next"), known) is engine.rankers.next
    assert ranker_of(placement(ranker="new"), known) is engine.rankers.new
    assert ranker_of(placement(), known) is NO_RANKER
    learned = Blend(sources=("als",), few=(1.0,), many=(1.0,), uses_ranker=False)
    beaten = replace(engine, blends=Blends(next=learned))
    state = state_of((0, 1), engine=beaten)
    assert ranker_of(placement(ranker="next", blend="next"), state) is NO_RANKER
    assert ranker_of(placement(ranker="next"), state) is engine.rankers.next


def test_scoring_changes_no_candidate_and_returns_the_parts_of_the_sources() -> None:
    found = {name: column.copy() for name, column in FOUND.items()}
    taken = Candidates.of(i32(0, 1, 2, 3), found, dict.fromkeys(found, 1.0))
    placed, state = placement(trend_power=1.0, tail_discount=1.0), state_of(*EVENTS)
    _, parts = score_of(placed, state, taken, with_ranker=False)
    assert (parts == contributions(placed, state, taken)).all()
    assert all((found[name] == column).all() for name, column in FOUND.items())
