"""Order lines of one user with live events, settled as `recsys.data.orders` settles those of the tables."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import DAY_S, PURCHASE, REFUND
from recsys.data.history import UserHistory


def settle_history(
    history: UserHistory,
    pieces: npt.NDArray[np.float32],
    has_receipt: npt.NDArray[np.bool_],
    is_live: npt.NDArray[np.bool_],
) -> UserHistory:
    """Return a history without copies of order lines, and without purchases that live refunds took back.

    Purchases of the bundle are settled already: of several lines of one receipt, the first stays. How many pieces they
    had is not known there, so a live refund takes a line of the bundle back as a whole.

    Args:
        history: events, oldest first.
        pieces: float32 (n,), quantity of each event, NaN where it is not known.
        has_receipt: bool (n,), whether the basket of a live event is a receipt.
        is_live: bool (n,), whether the event is from the live log.
    """
    is_order = (history.event_type == PURCHASE) | (history.event_type == REFUND)
    if not (is_order & is_live & (has_receipt | (history.event_type == REFUND))).any():
        return history
    pieces = np.where(np.isnan(pieces), np.where(history.event_type == PURCHASE, 1, np.inf), pieces)
    dropped = _copies(history, np.flatnonzero(is_order), has_receipt, pieces)
    refunds = np.flatnonzero(is_live & (history.event_type == REFUND) & ~dropped)
    bought = np.flatnonzero((history.event_type == PURCHASE) & ~dropped)
    for refund in refunds.tolist():
        taken = _take(history, refund, bought, pieces, has_receipt, is_live)
        is_part = any(pieces[line] > 0 for line in taken)
        dropped[refund] |= is_part
        dropped[[line for line in taken if pieces[line] <= 0]] = True
    return history.take(~dropped) if dropped.any() else history


def _copies(
    history: UserHistory,
    orders: npt.NDArray[np.int64],
    has_receipt: npt.NDArray[np.bool_],
    pieces: npt.NDArray[np.floating],
) -> npt.NDArray[np.bool_]:
    """Return the lines that repeat a line of their receipt, and add up the pieces of one moment."""
    dropped = np.zeros(len(history), np.bool_)
    first: dict[tuple[int, ...], int] = {}
    with_receipt = set(history.basket_idx[orders[has_receipt[orders]]].tolist())
    columns = (history.basket_idx, history.event_type, history.timestamp)
    for line in orders.tolist():
        basket, kind, when = (int(column[line]) for column in columns)
        if basket not in with_receipt:
            continue
        day = when // DAY_S if kind == REFUND else 0
        earlier = first.setdefault((kind, basket, int(history.item_idx[line]), day), line)
        if earlier != line:
            dropped[line] = True
            if when == history.timestamp[earlier]:
                pieces[earlier] += pieces[line]
    return dropped


def _take(
    history: UserHistory,
    refund: int,
    bought: npt.NDArray[np.int64],
    pieces: npt.NDArray[np.floating],
    has_receipt: npt.NDArray[np.bool_],
    is_live: npt.NDArray[np.bool_],
) -> list[int]:
    """Take a refund off the purchase of its receipt, else off the latest ones; return these."""
    same_item = history.item_idx[:refund] == history.item_idx[refund]
    of_receipt = same_item & (history.basket_idx[:refund] == history.basket_idx[refund]) & has_receipt[refund]
    lines = bought[(bought < refund)]
    lines = lines[same_item[lines] & (pieces[lines] > 0)][::-1]
    if of_receipt.any():
        lines = lines[of_receipt[lines]][:1]
    taken: list[int] = []
    rest = float(pieces[refund]) or math.inf
    for line in lines.tolist():
        part = min(rest, float(pieces[line])) if is_live[line] else float(pieces[line])
        pieces[line] -= part
        taken.append(line)
        rest = 0.0 if rest == math.inf else rest - part
        if rest <= 0:
            break
    return taken
