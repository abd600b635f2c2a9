"""The search for weights: its metric against the library's own, serving parity, floors, and restraint among noise."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from recsys.core.metrics import ndcg_at_k, recall_at_k
from recsys.fitting.blend import BlendConfig
from recsys.ranking.blend_search import gain_interval, learn_blend, search
from recsys.ranking.questions import SOURCES, Questions, join_questions
from recsys.ranking.scoring import mix
from recsys.ranking.trials import KINDS, Kind, Trials, Weights, prior

N_CANDIDATES = 100
CONFIG = BlendConfig(min_questions=20)


def questions(n: int, good: tuple[str, ...] = (), seed: int = 0, n_known: int = 0) -> Questions:
    """Random candidates; the sources of `good` rank what is taken first, all others know nothing."""
    rng = np.random.default_rng(seed)
    rows = n * N_CANDIDATES
    taken = np.zeros((n, N_CANDIDATES), np.bool_)
    taken[np.arange(n)[:, None], np.argsort(rng.random((n, N_CANDIDATES)), axis=1)[:, :2]] = True
    taken = taken.ravel()
    scores = rng.random((rows, len(SOURCES))).astype(np.float32)
    for name in good:
        scores[:, SOURCES.index(name)] = 0.4 * taken + 0.6 * rng.random(rows)
    scores[:, SOURCES.index("repeat")] = 0
    is_known = np.tile(np.arange(N_CANDIDATES) < n_known, n)
    n_new = (taken & ~is_known).reshape(n, -1).sum(axis=1)
    is_tail = rng.random(rows) < 0.5
    return Questions(
        features=rng.random((rows, 3)).astype(np.float32),
        scores=scores,
        taken_next=taken,
        taken_later=taken,
        is_known=is_known,
        is_tail=is_tail,
        log_trend=np.zeros(rows, np.float32),
        log_buyers=np.zeros(rows, np.float32),
        log_lift=np.zeros(rows, np.float32),
        size=np.full(n, N_CANDIDATES),
        user_idx=np.arange(n),
        n_items=rng.integers(1, 20, n),
        n_next=np.full(n, 2),
        n_new=n_new,
        n_tail=(taken & ~is_known & is_tail).reshape(n, -1).sum(axis=1),
    )


def lists(score: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.int32]:
    return np.argsort(-score.reshape(-1, N_CANDIDATES), axis=1, kind="stable")[:, :k].astype(np.int32)


@pytest.mark.parametrize("kind", ["next", "new"])
def test_the_metric_of_a_trial_is_that_of_the_library(kind: Kind) -> None:
    asked = questions(40, ("als",))
    trials = Trials(kind, asked, repeat_share=0.3)
    weights = prior(kind, trials.names)
    score = trials.score(weights)
    relevant = sparse.csr_matrix(asked.taken_next.reshape(-1, N_CANDIDATES).astype(np.float32))
    measure, k = (recall_at_k, 10) if kind == "next" else (ndcg_at_k, 20)
    assert trials.values(weights) == pytest.approx(measure(lists(score, k), relevant, k))


@pytest.mark.parametrize("kind", list(KINDS))
def test_only_what_may_be_listed_is_measured(kind: Kind) -> None:
    asked = questions(60, n_known=5)
    trials = Trials(kind, asked, 0.0)
    everything = Trials(kind, asked, 0.0).values_of_all(np.ones(len(asked.is_known)))
    assert len(trials) == int((getattr(asked, {"next": "n_next", "new": "n_new", "tail": "n_tail"}[kind]) > 0).sum())
    assert not everything.any(), "equal scores earn nothing"
    tie_free = 1e-3 * np.random.default_rng(0).random(len(asked.is_known))
    perfect = trials.values_of_all(asked.taken_later + tie_free)
    assert perfect == pytest.approx(np.ones(len(trials)))


def test_a_search_finds_the_source_that_knows() -> None:
    trials = Trials("new", questions(200, ("content",)), 0.0)
    found = search(trials, prior("new", trials.names), CONFIG, tunes_tail=True)
    many = dict(zip(trials.names, found.many, strict=True))
    assert many["content"] > prior("new", trials.names).many[trials.names.index("content")]
    assert trials.values(found).mean() > 1.5 * trials.values(prior("new", trials.names)).mean()


def test_the_number_of_trials_depends_on_the_sources_alone() -> None:
    counts = []
    for n in (50, 300):
        trials = Trials("next", questions(n, ("als",)), 0.0)
        search(trials, prior("next", trials.names), CONFIG, tunes_tail=False)
        counts.append(trials.n_trials)
    assert counts[0] == counts[1]


def test_learned_weights_serve_where_they_gain_on_later_requests() -> None:
    blend = learn_blend(
        "new", questions(150, ("content",)), questions(150, ("content",), 1), 0.0, CONFIG, np.random.default_rng(0)
    )
    assert not blend.uses_ranker
    assert blend.gain_low > 0
    assert blend.values[blend.orders.index(blend.order)] == max(blend.values)


def test_hardly_anything_is_learned_from_noise() -> None:
    n_learned = 0
    for seed in range(8):
        earlier, latest = questions(100, (), seed), questions(100, (), seed + 10)
        n_learned += learn_blend("new", earlier, latest, 0.0, CONFIG, np.random.default_rng(seed)).gain_low > 0
    assert n_learned <= 2, "an interval of 90 % is above 0 by chance in one of twenty"


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("good", [(), ("popular",), ("als", "ease"), ("around",)])
def test_no_list_loses_to_a_floor(kind: Kind, good: tuple[str, ...]) -> None:
    blend = learn_blend(kind, questions(80, (), 3), questions(120, good, 4), 0.2, CONFIG, np.random.default_rng(0))
    assert blend.values[blend.orders.index(blend.order)] == max(blend.values)
    assert "popularity" in blend.orders


def test_a_ranker_serves_only_where_it_wins() -> None:
    earlier, latest = questions(100, ("als",)), questions(100, ("als",), 1)
    rng = np.random.default_rng(0)
    perfect = latest.taken_later + 1e-3 * rng.random(len(latest.taken_later))
    best = learn_blend("new", earlier, latest, 0.0, CONFIG, rng, perfect)
    worst = learn_blend("new", earlier, latest, 0.0, CONFIG, rng, -perfect)
    assert (best.uses_ranker, best.order) == (True, "ranker")
    assert not worst.uses_ranker


def test_too_few_questions_leave_the_weights_of_the_placement() -> None:
    assert not learn_blend("next", questions(19), questions(200), 0.0, CONFIG, np.random.default_rng(0)).is_fitted


def test_taking_and_joining_requests_are_inverse() -> None:
    asked = questions(10)
    is_even = np.arange(10) % 2 == 0
    joined = join_questions([asked.take(is_even), asked.take(~is_even)])
    assert len(joined) == 10
    for each in fields(Questions):
        assert len(getattr(joined, each.name)) == len(getattr(asked, each.name))
    assert joined.scores[: 5 * N_CANDIDATES].tolist() == asked.take(is_even).scores.tolist()


def test_many_requests_are_mixed_as_one_by_one() -> None:
    asked = questions(6, ("als",))
    asked.scores[::3, SOURCES.index("repeat")] = 0.5
    rng = np.random.default_rng(1)
    weights = rng.random((len(SOURCES), 6))
    together = mix(asked.scores.T, weights, asked.size, SOURCES, 0.25)
    for request in range(6):
        rows = asked.request == request
        alone = mix(asked.scores[rows].T, weights[:, [request]], np.array([N_CANDIDATES]), SOURCES, 0.25)
        assert together[:, rows] == pytest.approx(alone)


def test_an_interval_needs_gains() -> None:
    rng = np.random.default_rng(0)
    assert gain_interval(np.empty(0), 0.9, rng) == (0.0, 0.0)
    low, high = gain_interval(np.full(50, 0.5), 0.9, rng)
    assert low == high == pytest.approx(0.5)


def test_weights_are_a_point() -> None:
    assert Weights(np.zeros(1), np.ones(1)).trend_power == 0.0
