"""Items for occasions: festivals, climate, stages of life, places and themes; and for a first order."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.occasions import Occasion, OpenTimes
from recsys.fitting.engine import Engine
from recsys.moments.found import NEVER, MomentItems, MomentQuery, Values, no_items

LIKED_TYPE_WEIGHT: Final = 4.0
"""Factor of the share that an item's type has of what the user likes, on top of 1."""

_SMALLEST_SHARE: Final = 1e-9


def occasions(query: MomentQuery) -> MomentItems:
    """Items of the open occasions of the placement, each for the first occasion that it fits.

    An item fits by the occasion's tags; to a festival it fits too if it sold more before the last one, where the shop's
    past goes back to it. Of several open stages of one date only the latest counts: a child is in one of them. The
    score is `share · lift · (1 + 4·t)`, with the item's share of sales, its lift (1 without one), and the share `t` of
    its type in what the user likes. It is due on the day of the festival.
    """
    engine = query.engine
    lift = np.zeros(engine.n_items)
    which = np.full(engine.n_items, -1, np.int64)
    times: list[tuple[int, int]] = []
    names: list[str] = []
    for occasion, found in _open(query):
        fits = _lifts(engine, occasion)
        is_new = (fits > 0) & (which < 0)
        which[is_new], lift[is_new] = len(names), fits[is_new]
        names.append(occasion.name)
        times.append(
            (
                NEVER if found.due is None else int(found.due.timestamp()),
                NEVER if found.until is None else int(found.until.timestamp()),
            )
        )
    rows = np.flatnonzero(which >= 0)
    if not len(rows):
        return no_items()
    of, share = which[rows], engine.popularity.share[rows].astype(np.float64) + _SMALLEST_SHARE
    due, until = (np.array([each[n] for each in times], np.int64)[of] for n in (0, 1))
    days = np.where(due > 0, np.maximum(-(-(due - query.now) // 86_400), 0), 0)
    values: Values = {
        "occasion": np.array(names, np.object_)[of],
        "lift": np.round(lift[rows], 2),
        "days": days,
    }
    message = np.where(due == NEVER, "occasion", np.where(lift[rows] > 1, "festival_sold", "festival"))
    score = share * lift[rows] * (1 + LIKED_TYPE_WEIGHT * _liked_share(query, rows))
    return MomentItems.of(rows, score, message.astype(np.object_), values, due, until).best(query.allowed)


def _open(query: MomentQuery) -> list[tuple[Occasion, OpenTimes]]:
    """The open occasions with their times, of the stages of one date only the one that began last."""
    attributes = query.attributes()
    opened = [(each, each.open_times(query.local, query.context, attributes)) for each in query.occasions]
    latest: dict[str, int] = {}
    for occasion, found in opened:
        if found is not None and occasion.date:
            latest[occasion.date] = max(latest.get(occasion.date, occasion.from_days), occasion.from_days)
    return [
        (occasion, found)
        for occasion, found in opened
        if found is not None and (not occasion.date or occasion.from_days == latest[occasion.date])
    ]


def first_order(query: MomentQuery) -> MomentItems:
    """Items that win customers, for those who have not ordered yet; items of types that they looked at come first."""
    model = query.engine.first_orders
    if len(query.own.item_idx) or not len(model.item_idx):
        return no_items()
    score = model.score * (1 + LIKED_TYPE_WEIGHT * _liked_share(query, model.item_idx))
    values: Values = {"share": np.round(model.share.astype(np.float64), 4)}
    return MomentItems.of(model.item_idx, score, "first_order", values).best(query.allowed)


def _lifts(engine: Engine, occasion: Occasion) -> npt.NDArray[np.float64]:
    """The lift of each item that fits an occasion, 0 for the others; 1 by tags alone."""
    fits = tagged(engine, occasion.tags).astype(np.float64)
    if occasion.festival:
        rows, lift = engine.festival_lifts.of(occasion.festival)
        fits[rows] = np.maximum(fits[rows], lift)
    return fits


def tagged(engine: Engine, tags: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Return the items with any of some tags, or with any of them as a level of their category, bool (n_items,)."""
    quoted = ", ".join("'" + tag.replace("'", "''") + "'" for tag in tags)
    text = f"has_any(tags, {quoted}) OR category IN ({quoted})"
    return engine.tag_masks.mask(text, engine.items_table, engine.general_state)


def _liked_share(query: MomentQuery, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """The share that the type of each item has of the weights of what the user likes."""
    types, (liked, weight) = query.engine.catalog.item_type, query.liked
    if not len(liked):
        return np.zeros(len(rows))
    of_type = np.bincount(types[liked] + 1, weight, len(query.engine.catalog.type_names) + 1)
    share = of_type / max(float(of_type.sum()), 1e-12)
    share[0] = 0
    return share[types[rows] + 1]
