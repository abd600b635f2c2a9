"""The parts of the score of a listed item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.pipeline.recommend import RankedResult
from recsys.ranking.features import FEATURES, features
from recsys.ranking.scoring import active_sources, contributions, ranker_of
from recsys.retrieval.sources import CANDIDATE_SOURCES, generate


@dataclass(frozen=True, slots=True)
class ScoreBreakdown:
    """The parts of the score of one item.

    Attributes:
        item_id: the item.
        scores: by source, its part of the blend; none for an item that a rule or the fill put into the list.
        features: the ranker's features by name, null where not known; none without a ranker.
    """

    item_id: str
    scores: dict[str, float]
    features: dict[str, float | None]


def score_breakdown(result: RankedResult) -> tuple[ScoreBreakdown, ...]:
    """Returns the parts of the score of each listed item, in the order of the list.

    A list of the fallback has the fallback's source alone, and no features. An item of a set has the set's score.
    """
    placement, state, listed = result.placement, result.state, result.recommendations
    if placement.lists == "sets":
        return tuple(ScoreBreakdown(item.item_id, {item.source: item.score}, {}) for item in listed.items)
    active = active_sources(placement, state.engine.blends)
    used = {item.source for item in listed.items} if listed.fallback_used else set(active)
    names = [name for name in CANDIDATE_SOURCES if name in used]
    if not names:
        return tuple(ScoreBreakdown(item.item_id, {}, {}) for item in listed.items)
    candidates = generate(names, state)
    parts = contributions(placement, state, candidates)
    is_ranked = ranker_of(placement, state).is_fitted and not listed.fallback_used
    table = features(state, candidates) if is_ranked and len(candidates.item_idx) else None
    position_of = {row: position for position, row in enumerate(candidates.item_idx.tolist())}
    rows = state.engine.items.rows(item.item_id for item in listed.items).tolist()
    return tuple(
        _one(item.item_id, position_of.get(row), tuple(candidates.scores), parts, table)
        for item, row in zip(listed.items, rows, strict=True)
    )


def _one(
    item_id: str,
    position: int | None,
    names: tuple[str, ...],
    parts: npt.NDArray[np.float64],
    table: npt.NDArray[np.float32] | None,
) -> ScoreBreakdown:
    if position is None:
        return ScoreBreakdown(item_id, {}, {})
    scores = {name: float(part) for name, part in zip(names, parts[:, position], strict=True) if part > 0}
    seen: dict[str, float | None] = {}
    if table is not None:
        values = table[position].astype(np.float64)
        seen = {
            name: float(value) if np.isfinite(value) else None for name, value in zip(FEATURES, values, strict=True)
        }
    return ScoreBreakdown(item_id, scores, seen)
