"""Visits of one user: those of the bundle, with the purchases and refunds of the live log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import UNKNOWN
from recsys.data.dataset import NO_INTEREST, PURCHASE
from recsys.data.history import UserHistory
from recsys.fitting.engine import Engine
from recsys.live.recent_events import EventBuffer
from recsys.segments.visits import Lines, Visits, group_visits, merge_visits

LineKey = tuple[int, int, int]
"""Basket, item and time of a purchase."""

NOTHING: Final = np.empty(0, np.int64)


@dataclass(frozen=True)
class KnownLines:
    """The events of one user from both sides.

    Attributes:
        bundle: histories of the bundle under each id of the user, without erased events.
        live: events of the live log under each id.
        settled: both, with copies left out and refunds taken back.
    """

    bundle: Sequence[UserHistory]
    live: Sequence[EventBuffer]
    settled: UserHistory


def bundle_visits(engine: Engine, user_id: str, erased_at: float) -> Visits:
    """Return the visits of one id in the bundle, after its last erasure.

    Args:
        engine: the bundle's models.
        user_id: the id.
        erased_at: seconds since 1970.
    """
    row = engine.users.row(user_id)
    visits = engine.segments.visits.of_users(NOTHING if row == UNKNOWN else np.array([row]))
    if row == UNKNOWN:
        return replace(visits, indptr=np.zeros(2, np.int64))
    return visits.take(visits.at > erased_at) if len(visits) and visits.at[0] <= erased_at else visits


def live_visits(engine: Engine, known: Sequence[Visits], lines: KnownLines) -> Visits:
    """Add the live log to the visits of a user in the bundle.

    A refund takes back the lines of the bundle that `settle_history` finds. What is left of an order then has the mean
    price of its lines; an order without lines is gone.

    Args:
        engine: the bundle's models.
        known: visits in the bundle under each id of the user.
        lines: the events.
    """
    bundled = Counter(key for history in lines.bundle for key in _purchases(history))
    settled = Counter(_purchases(lines.settled))
    kept = [_without(visits, bundled - settled, bundled) for visits in known]
    added = settled - bundled
    parts = [_grouped(engine, buffer, added) for buffer in lines.live]
    return merge_visits([*kept, *parts])


def _purchases(history: UserHistory) -> list[LineKey]:
    bought = history.of_type(PURCHASE)
    return list(zip(bought.basket_idx.tolist(), bought.item_idx.tolist(), bought.timestamp.tolist(), strict=True))


def _without(visits: Visits, gone: Counter[LineKey], bundled: Counter[LineKey]) -> Visits:
    """Return visits without lines that were refunded."""
    if not gone:
        return visits
    n_gone, n_known = Counter[int](), Counter[int]()
    for (basket, *_), count in gone.items():
        n_gone[basket] += count
    for (basket, *_), count in bundled.items():
        n_known[basket] += count
    share = np.array([1 - n_gone[basket] / max(n_known[basket], 1) for basket in visits.basket_idx.tolist()])
    changed = replace(
        visits,
        n_lines=np.maximum(np.round(visits.n_lines * share), (share > 0) & visits.is_order).astype(np.int32),
        n_priced=np.round(visits.n_priced * share).astype(np.int32),
        n_discounted=np.round(visits.n_discounted * share).astype(np.int32),
        order_price=(visits.order_price * share).astype(np.float32),
    )
    return changed.take((changed.n_lines > 0) | ~visits.is_order)


def _grouped(engine: Engine, buffer: EventBuffer, added: Counter[LineKey]) -> Visits:
    """Group the live events of one id; of the purchases, those that were added."""
    is_bought = buffer["event_type"] == PURCHASE
    keep = ~is_bought & ~np.isin(buffer["event_type"], NO_INTEREST)
    at = buffer["at"].astype(np.int64)
    for row in np.flatnonzero(is_bought).tolist():
        key = int(buffer["basket_idx"][row]), int(buffer["item_idx"][row]), int(at[row])
        if added[key] > 0:
            added[key] -= 1
            keep[row] = True
    buffer, at, bought = buffer[keep], at[keep], is_bought[keep]
    lines = Lines(
        user_idx=np.zeros(len(buffer), np.int32),
        basket_idx=buffer["basket_idx"],
        at=at,
        hour=buffer["hour"],
        weekday=buffer["weekday"],
        channel=buffer["channel"],
        is_purchase=bought,
        paid=buffer["price"],
        quantity=buffer["quantity"],
        list_price=_list_prices(engine, buffer["item_idx"]),
    )
    return group_visits(lines, 1, engine.segments.config.value.min_discount)


def _list_prices(engine: Engine, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Return the list price of each item, NaN for an item that the bundle does not have."""
    found = np.full(len(rows), np.nan, np.float32)
    known = rows < len(engine.list_price)
    found[known] = engine.list_price[rows[known]]
    return found
