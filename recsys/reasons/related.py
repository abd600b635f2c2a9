"""Evidence from other items: what an item goes with, resembles or follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.request import Reason
from recsys.kernels.evidence import strongest
from recsys.models.pairs.related_items import BY_USER_ONLY, RelatedItems
from recsys.models.pairs.sequence import NeighborLists, weigh_recent
from recsys.reasons.context import NOTHING, ItemReasons, ReasonContext, Rows
from recsys.reasons.templates import Value

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
    rows: Rows,
    n_items: int,
    lists: Rows | None = None,
) -> tuple[Rows, Rows]:
    """For each row, the list with the largest weighted score for it, -1 where no list has it, and its entry there.

    Args:
        near: (n_lists, length), rows of the seeds' lists.
        score: float32, of the entries.
        weight: float32 (n_seeds,), how much each seed counts.
        rows: int32 (n,), distinct.
        n_items: larger than every row.
        lists: int32 (n_seeds,), the list of each seed; each list in its order if not given.
    """
    lists = np.arange(len(near), dtype=np.int32) if lists is None else lists
    return strongest(near, score, lists, weight, rows, n_items)


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
    copurchase, ids = context.engine.copurchase, context.engine.items.ids
    reasons: list[ItemReasons] = []
    if not len(seeds):
        return [NOTHING] * len(rows)
    where, n_together = lists.strongest(seeds, weight, rows, context.engine.n_items)
    of_pair = (rows, where, seeds[where], n_together)
    of_item = (copurchase.n_baskets[seeds][where], copurchase.n_baskets[rows])
    for row, list_, seed, n_both, n_seed, n_item in zip(*(each.tolist() for each in of_pair + of_item), strict=True):
        if list_ < 0:
            reasons.append(NOTHING)
            continue
        if not n_both:
            reasons.append((without_pair(context, seed, row),))
            continue
        values: dict[str, Value] = {"with": ids[seed], "title": context.title(seed)}
        if n_both == BY_USER_ONLY:
            reasons.append((context.reason("bought_by_same_users", values),))
            continue
        values |= {"n_together": n_both, "n_baskets": n_seed}
        lift = n_both * copurchase.n_all / (n_seed * n_item)
        if lift < LOWEST_QUOTED_LIFT:
            reasons.append((context.reason("often_bought_together", values),))
            continue
        reasons.append((context.reason("bought_together", values | {"lift": round(lift, 2)}),))
    return reasons


def like_own(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the user's items that each item resembles."""
    return _like(context, rows, *context.state.similar, *context.state.top_history_items)


def like_seed(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """Returns the seeds that each item resembles."""
    seeds, hybrid = context.query.seeds, context.engine.hybrid
    near, score = hybrid.similar_idx[seeds], hybrid.similar_score[seeds]
    return _like(context, rows, near, score, seeds, np.ones(len(seeds), np.float32))


def _like(
    context: ReasonContext,
    rows: Rows,
    near: Rows,
    score: npt.NDArray[np.float32],
    seeds: Rows,
    weight: npt.NDArray[np.float32],
) -> list[ItemReasons]:
    """The seed in whose list each item has the largest score; `near` and `score` are the lists of the seeds."""
    reasons: list[ItemReasons] = []
    if not len(seeds):
        return [NOTHING] * len(rows)
    where, column = _strongest(near, score, weight, rows, context.engine.n_items)
    for list_, seed, likeness in zip(where.tolist(), seeds[where].tolist(), score[where, column].tolist(), strict=True):
        if list_ < 0:
            reasons.append(NOTHING)
            continue
        values: dict[str, Value] = {
            "like": context.engine.items.ids[seed],
            "title": context.title(seed),
            "likeness": round(likeness, 3),
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
    n_known = len(model.items)
    wanted = np.where(model.row_of[rows] >= 0, model.row_of[rows], n_known + np.arange(len(rows), dtype=np.int32))
    lists, n_rows = position[known], n_known + len(rows)
    where, _ = _strongest(model.neighbor, model.weight, weight, wanted, n_rows, lists)
    for list_, seed in zip(where.tolist(), seeds[where].tolist(), strict=True):
        if list_ < 0:
            reasons.append(NOTHING)
            continue
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
    where, _ = lists.lists.strongest(row, weight[known], rows, context.engine.n_items)
    for list_, item in zip(where.tolist(), items[where].tolist(), strict=True):
        if list_ < 0:
            reasons.append(NOTHING)
            continue
        values: dict[str, Value] = {"item_id": context.engine.items.ids[item], "title": context.title(item)}
        reasons.append((context.reason(message, values),))
    return reasons
