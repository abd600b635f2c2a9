"""What the score of a listed item is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.pipeline.recommend import RankedResult
from recsys.ranking.features import FEATURES, features
from recsys.ranking.scoring import contributions, ranker_of
from recsys.retrieval.candidates import generate
from recsys.retrieval.sources import CANDIDATE_SOURCES


@dataclass(frozen=True, slots=True)
class ScoreBreakdown:
    """What the score of one item is made of.

    Attributes:
        item_id: the item.
        scores: what each source adds to the blend, for those that speak for the item; none for what a rule or filter
            put into the list.
        features: what the ranker saw, by name, where one orders the list; what is not known of the item is null.
    """

    item_id: str
    scores: dict[str, float]
    features: dict[str, float | None]


def score_breakdown(answer: RankedResult) -> tuple[ScoreBreakdown, ...]:
    """What the scores of a list are made of, in its order.

    Where the fallback served it is the fallback's source that speaks, and no ranker.
    """
    placement, state, told = answer.placement, answer.state, answer.recommendations
    names = (
        {item.source for item in told.items} & set(CANDIDATE_SOURCES) if told.fallback_used else set(placement.sources)
    )
    candidates = (
        generate({name: CANDIDATE_SOURCES[name] for name in CANDIDATE_SOURCES if name in names}, state)
        if names
        else None
    )
    if candidates is None:
        return tuple(ScoreBreakdown(item.item_id, {}, {}) for item in told.items)
    parts = contributions(placement, state, candidates)
    is_ranked = ranker_of(placement, state).is_fitted and not told.fallback_used
    table = features(state, candidates) if is_ranked and len(candidates.item_idx) else None
    place_of = {row: place for place, row in enumerate(candidates.item_idx.tolist())}
    rows = state.engine.items.rows(item.item_id for item in told.items).tolist()
    return tuple(
        _one(item.item_id, place_of.get(row), tuple(candidates.scores), parts, table)
        for item, row in zip(told.items, rows, strict=True)
    )


def _one(
    item_id: str,
    place: int | None,
    names: tuple[str, ...],
    parts: npt.NDArray[np.float64],
    table: npt.NDArray[np.float32] | None,
) -> ScoreBreakdown:
    if place is None:
        return ScoreBreakdown(item_id, {}, {})
    scores = {name: float(part) for name, part in zip(names, parts[:, place], strict=True) if part > 0}
    seen: dict[str, float | None] = {}
    if table is not None:
        values = table[place].astype(np.float64)
        seen = {
            name: float(value) if np.isfinite(value) else None for name, value in zip(FEATURES, values, strict=True)
        }
    return ScoreBreakdown(item_id, scores, seen)
