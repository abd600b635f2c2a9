"""Explanations: the stage at which an item left a list, and its distance from the list."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

import numpy as np

from recsys.core.placements import Placement
from recsys.core.request import Message
from recsys.data.offers import OFFER_KEYS, OfferScope
from recsys.pipeline.item_sets import PRICE_BOUND, WHOLE_SET
from recsys.pipeline.recommend import RankedResult
from recsys.pipeline.stages import rank
from recsys.ranking.features import FEATURES, features
from recsys.ranking.scoring import active_sources, ranker_of
from recsys.reasons.context import message_templates
from recsys.reasons.templates import BoundMessage
from recsys.retrieval.candidates import QUOTAS
from recsys.retrieval.query import Ranking
from recsys.retrieval.sources import CANDIDATE_SOURCES, generate
from recsys.retrieval.user_state import UserState
from recsys.rules.eligibility import ELIGIBILITY_RULES

N_STRONGEST: Final = 8
"""Number of features in an explanation, those of the largest effects."""

RULE_STAGES: Final = (*ELIGIBILITY_RULES, "no evidence", "variant", WHOLE_SET, PRICE_BOUND)
"""Stages that remove an item because of what it is; the others cut the list to its length."""


@dataclass(frozen=True, slots=True)
class SourceRank:
    """The rank of an item in one source.

    Attributes:
        source: its name.
        rank: 1 for the source's best item, null where the source did not find the item for this user.
        score: the source's score of the item, 0 where it did not find it.
        n_found: number of items that the source found.
        quota: number of them, without bought ones, that become candidates; null for all.
        cut_score: score of the last item within the quota, 0 where the source found nothing.
    """

    source: str
    rank: int | None
    score: float
    n_found: int
    quota: int | None
    cut_score: float


@dataclass(frozen=True, slots=True)
class FeatureContribution:
    """The contribution of one feature to the ranker's score.

    Attributes:
        feature: its name.
        value: of this item, null where it is not known.
        effect: its part of the logarithm of the odds (Lundberg et al. 2020, TreeSHAP).
    """

    feature: str
    value: float | None
    effect: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """The stage at which an item left a list.

    Attributes:
        item_id: the item.
        placement: the list.
        stage: `listed`, `closed` (the moment is outside the window of the list), `sold_out`, `sold_out_here` (by an
            offer), `filtered`, `no_candidate`, `removed`, `too_low` or `arranged_out`.
        message: the same for people, in any locale of the message catalog.
        rule: the rule that removed it, null for other stages.
        rank: its rank among all items that could be listed, null where it is not among them.
        score: its score there.
        last_score: score of the last item of the list, null where the list is empty.
        distance: the difference to that score, 0 where the item is listed or above it.
        fallback_used: whether the list is the fallback's.
        sources: its rank in each source of the list.
        effects: the features that contribute most to the ranker's score, the largest first; none without a ranker.
    """

    item_id: str
    placement: str
    stage: str
    message: Message
    rule: str | None
    rank: int | None
    score: float | None
    last_score: float | None
    distance: float | None
    fallback_used: bool
    sources: tuple[SourceRank, ...]
    effects: tuple[FeatureContribution, ...]

    @property
    def text(self) -> str:
        """The message in English."""
        return self.message.text("en")

    @property
    def text_zh(self) -> str:
        """The message in Chinese."""
        return self.message.text("zh")

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON has them, with the texts in English and Chinese."""
        found: dict[str, Any] = {}
        for each in fields(self):
            if each.name == "message":
                found |= {"text": self.text, "text_zh": self.text_zh}
            elif each.name in ("sources", "effects"):
                found[each.name] = [asdict(part) for part in getattr(self, each.name)]
            else:
                found[each.name] = getattr(self, each.name)
        return found


def explain(result: RankedResult, item_id: str) -> Explanation:
    """Returns the stage at which an item left a list, from the record of the stages that the list has passed.

    Args:
        result: the list, as it was served.
        item_id: an item of the catalog.
    """
    placement, state, listed = result.placement, result.state, result.recommendations
    engine, query = state.engine, state.query
    row = engine.item_row(item_id)
    names = _sources(result)
    whole = rank(placement, replace(state, query=replace(query, n_lookahead=engine.n_items)))
    found = np.flatnonzero(whole.item_idx == row)
    position = int(found[0]) if len(found) else None
    score = float(whole.score[position]) if position is not None else None
    rule = next((name for name, rows in whole.removed.items() if name in RULE_STAGES and row in rows), None)
    item = next((item for item in listed.items if item.item_id == item_id), None)
    at = None if position is None else position + 1
    stage = _stage(state, row, rule, whole)
    if item is not None:
        stage, score, at = "listed", item.score, item.rank
    last = listed.items[-1].score if listed.items else None
    values: dict[str, Any] = {
        "rank": at,
        "limit": len(listed.items),
        "rule": rule,
        "score": score,
        "last_score": last or 0.0,
        "sources": ", ".join(names),
        "where": _named(engine.offers.sold_out_by(row, query.now)),
    }
    return Explanation(
        item_id=item_id,
        placement=placement.name,
        stage=stage,
        message=BoundMessage(message_templates(engine), f"stage.{stage}", values),
        rule=rule if stage == "removed" else None,
        rank=at,
        score=score,
        last_score=last,
        distance=None if score is None or last is None else max(last - score, 0.0) if stage != "listed" else 0.0,
        fallback_used=listed.fallback_used,
        sources=tuple(_source_rank(name, row, state) for name in names),
        effects=() if listed.fallback_used else _effects(placement, state, names, row),
    )


def _stage(state: UserState, row: int, rule: str | None, whole: Ranking) -> str:
    """The stage of an item that is not in the list; `whole` is the list without its limit."""
    engine, query = state.engine, state.query
    if not query.is_open:
        return "closed"
    if not engine.catalog.available[row]:
        return "sold_out_here" if _named(engine.offers.sold_out_by(row, query.now)) else "sold_out"
    if query.allowed is not None and not query.allowed[row]:
        return "filtered"
    if row in whole.item_idx:
        return "too_low"
    if rule is not None:
        return "removed"
    was_candidate = any(row in record.after for record in whole.records if record.stage == "candidates")
    return "arranged_out" if was_candidate else "no_candidate"


def _named(where: OfferScope | None) -> dict[str, str]:
    """The parts of a scope that have a name, by key."""
    return {key: name for key, name in zip(OFFER_KEYS, where or (), strict=False) if name}


def _sources(result: RankedResult) -> tuple[str, ...]:
    """The sources of the list; of a fallback, those of its items."""
    listed = result.recommendations
    if listed.fallback_used:
        used = {item.source for item in listed.items}
        return tuple(name for name in CANDIDATE_SOURCES if name in used)
    return active_sources(result.placement, result.state.engine.blends)


def _source_rank(name: str, row: int, state: UserState) -> SourceRank:
    rows, score = CANDIDATE_SOURCES[name](state)
    quota = QUOTAS.get(name)
    order = np.lexsort((rows, -score))
    position = np.flatnonzero(rows[order] == row)
    last = order[min(len(order), quota or len(order)) - 1] if len(order) else None
    return SourceRank(
        source=name,
        rank=int(position[0]) + 1 if len(position) else None,
        score=float(score[order[position[0]]]) if len(position) else 0.0,
        n_found=len(rows),
        quota=quota,
        cut_score=0.0 if last is None else float(score[last]),
    )


def _effects(
    placement: Placement, state: UserState, names: tuple[str, ...], row: int
) -> tuple[FeatureContribution, ...]:
    ranker = ranker_of(placement, state)
    candidates = generate(names, state)
    position = np.flatnonzero(candidates.item_idx == row)
    if not ranker.is_fitted or not len(position):
        return ()
    table = features(state, candidates)[position]
    effect = ranker.slope * np.asarray(ranker.booster.predict(table, pred_contrib=True, num_threads=1))[0, :-1]
    strongest = np.argsort(-np.abs(effect), kind="stable")[:N_STRONGEST]
    return tuple(
        FeatureContribution(
            feature=FEATURES[column],
            value=float(table[0, column]) if np.isfinite(table[0, column]) else None,
            effect=float(effect[column]),
        )
        for column in strongest.tolist()
        if effect[column]
    )
