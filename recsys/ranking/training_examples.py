"""What rankers learn from: requests of the past, answered by models that knew no more than was known then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from recsys.core.placements import PLACEMENTS, Placement
from recsys.data.dataset import DAY_S, Dataset, Events
from recsys.data.history import UserHistory, last_items
from recsys.fitting.engine import Engine, EngineConfig
from recsys.fitting.fit import fit_models
from recsys.fitting.ranker import RankerConfig, TrainingGroups, no_groups
from recsys.ranking.features import FEATURES, features
from recsys.ranking.pair_features import past_pairs
from recsys.ranking.scoring import blend, contributions
from recsys.retrieval.candidates import Candidates, generate, is_among
from recsys.retrieval.query import Query
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.retrieval.user_state import UserState

NOON = 12
ASKED_NEXT = PLACEMENTS["for_you"]
ASKED_NEW = PLACEMENTS["discover"]


@dataclass(frozen=True)
class TrainingRequests:
    """The requests of one cut-off.

    Attributes:
        next: all candidates; taken is what the shopper's first basket after the cut-off holds.
        new: candidates never bought before; taken is what the shopper bought within the horizon.
        pairs: partners of one item of each basket; taken is what the basket held.
    """

    next: TrainingGroups
    new: TrainingGroups
    pairs: TrainingGroups


def cutoffs(dataset: Dataset, now: int, config: RankerConfig) -> tuple[int, ...]:
    """Moments that examples can be taken from, seconds since 1970, the latest first; with as much before as after."""
    horizon, step = config.horizon_days * DAY_S, config.step_days * DAY_S
    earliest = int(dataset.events.timestamp[0]) + horizon if len(dataset.events) else now
    moments = (now - horizon - step * place for place in range(config.n_cutoffs))
    return tuple(moment for moment in moments if moment >= earliest)


def training_requests(
    dataset: Dataset, config: EngineConfig, cutoff: int, rng: np.random.Generator
) -> TrainingRequests | None:
    """Ask for shoppers and for items at a cut-off, and see what was taken after it; None where nothing was.

    Of some shoppers a second example is made that has forgotten all but their latest items, so that shoppers who are
    hardly known are learned about, too.

    Args:
        dataset: the shop.
        config: settings of the models, and of the ranker.
        cutoff: seconds since 1970; the models are fitted on what came before, the answers lie within the horizon.
        rng: source of what is drawn.
    """
    asked = config.ranker
    known = dataset.until(cutoff)
    later = dataset.until(cutoff + asked.horizon_days * DAY_S).target_events
    later = later.take(later.timestamp >= cutoff)
    if not len(later):
        return None
    answers = _answers(later, known.target_events)
    users = np.unique(answers.user_idx)
    users = np.sort(rng.permutation(users)[: asked.max_shoppers])
    engine = fit_models(known, config, now=cutoff, for_shoppers_only=True)
    rows: list[_Answered] = []
    with threadpool_limits(1):
        for user_idx in users.tolist():
            taken = answers.take(slice(*answers.user_idx.searchsorted([user_idx, user_idx + 1])))
            history = engine.history.of(user_idx, cutoff - 1)
            rows.extend(_answer(engine, given, history, taken, cutoff, rng) for given in _given(engine, history, rng))
    pairs = past_pairs(engine, later, asked, rng)
    return TrainingRequests(_stack(rows, only_new=False), _stack(rows, only_new=True), pairs)


@dataclass(frozen=True)
class _Answered:
    """One request's candidates, those not taken thinned out; which speak for each question, and which were taken."""

    features: npt.NDArray[np.float32]
    log_lift: npt.NDArray[np.float32]
    blend_next: npt.NDArray[np.float32]
    blend_new: npt.NDArray[np.float32]
    taken_next: npt.NDArray[np.bool_]
    taken_ever: npt.NDArray[np.bool_]
    speaks_next: npt.NDArray[np.bool_]
    speaks_new: npt.NDArray[np.bool_]


def _answers(later: Events, before: Events) -> Events:
    """What shoppers who were known took, by shopper, then time."""
    later = later.take(later.user_idx >= 0)
    later = later.take(np.isin(later.user_idx, before.user_idx))
    return later.take(np.argsort(later.user_idx, kind="stable"))


def _given(engine: Engine, history: UserHistory, rng: np.random.Generator) -> Iterator[UserHistory]:
    """What is known of the shopper: everything, and at times next to nothing."""
    config = engine.config.ranker
    yield history
    if rng.random() < config.short_share:
        yield last_items(history, engine.dataset_info.target_event, int(rng.integers(1, config.max_short + 1)))


def _answer(
    engine: Engine,
    given: UserHistory,
    history: UserHistory,
    taken: Events,
    cutoff: int,
    rng: np.random.Generator,
) -> _Answered:
    hour = int(taken.hour[0])
    bucket = int(engine.timeofday.bucket_of_hour[hour if hour >= 0 else NOON])
    query = Query(-1, cutoff - 1, hour, bucket, 1, given, allowed=engine.listable["all"])
    state = UserState(engine, query)
    candidates = generate({name: CANDIDATE_SOURCES[name] for name in ASKED_NEXT.sources}, state)
    rows = candidates.item_idx
    first = np.unique(taken.item_idx[taken.basket_idx == taken.basket_idx[0]])
    owned = np.unique(history.of_kind(engine.dataset_info.target_event).item_idx)
    taken_next, taken_ever = is_among(rows, first), is_among(rows, np.unique(taken.item_idx))
    is_drawn = rng.random(len(rows)) < engine.config.ranker.negative_share
    kept = taken_ever | is_drawn
    log_lift = np.log(state.lift(rows)) if hour >= 0 else np.zeros(len(rows), np.float32)
    return _Answered(
        features=features(state, candidates)[kept],
        log_lift=log_lift[kept],
        blend_next=_blended(ASKED_NEXT, state, candidates)[kept],
        blend_new=_blended(ASKED_NEW, state, candidates)[kept],
        taken_next=taken_next[kept],
        taken_ever=taken_ever[kept],
        speaks_next=(taken_next | is_drawn)[kept],
        speaks_new=~is_among(rows, owned)[kept],
    )


def _blended(placement: Placement, state: UserState, candidates: Candidates) -> npt.NDArray[np.float32]:
    """The order of a placement that has no ranker; of its own sources alone."""
    own_sources = {name: score for name, score in candidates.scores.items() if name in placement.sources}
    asked = Candidates(candidates.item_idx, own_sources, candidates.best)
    return blend(placement, state.engine, asked, contributions(placement, state, asked)).astype(np.float32)


def _stack(rows: list[_Answered], *, only_new: bool) -> TrainingGroups:
    if not rows:
        return no_groups(len(FEATURES))
    chosen = [row.speaks_new if only_new else row.speaks_next for row in rows]
    blends = [(row.blend_new if only_new else row.blend_next)[kept] for row, kept in zip(rows, chosen, strict=True)]
    taken = [(row.taken_ever if only_new else row.taken_next)[kept] for row, kept in zip(rows, chosen, strict=True)]
    return TrainingGroups(
        features=np.concatenate([row.features[kept] for row, kept in zip(rows, chosen, strict=True)]),
        taken=np.concatenate(taken).astype(np.int8),
        blend=np.concatenate(blends),
        log_lift=np.concatenate([row.log_lift[kept] for row, kept in zip(rows, chosen, strict=True)]),
        size=np.array([len(part) for part in taken], np.int64),
    )
