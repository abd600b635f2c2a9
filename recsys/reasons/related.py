"""Evidence from other items: what an item goes with, resembles or follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.request import Reason
from recsys.core.topk import is_among
from recsys.models.pairs.related_items import BY_USER_ONLY, RelatedItems
from recsys.models.pairs.sequence import NeighborLists, weigh_recent
from recsys.reasons.context import NOTHING, ItemReasons, ReasonContext, Rows
from recsys.reasons.templates import Value
from recsys.retrieval.sources import N_NEIGHBORS

LOWEST_QUOTED_LIFT: Final = 1.05
"""Below it, "1.0 times chance" would say that a pair means nothing."""


def with_own(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the user's items that share orders with each item."""
    return _together(context, rows, context.engine.copurchase.partners, *context.state.top_history_items)


def with_seed(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the seeds that share orders with each item."""
    seeds = context.query.seeds
    lists = context.engine.copurchase.bought_together
    return _together(context, rows, lists, seeds, np.ones(len(seeds), np.float32))


def goes_with_seed(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the seeds that each item complements."""
    seeds = context.query.seeds
    lists = context.engine.copurchase.complementary
    return _together(context, rows, lists, seeds, np.ones(len(seeds), np.float32), _types_together)


def _strongest(
    near: npt.NDArray[np.integer],
    score: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    rows: npt.NDArray[np.integer],
) -> list[tuple[int, int] | None]:
    """For each row, the list with the largest weighted score for it, and its entry there; None where no list has it.

    Args:
        near: (n_seeds, length), rows of the seeds' lists.
        score: float32, of the entries.
        weight: float32 (n_seeds,), how much each seed counts.
        rows: (n,), distinct.
    """
    order = np.argsort(rows)
    entry = np.flatnonzero(is_among(near.ravel(), rows[order]))
    row = near.ravel()[entry]
    weighted = (score * weight[:, None]).ravel()[entry]
    best: dict[int, int] = {}
    for position in np.argsort(-weighted, kind="stable").tolist():
        best.setdefault(int(row[position]), int(entry[position]))
    width = near.shape[1]
    return [divmod(best[each], width) if each in best else None for each in rows.tolist()]


def _with_type(context: ReasonContext, seed: int, row: int) -> Reason:
    return context.reason("goes_with_type", {"type": context.backoff_name(seed)})


def _types_together(context: ReasonContext, seed: int, row: int) -> Reason:
    """The item's type goes with the seed's type; of the item itself nothing is known."""
    type_, of_seed = context.engine.catalog.item_type[[row, seed]].tolist()
    if type_ < 0 or of_seed < 0:
        return _with_type(context, seed, row)
    values: dict[str, Value] = {"own_type": context.type_name(type_), "type": context.type_name(of_seed)}
    return context.reason("types_go_together", values)


def _together(
    context: ReasonContext,
    rows: Rows,
    lists: RelatedItems,
    seeds: Rows,
    weight: npt.NDArray[np.float32],
    without_pair: Callable[[ReasonContext, int, int], Reason] = _with_type,
) -> list[ItemReasons]:
    """The seed with the largest score for each item, and the number of baskets with both; no lift below 1."""
    copurchase, near = context.engine.copurchase, lists.rows(seeds)
    reasons: list[ItemReasons] = []
    found = _strongest(near.item_idx, near.score, weight, rows)
    for row, strongest in zip(rows.tolist(), found, strict=True):
        if strongest is None:
            reasons.append(NOTHING)
            continue
        seed = int(seeds[strongest[0]])
        n_both = int(near.n_together[strongest])
        if not n_both:
            reasons.append((without_pair(context, seed, row),))
            continue
        values: dict[str, Value] = {"with": context.engine.items.ids[seed], "title": context.title(seed)}
        if n_both == BY_USER_ONLY:
            reasons.append((context.reason("bought_by_same_users", values),))
            continue
        n_seed, n_item = int(copurchase.n_baskets[seed]), int(copurchase.n_baskets[row])
        values |= {"n_together": n_both, "n_baskets": n_seed}
        lift = n_both * copurchase.n_all / (n_seed * n_item)
        if lift < LOWEST_QUOTED_LIFT:
            reasons.append((context.reason("often_bought_together", values),))
            continue
        reasons.append((context.reason("bought_together", values | {"lift": round(lift, 2)}),))
    return reasons


def like_own(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the user's items that each item resembles."""
    return _like(context, rows, *context.state.top_history_items, N_NEIGHBORS)


def like_seed(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the seeds that each item resembles."""
    seeds = context.query.seeds
    return _like(context, rows, seeds, np.ones(len(seeds), np.float32))


def _like(
    context: ReasonContext,
    rows: Rows,
    seeds: Rows,
    weight: npt.NDArray[np.float32],
    n_neighbors: int | None = None,
) -> list[ItemReasons]:
    hybrid = context.engine.hybrid
    reasons: list[ItemReasons] = []
    near, score = hybrid.similar_idx[seeds, :n_neighbors], hybrid.similar_score[seeds, :n_neighbors]
    for strongest in _strongest(near, score, weight, rows):
        if strongest is None:
            reasons.append(NOTHING)
            continue
        seed = int(seeds[strongest[0]])
        values: dict[str, Value] = {
            "like": context.engine.items.ids[seed],
            "title": context.title(seed),
            "likeness": round(float(score[strongest]), 3),
        }
        reasons.append((context.reason("similar", values),))
    return reasons


def supporting_items(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the purchased item with the largest weight for each item."""
    own, model = context.state.own, context.engine.ease
    position = model.row_of[own.item_idx]
    known = position >= 0
    seeds, weight = own.item_idx[known], np.log1p(own.n_baskets[known]).astype(np.float32)
    if not len(seeds):
        return [NOTHING] * len(rows)
    reasons: list[ItemReasons] = []
    wanted = np.where(model.row_of[rows] >= 0, model.row_of[rows], len(model.items) + np.arange(len(rows)))
    for strongest in _strongest(model.neighbor[position[known]], model.weight[position[known]], weight, wanted):
        if strongest is None:
            reasons.append(NOTHING)
            continue
        seed = int(seeds[strongest[0]])
        values: dict[str, Value] = {"item_id": context.engine.items.ids[seed], "title": context.title(seed)}
        reasons.append((context.reason("goes_with_own", values),))
    return reasons


def around_latest(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the latest items that people turn to around each item."""
    return _neighbors(context, rows, context.engine.sequence.around, *context.state.recent_items, "viewed_together")


def after_latest(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the latest items that each item follows."""
    return _neighbors(context, rows, context.engine.sequence.after, *context.state.recent_items, "follows")


def around_seed(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the seeds that people turn to around each item."""
    seeds = context.query.seeds
    weighted = weigh_recent(seeds, np.arange(len(seeds)), context.engine.sequence.config)
    return _neighbors(context, rows, context.engine.sequence.around, *weighted, "viewed_together")


def _neighbors(
    context: ReasonContext,
    rows: Rows,
    lists: NeighborLists,
    items: Rows,
    weight: npt.NDArray[np.float32],
    message: str,
) -> list[ItemReasons]:
    """The item whose list has the largest weighted score for each row."""
    known = lists.row_of[items] >= 0
    items = items[known]
    if not len(items):
        return [NOTHING] * len(rows)
    row = lists.row_of[items]
    reasons: list[ItemReasons] = []
    for strongest in _strongest(*lists.lists.scored(row), weight[known], rows):
        if strongest is None:
            reasons.append(NOTHING)
            continue
        item = int(items[strongest[0]])
        values: dict[str, Value] = {"item_id": context.engine.items.ids[item], "title": context.title(item)}
        reasons.append((context.reason(message, values),))
    return reasons
