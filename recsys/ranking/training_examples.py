"""Training examples of the rankers: past requests, answered by models fitted before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.timestamps import NOON
from recsys.core.topk import is_among
from recsys.data.dataset import DAY_S, Dataset, Events
from recsys.data.history import UserHistory, last_items
from recsys.fitting.engine import Engine, EngineConfig
from recsys.fitting.fit import fit_models
from recsys.fitting.ranker import RankerConfig
from recsys.fitting.ranker_fit import TrainingGroups, no_groups
from recsys.ranking.features import FEATURES, features
from recsys.ranking.pair_features import past_pairs
from recsys.ranking.scoring import blend, contributions
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.query import Query
from recsys.retrieval.sources import generate
from recsys.retrieval.user_state import UserState

NEXT_PLACEMENT = PLACEMENTS["for_you"]
NEW_PLACEMENT = PLACEMENTS["discover"]


@dataclass(frozen=True)
class TrainingRequests:
    """Requests of one cut-off.

    Attributes:
        next: all candidates; positive labels are the items of the user's first basket after the cut-off.
        new: candidates that the user had not bought; positive labels are the items bought within the horizon.
        pairs: partners of one item of each basket; positive labels are the other items of the basket.
    """

    next: TrainingGroups
    new: TrainingGroups
    pairs: TrainingGroups


def cutoffs(dataset: Dataset, now: int, config: RankerConfig) -> tuple[int, ...]:
    """Return moments of which the data has the horizon both before and after.

    Returns:
        Seconds since 1970, the latest first; empty if the data is too short.
    """
    horizon, step = config.horizon_days * DAY_S, config.step_days * DAY_S
    earliest = int(dataset.events.timestamp[0]) + horizon if len(dataset.events) else now
    moments = (now - horizon - step * number for number in range(config.n_cutoffs))
    return tuple(moment for moment in moments if moment >= earliest)


def training_requests(
    dataset: Dataset, config: EngineConfig, cutoff: int, rng: np.random.Generator
) -> TrainingRequests | None:
    """Build the requests of users and of items at a cut-off, and label them with the purchases after it.

    Some users have a second example in which all but their latest items are hidden, so that the rankers also learn
    about users with little history.

    Args:
        dataset: the shop.
        config: settings of the models and of the rankers.
        cutoff: seconds since 1970; the models are fitted on earlier events, and the labels are within the horizon after
            it.
        rng: source of the draws.

    Returns:
        The requests; None if there was no purchase within the horizon.
    """
    ranker = config.ranker
    known = dataset.until(cutoff)
    later = dataset.until(cutoff + ranker.horizon_days * DAY_S).target_events
    later = later.take(later.timestamp >= cutoff)
    if not len(later):
        return None
    answers = _answers(later, known.target_events)
    users = np.unique(answers.user_idx)
    users = np.sort(rng.permutation(users)[: ranker.max_shoppers])
    engine = fit_models(known, config, now=cutoff, user_lists_only=True)
    rows: list[_Answered] = []
    with threadpool_limits(1):
        for user_idx in users.tolist():
            taken = answers.take(slice(*answers.user_idx.searchsorted([user_idx, user_idx + 1])))
            history = engine.history.of(user_idx, cutoff - 1)
            rows.extend(
                _answer(engine, visible, history, taken, cutoff, rng)
                for visible in _visible_histories(engine, history, rng)
            )
    pairs = past_pairs(engine, later, ranker, rng)
    return TrainingRequests(_stack(rows, only_new=False), _stack(rows, only_new=True), pairs)


@dataclass(frozen=True)
class _Answered:
    """Candidates of one request, with negative ones subsampled: which count for each ranker, and which were bought."""

    features: npt.NDArray[np.float32]
    log_lift: npt.NDArray[np.float32]
    blend_next: npt.NDArray[np.float32]
    blend_new: npt.NDArray[np.float32]
    taken_next: npt.NDArray[np.bool_]
    taken_ever: npt.NDArray[np.bool_]
    counts_next: npt.NDArray[np.bool_]
    counts_new: npt.NDArray[np.bool_]


def _answers(later: Events, before: Events) -> Events:
    """Return the later purchases of users who had bought before, by user, then by time."""
    later = later.take(later.user_idx >= 0)
    later = later.take(np.isin(later.user_idx, before.user_idx))
    return later.take(np.argsort(later.user_idx, kind="stable"))


def _visible_histories(engine: Engine, history: UserHistory, rng: np.random.Generator) -> Iterator[UserHistory]:
    """Yield the user's history, and for some users a second one that is cut to a few items."""
    config = engine.config.ranker
    yield history
    if rng.random() < config.short_share:
        yield last_items(history, engine.dataset_info.target_event, int(rng.integers(1, config.max_short + 1)))


def _answer(
    engine: Engine,
    visible: UserHistory,
    history: UserHistory,
    taken: Events,
    cutoff: int,
    rng: np.random.Generator,
) -> _Answered:
    hour = int(taken.hour[0])
    bucket = int(engine.timeofday.bucket_of_hour[hour if hour >= 0 else NOON])
    query = Query(-1, cutoff - 1, hour, bucket, 1, visible, allowed=engine.listable["all"])
    state = UserState(engine, query)
    candidates = generate(NEXT_PLACEMENT.sources, state)
    rows = candidates.item_idx
    first = np.unique(taken.item_idx[taken.basket_idx == taken.basket_idx[0]])
    owned = np.unique(history.of_type(engine.dataset_info.target_event).item_idx)
    taken_next, taken_ever = is_among(rows, first), is_among(rows, np.unique(taken.item_idx))
    is_drawn = rng.random(len(rows)) < engine.config.ranker.negative_share
    kept = taken_ever | is_drawn
    log_lift = np.log(state.lift(rows)) if hour >= 0 else np.zeros(len(rows), np.float32)
    return _Answered(
        features=features(state, candidates)[kept],
        log_lift=log_lift[kept],
        blend_next=_blended(NEXT_PLACEMENT, state, candidates)[kept],
        blend_new=_blended(NEW_PLACEMENT, state, candidates)[kept],
        taken_next=taken_next[kept],
        taken_ever=taken_ever[kept],
        counts_next=(taken_next | is_drawn)[kept],
        counts_new=~is_among(rows, owned)[kept],
    )


def _blended(placement: Placement, state: UserState, candidates: Candidates) -> npt.NDArray[np.float32]:
    """Score candidates by the blend of a placement, from its own sources only."""
    own_sources = {name: score for name, score in candidates.scores.items() if name in placement.sources}
    own = Candidates(candidates.item_idx, own_sources, candidates.best)
    return blend(placement, state.engine, own, contributions(placement, state, own)).astype(np.float32)


def _stack(rows: list[_Answered], *, only_new: bool) -> TrainingGroups:
    if not rows:
        return no_groups(len(FEATURES))
    chosen = [row.counts_new if only_new else row.counts_next for row in rows]
    blends = [(row.blend_new if only_new else row.blend_next)[kept] for row, kept in zip(rows, chosen, strict=True)]
    taken = [(row.taken_ever if only_new else row.taken_next)[kept] for row, kept in zip(rows, chosen, strict=True)]
    return TrainingGroups(
        features=np.concatenate([row.features[kept] for row, kept in zip(rows, chosen, strict=True)]),
        taken=np.concatenate(taken).astype(np.int8),
        blend=np.concatenate(blends),
        log_lift=np.concatenate([row.log_lift[kept] for row, kept in zip(rows, chosen, strict=True)]),
        size=np.array([len(part) for part in taken], np.int64),
    )
