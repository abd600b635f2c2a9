"""One request from end to end: resolve it, rank the items, and give each listed item its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat

import msgspec
from msgspec.structs import replace

from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.request import Recommendations, RecommendedItem, Request
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.moments.registry import MOMENTS
from recsys.pipeline.item_fields import item_fields
from recsys.pipeline.item_sets import describe_sets
from recsys.pipeline.resolve import resolve_request
from recsys.pipeline.stages import rank
from recsys.reasons.evidence import reasons_for
from recsys.reasons.item_sets import set_reasons
from recsys.reasons.labels import rule_reasons
from recsys.reasons.moments import Times, moment_times
from recsys.retrieval.query import NO_ITEMS, Ranking
from recsys.retrieval.user_state import UserState
from recsys.rules.masks import Masks


@dataclass(frozen=True)
class RankedResult:
    """A list, with what explanations and later pages need.

    Attributes:
        recommendations: the list.
        placement: its placement, with the settings that the request overrides.
        state: the user and the query.
        rest: the items that follow the list, in order.
    """

    recommendations: Recommendations
    placement: Placement
    state: UserState
    rest: Ranking


def recommend(
    engine: Engine, request: Request, model_version: str = "", live: LiveView | None = None
) -> Recommendations:
    """Returns a built-in list; see `recommend_with_trace`."""
    return recommend_with_trace(engine, request, model_version, live).recommendations


def recommend_with_trace(
    engine: Engine,
    request: Request,
    model_version: str = "",
    live: LiveView | None = None,
    placements: Mapping[str, Placement] = PLACEMENTS,
    masks: Masks | None = None,
) -> RankedResult:
    """Returns the list of a request, over the catalog with the offers that apply to it.

    Args:
        engine: the models, over the catalog without offers.
        request: the request.
        model_version: the bundle's name, for the response.
        live: the changes since the bundle was trained; `engine` is then its engine.
        placements: the lists, by name.
        masks: keeps compiled filters and masks from one request to the next; new ones if not given.

    Returns:
        The list; empty where nothing is known to list. Unknown seeds are in `missing_ids`.

    Raises:
        RequestError: the placement or the limit does not exist, or the list needs an item.
        FilterError: a value does not fit the request's filter.
    """
    placement, state = resolve_request(engine, request, placements, live, masks)
    ranking = rank(placement, state)
    page, rest = ranking.split(request.limit) if request.n_lookahead else (ranking, NO_ITEMS)
    return RankedResult(to_recommendations(placement, state, page, model_version), placement, state, rest)


def to_recommendations(
    placement: Placement, state: UserState, ranking: Ranking, model_version: str, first: int = 1
) -> Recommendations:
    """Returns a ranking with ids and with the reasons of each item.

    Args:
        placement: the list.
        state: the user and the query.
        ranking: the items of one page.
        model_version: the bundle's name, for the response.
        first: rank of the first item.
    """
    engine, query = state.engine, state.query
    source = ranking.source.tolist()
    if ranking.set_idx is not None:
        reasons = set_reasons(state, ranking.item_idx, ranking.set_idx)
    else:
        has_rules = query.overrides.pins or query.overrides.promotions
        reasons = (rule_reasons if has_rules else reasons_for)(placement, state, ranking.item_idx, source)
    ids = engine.items.ids
    propensity = repeat(1.0, len(reasons)) if ranking.propensity is None else ranking.propensity.tolist()
    columns = (ranking.item_idx.tolist(), ranking.score.tolist(), source, reasons, propensity)
    items = tuple(
        RecommendedItem(ids[row], score, rank, source, why, propensity)
        for rank, (row, score, source, why, propensity) in enumerate(zip(*columns, strict=True), first)
    )
    if not MOMENTS.keys().isdisjoint(source):
        items = _with_times(items, moment_times(state, ranking.item_idx, source))
    if query.fields:
        values = item_fields(engine.items_table, ranking.item_idx, query.fields)
        items = tuple(replace(item, fields=row) for item, row in zip(items, values, strict=True))
    n_head = int(engine.popularity.is_head[ranking.item_idx].sum())
    return Recommendations(
        placement=placement.name,
        model_version=model_version,
        items=items,
        fallback_used=ranking.fallback_used,
        missing_ids=query.missing_ids,
        head_share=n_head / max(len(items), 1),
        local_hour=query.hour,
        timezone=query.timezone,
        sets=describe_sets(state, ranking, reasons) if placement.lists == "sets" else msgspec.UNSET,
    )


def _with_times(items: tuple[RecommendedItem, ...], times: list[Times]) -> tuple[RecommendedItem, ...]:
    """The items with the times at which they are due and at which their reasons expire, where there are any."""
    return tuple(
        replace(item, due_at=_rfc3339(due), expires_at=_rfc3339(expires)) if due or expires else item
        for item, (due, expires) in zip(items, times, strict=True)
    )


def _rfc3339(at: int) -> str | msgspec.UnsetType:
    """The moment as text; nothing for `NEVER`."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z") if at else msgspec.UNSET
