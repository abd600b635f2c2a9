"""Why an item is not in a list: the stage at which it fell out, and how far from the list it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from recsys.core.placements import Placement
from recsys.data.offers import OFFER_KEYS, OfferScope
from recsys.pipeline.recommend import RankedResult, rank
from recsys.ranking.features import FEATURES, features
from recsys.ranking.scoring import ranker_of
from recsys.retrieval.candidates import QUOTAS, generate
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.retrieval.user_state import UserState

N_STRONGEST: Final = 8
"""Features that are named, those that moved the score most."""

STAGES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "listed": (
            "it is in the list, in place {rank} of {limit}",
            "该商品在列表中，排在第{rank}位（共{limit}位）",
        ),
        "sold_out": ("it is not available", "该商品已下架或售罄"),
        "sold_out_here": ("an offer says that it is not available in {where}", "该商品在{where}已售罄（报价所示）"),
        "filtered": (
            "a filter, an exclusion or the pool of the list keeps it out",
            "该商品被筛选条件、排除项或列表的商品范围挡在外面",
        ),
        "no_candidate": (
            "none of the list's sources brought it among its best: {sources}",
            "列表的各个来源都没有把它选入候选：{sources}",
        ),
        "removed": ("the rule {rule!r} took it out", "规则“{rule}”把它移出了列表"),
        "too_low": (
            "it is in place {rank} with a score of {score:.4g}; the last of the {limit} listed has {last_score:.4g}",
            "它排在第{rank}位，得分{score:.4g}；列表共{limit}位，最后一位得分{last_score:.4g}",
        ),
        "arranged_out": (
            "it was a candidate, and the list's arrangement left no place for it",
            "它进入了候选，但列表的编排没有给它留位置",
        ),
    }
)
"""What each stage says, in English and in Chinese."""

KEYS_ZH: Final = ("地区", "门店", "渠道")
"""`OFFER_KEYS` in Chinese."""


@dataclass(frozen=True, slots=True)
class SourceRank:
    """Where an item stands with one source.

    Attributes:
        source: its name.
        rank: 1 for its best, null where the source does not know the item for this shopper.
        score: what the source gives it, 0 where it does not know it.
        n_found: items that the source found.
        quota: how many of them, bought ones apart, become candidates; null for all.
        cut_score: score of the last that is within the quota, 0 where it found nothing.
    """

    source: str
    rank: int | None
    score: float
    n_found: int
    quota: int | None
    cut_score: float


@dataclass(frozen=True, slots=True)
class FeatureContribution:
    """How much one feature moved the ranker's score.

    Attributes:
        feature: its name.
        value: what it is for this item, null where it is not known.
        effect: what it adds to the logarithm of the odds (Lundberg et al. 2020, TreeSHAP).
    """

    feature: str
    value: float | None
    effect: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """At which stage an item fell out of a list.

    Attributes:
        item_id: the item.
        placement: the list.
        stage: `listed`, `sold_out`, `sold_out_here` (by an offer), `filtered`, `no_candidate`, `removed`, `too_low` or
            `arranged_out`.
        text: the same for people, in English.
        text_zh: in Chinese.
        rule: the rule that removed it, null for other stages.
        rank: its place among all that could be listed, null where it is not among them.
        score: its score there.
        last_score: score of the last item of the list, null where the list is empty.
        distance: how much its score lacks to that, 0 where it is listed or above it.
        fallback_used: whether the list is the fallback's.
        sources: where it stands with each source of the list.
        effects: the features that moved the ranker's score of it most, the strongest first; none without a ranker.
    """

    item_id: str
    placement: str
    stage: str
    text: str
    text_zh: str
    rule: str | None
    rank: int | None
    score: float | None
    last_score: float | None
    distance: float | None
    fallback_used: bool
    sources: tuple[SourceRank, ...]
    effects: tuple[FeatureContribution, ...]


def explain(answer: RankedResult, item_id: str) -> Explanation:
    """Say why an item is, or is not, in an answered list.

    Args:
        answer: the list, as it was served.
        item_id: an item that the engine knows.
    """
    placement, state, told = answer.placement, answer.state, answer.recommendations
    engine, query = state.engine, state.query
    row = engine.items.row(item_id)
    names = _sources(answer)
    sources = tuple(_standing(name, row, state) for name in names)
    whole = rank(placement, replace(state, query=replace(query, n_lookahead=len(engine.items))))
    place = int(np.flatnonzero(whole.item_idx == row)[0]) if (whole.item_idx == row).any() else None
    listed = {item.item_id: item for item in told.items}
    rule = next((name for name, rows in whole.removed.items() if (rows == row).any()), None)
    score = float(whole.score[place]) if place is not None else None
    if item_id in listed:
        stage, score = "listed", listed[item_id].score
        at: int | None = listed[item_id].rank
    else:
        stage, at = _stage(state, row, rule, place, sources), None if place is None else place + 1
    last = told.items[-1].score if told.items else None
    where = engine.offers.sold_out_by(row, query.now)
    values = {
        "rank": at,
        "limit": len(told.items),
        "rule": rule,
        "score": score,
        "last_score": last or 0.0,
        "sources": ", ".join(name for name in names),
        "where": _named(where),
    }
    return Explanation(
        item_id=item_id,
        placement=placement.name,
        stage=stage,
        text=STAGES[stage][0].format_map(values),
        text_zh=STAGES[stage][1].format_map(values | {"where": _named(where, KEYS_ZH, "、")}),
        rule=rule if stage == "removed" else None,
        rank=at,
        score=score,
        last_score=last,
        distance=None if score is None or last is None else max(last - score, 0.0) if stage != "listed" else 0.0,
        fallback_used=told.fallback_used,
        sources=sources,
        effects=() if told.fallback_used else _effects(placement, state, names, row),
    )


def _stage(state: UserState, row: int, rule: str | None, place: int | None, sources: tuple[SourceRank, ...]) -> str:
    allowed = state.query.allowed
    engine = state.engine
    if not engine.catalog.available[row]:
        return "sold_out_here" if _named(engine.offers.sold_out_by(row, state.query.now)) else "sold_out"
    if allowed is not None and not allowed[row]:
        return "filtered"
    if place is not None:
        return "too_low"
    if rule is not None:
        return "removed"
    candidates = generate({each.source: CANDIDATE_SOURCES[each.source] for each in sources}, state) if sources else None
    return "arranged_out" if candidates is not None and (candidates.item_idx == row).any() else "no_candidate"


def _named(where: OfferScope | None, keys: tuple[str, ...] = OFFER_KEYS, comma: str = ", ") -> str:
    """A scope in words, such as `region 湖北, store 武汉一店`; "" where it names nothing."""
    return comma.join(f"{key} {name}" for key, name in zip(keys, where or (), strict=False) if name)


def _sources(answer: RankedResult) -> tuple[str, ...]:
    """The sources that were asked for the list."""
    told = answer.recommendations
    if told.fallback_used:
        spoke = {item.source for item in told.items}
        return tuple(name for name in CANDIDATE_SOURCES if name in spoke)
    return tuple(answer.placement.sources)


def _standing(name: str, row: int, state: UserState) -> SourceRank:
    rows, score = CANDIDATE_SOURCES[name](state)
    quota = QUOTAS.get(name)
    order = np.lexsort((rows, -score))
    place = np.flatnonzero(rows[order] == row)
    last = order[min(len(order), quota or len(order)) - 1] if len(order) else None
    return SourceRank(
        source=name,
        rank=int(place[0]) + 1 if len(place) else None,
        score=float(score[order[place[0]]]) if len(place) else 0.0,
        n_found=len(rows),
        quota=quota,
        cut_score=0.0 if last is None else float(score[last]),
    )


def _effects(
    placement: Placement, state: UserState, names: tuple[str, ...], row: int
) -> tuple[FeatureContribution, ...]:
    ranker = ranker_of(placement, state)
    candidates = generate({name: CANDIDATE_SOURCES[name] for name in names}, state)
    place = np.flatnonzero(candidates.item_idx == row)
    if not ranker.is_fitted or not len(place):
        return ()
    table = features(state, candidates)[place]
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
