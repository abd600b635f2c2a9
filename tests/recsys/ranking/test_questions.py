"""Questions: the candidates of past requests with their labels, by hand, and the parity with what is served."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.core.placements import PLACEMENTS
from recsys.data.history import UserHistory
from recsys.fitting.blend import Blend, Blends
from recsys.ranking.features import features
from recsys.ranking.holdout import PastRequest
from recsys.ranking.questions import SOURCES, Questions, answer_requests
from recsys.ranking.scoring import score_of
from recsys.ranking.trials import Trials, Weights
from recsys.retrieval.query import Query
from recsys.retrieval.sources import generate
from recsys.retrieval.user_state import UserState
from tests.recsys.tiny_engine import NOW, history, i32, tiny_engine


def request(visible: UserHistory, taken: tuple[int, ...], later: tuple[int, ...] | None = None) -> PastRequest:
    return PastRequest(visible, visible, NOW, -1, i32(*taken), i32(*(later or taken)))


def asked(*requests: PastRequest) -> Questions:
    found = answer_requests(tiny_engine(), requests)
    assert found is not None
    return found


def test_labels_are_those_of_the_request() -> None:
    own = history((0, 1.0), (2, 3.0))
    found = asked(request(own, (2,), (2, 4)))
    rows = generate(SOURCES, UserState(tiny_engine(), Query(-1, NOW, -1, 0, 1, own))).item_idx
    assert rows[found.taken_next].tolist() == [2]
    assert rows[found.taken_later].tolist() == [2, 4]
    assert rows[found.is_known].tolist() == [0, 2]
    assert found.n_next.tolist() == [1]
    assert found.n_new.tolist() == [1], "what the user had is not new"
    assert found.n_items.tolist() == [2]


def test_hidden_purchases_are_known_all_the_same() -> None:
    visible, whole = history((0, 1.0)), history((0, 1.0), (4, 9.0))
    found = asked(replace(request(visible, (4,)), known_history=whole))
    assert found.n_new.tolist() == [0]
    assert found.n_items.tolist() == [1]


def test_requests_without_a_candidate_are_left_out() -> None:
    assert answer_requests(tiny_engine(), []) is None
    assert len(asked(request(history((0, 1.0)), (2,)), request(history((2, 1.0)), (3,)))) == 2


def test_features_are_those_of_serving() -> None:
    own = history((0, 1.0), (2, 3.0))
    state = UserState(tiny_engine(), Query(-1, NOW, -1, 0, 1, own))
    assert asked(request(own, (2,))).features == pytest.approx(features(state, generate(SOURCES, state)), nan_ok=True)


@pytest.mark.parametrize("kind", ["next", "new"])
def test_a_trial_scores_as_the_served_blend_does(kind: str) -> None:
    engine, own = tiny_engine(), history((0, 1.0), (2, 3.0), (0, 9.0))
    placement = PLACEMENTS["for_you" if kind == "next" else "discover"]
    found = asked(request(own, (2, 3)))
    trials = Trials(kind, found, engine.repeat.repeat_share)
    rng = np.random.default_rng(0)
    weights = Weights(rng.random(len(trials.names)), rng.random(len(trials.names)), 0.4, 0.1)
    learned = Blend(
        sources=trials.names,
        few=tuple(weights.few.tolist()),
        many=tuple(weights.many.tolist()),
        trend_power=weights.trend_power,
        tail_discount=weights.tail_discount,
        uses_ranker=False,
    )
    served = replace(engine, blends=Blends(**{kind: learned}))
    state = UserState(served, Query(-1, NOW, -1, 0, 1, own))
    candidates = generate(placement.sources, state)
    score, _ = score_of(placement, state, candidates, with_ranker=True)
    rows = generate(SOURCES, state).item_idx
    by_row = dict(zip(candidates.item_idx.tolist(), score.tolist(), strict=True))
    eligible = rows if kind == "next" else rows[~found.is_known]
    tried = dict(zip(eligible.tolist(), trials.score(weights).tolist(), strict=True))
    scale = max(tried.values()) / max(by_row[row] for row in tried)
    assert {row: by_row[row] * scale for row in tried} == pytest.approx(tried, rel=1e-5)
