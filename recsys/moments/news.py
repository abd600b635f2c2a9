"""Items that are new or sell more than usual."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np

from recsys.data.catalog import PATH_SEPARATOR
from recsys.data.dataset import DAY_S
from recsys.models.temporal.popularity import MOMENTUM_DAYS
from recsys.moments.found import N_FOUND, MomentItems, MomentQuery, Values, no_items
from recsys.moments.terms import known_columns

MAX_NEW: Final = 2000
"""New items that are compared with what the user likes, the newest ones."""

MIN_BUYERS: Final = 3
_WEEK: Final = MOMENTUM_DAYS.index(7.0)


def new_arrivals(query: MomentQuery) -> MomentItems:
    """New items of a brand, series, style or product type that the user likes, and has no event with.

    The score is the sum of the shares of the user's liking that the item's values have; the reason names the value with
    the largest share, a series before a brand and a brand before a type. It expires when the item is no longer new.
    """
    engine, config = query.engine, query.config
    oldest = query.now - config.new_days * DAY_S
    created, newest = engine.created_at_s, engine.newest
    new = newest[: int(np.searchsorted(-created[newest], -oldest, side="left"))]
    new = new[created[new] <= query.now]
    if query.allowed is not None:
        new = new[query.allowed[new]]
    new = new[~np.isin(new, query.history.item_idx)][:MAX_NEW]
    liked, weight = query.liked
    if not len(new) or not len(liked):
        return no_items()
    kinds = (*config.series_columns, "brand", "type")
    mine, theirs = _values(query, liked), _values(query, new)
    score, kind, name = np.zeros(len(new)), np.full(len(new), "", np.object_), np.full(len(new), "", np.object_)
    for each in kinds:
        if each not in mine or each not in theirs:
            continue
        share: dict[object, float] = defaultdict(float)
        for value, part in zip(mine[each], (weight / weight.sum()).tolist(), strict=True):
            if value is not None:
                share[value] += part
        own = np.array([share.get(value, 0.0) if value is not None else 0.0 for value in theirs[each]])
        is_first = (own > 0) & (kind == "")
        kind[is_first] = "new_in_type" if each == "type" else "new_arrival"
        name[is_first] = np.array([str(value) for value in theirs[each]], np.object_)[is_first]
        score += own
    values: Values = {"name": name, "created_days_ago": (query.now - created[new]) // DAY_S}
    until = created[new] + config.new_days * DAY_S
    return MomentItems.of(new, score, kind, values, expires_at=until).take(score > 0).best(None)


def _values(query: MomentQuery, rows: np.ndarray) -> dict[str, list[object]]:
    """The values by which items belong together, by column; the type is the last level of the category."""
    engine = query.engine
    found = known_columns(engine, rows, (*query.config.series_columns, "brand"))
    names = engine.catalog.type_names
    types = engine.catalog.item_type[rows].tolist()
    found["type"] = [names[type_].split(PATH_SEPARATOR)[-1] if type_ >= 0 else None for type_ in types]
    return {name: [value if isinstance(value, str) else None for value in column] for name, column in found.items()}


def trending(query: MomentQuery) -> MomentItems:
    """Items whose recent share of sales is well above their usual one, by what they sell more: `s · (1 − 1/m)`.

    `s` is the recent share of sales, `m` its ratio to the usual one, shrunk to 1; see `popularity.momentum`.
    """
    popularity = query.engine.popularity
    ratio = popularity.momentum[:, _WEEK]
    is_up = (ratio >= query.config.min_trend) & (popularity.n_buyers >= MIN_BUYERS)
    if query.allowed is not None:
        is_up &= query.allowed
    rows = np.flatnonzero(is_up)
    score = popularity.share[rows].astype(np.float64) * (1 - 1 / ratio[rows])
    best = np.lexsort((rows, -score))[:N_FOUND]
    rows, score = rows[best], score[best]
    values: Values = {"trend": np.round(ratio[rows].astype(np.float64), 2), "n_buyers": popularity.n_buyers[rows]}
    return MomentItems.of(rows, score, "trending", values).take(score > 0)
