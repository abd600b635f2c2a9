"""Visits of users as columns: what every segment is computed from, for all users at once or for one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.data.channels import NO_CHANNEL
from recsys.data.dataset import NO_INTEREST, PURCHASE, Dataset


@dataclass(frozen=True)
class Lines:
    """Events of users, sorted by time; every array has one entry per event.

    Attributes:
        user_idx: int32, >= 0.
        basket_idx: int32, the basket, session or day; unique within a user.
        at: int64, seconds since 1970.
        hour: int8, local, -1 for unknown.
        weekday: int8, local, 1 Monday to 7 Sunday.
        channel: int16, -1 for unknown.
        is_purchase: bool.
        paid: float32, price of one piece, NaN for unknown.
        quantity: float32, number of pieces, NaN for unknown.
        list_price: float32, list price of the item, NaN for unknown.
    """

    user_idx: npt.NDArray[np.int32]
    basket_idx: npt.NDArray[np.int32]
    at: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int8]
    weekday: npt.NDArray[np.int8]
    channel: npt.NDArray[np.int16]
    is_purchase: npt.NDArray[np.bool_]
    paid: npt.NDArray[np.float32]
    quantity: npt.NDArray[np.float32]
    list_price: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Visits:
    """Baskets, sessions or days of users, grouped by user, oldest first (compressed sparse rows).

    A visit with purchases is an order.

    Attributes:
        indptr: int64 (n_users + 1,), start of each user's visits.
        at: int64, first event, seconds since 1970.
        hour: int8, local, -1 for unknown.
        weekday: int8, local, 1 Monday to 7 Sunday.
        channel: int16, index of the channel, -1 for unknown.
        basket_idx: int32, number of the basket, as in `History`.
        n_lines: int32, lines that were bought; 0 for a visit without an order.
        n_priced: int32, bought lines of known price.
        n_discounted: int32, those of them bought below the list price.
        order_price: float32, sum of price times quantity over the priced lines; NaN without one.
    """

    indptr: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int8]
    weekday: npt.NDArray[np.int8]
    channel: npt.NDArray[np.int16]
    basket_idx: npt.NDArray[np.int32]
    n_lines: npt.NDArray[np.int32]
    n_priced: npt.NDArray[np.int32]
    n_discounted: npt.NDArray[np.int32]
    order_price: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.at)

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.indptr) - 1

    @cached_property
    def user_idx(self) -> npt.NDArray[np.int64]:
        """User of each visit, int64 (n_visits,)."""
        return np.repeat(np.arange(self.n_users), np.diff(self.indptr))

    @cached_property
    def is_order(self) -> npt.NDArray[np.bool_]:
        """Whether anything was bought, bool (n_visits,)."""
        return self.n_lines > 0

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Visits:
        """Return some visits of the same users; the rows of each user stay in their order."""
        counts = np.bincount(self.user_idx[rows], minlength=self.n_users)
        columns = {name: column[rows] for name, column in vars(self).items() if name in COLUMNS}
        return Visits(indptr=_starts(counts), **columns)

    def until(self, now: int) -> Visits:
        """Return the visits that began at or before a moment, seconds since 1970."""
        known = self.at <= now
        return self if known.all() else self.take(known)

    @cached_property
    def orders(self) -> Visits:
        """The visits with purchases."""
        return self.take(self.is_order)

    def of_users(self, rows: npt.NDArray[np.integer]) -> Visits:
        """Return the visits of some users, in the given order."""
        visits, counts = rows_of(self.indptr, rows)
        columns = {name: column[visits] for name, column in vars(self).items() if name in COLUMNS}
        return Visits(indptr=_starts(counts), **columns)


COLUMNS: Final = tuple(name for name in Visits.__dataclass_fields__ if name != "indptr")


def group_visits(lines: Lines, n_users: int, min_discount: float) -> Visits:
    """Group events into visits.

    Args:
        lines: events, sorted by time.
        n_users: number of users.
        min_discount: share below the list price from which a line was bought at a discount.
    """
    first, visit = _distinct(lines.user_idx, lines.basket_idx)
    bought = lines.is_purchase
    is_priced = bought & np.isfinite(lines.paid)
    is_cheap = is_priced & (lines.paid < (1 - min_discount) * lines.list_price)
    pieces = np.where(np.isfinite(lines.quantity), lines.quantity, 1)
    price = _count(visit[is_priced], len(first), (lines.paid * pieces)[is_priced].astype(np.float64))
    n_priced = _count(visit[is_priced], len(first))
    channel = np.full(len(first), NO_CHANNEL, np.int16)
    known = np.flatnonzero(lines.channel != NO_CHANNEL)[::-1]
    channel[visit[known]] = lines.channel[known]
    order = np.lexsort((lines.at[first], lines.user_idx[first]))
    first = first[order]
    return Visits(
        indptr=_starts(np.bincount(lines.user_idx[first], minlength=n_users)),
        at=lines.at[first],
        hour=lines.hour[first],
        weekday=lines.weekday[first],
        channel=channel[order],
        basket_idx=lines.basket_idx[first],
        n_lines=_count(visit[bought], len(order)).astype(np.int32)[order],
        n_priced=n_priced.astype(np.int32)[order],
        n_discounted=_count(visit[is_cheap], len(order)).astype(np.int32)[order],
        order_price=np.where(n_priced > 0, price, np.nan).astype(np.float32)[order],
    )


def dataset_visits(dataset: Dataset, min_discount: float) -> Visits:
    """Group the events of a shop into visits; list impressions and refunds are no visits."""
    events = dataset.events
    events = events.take((events.user_idx >= 0) & ~np.isin(events.event_type, NO_INTEREST))
    lines = Lines(
        user_idx=events.user_idx,
        basket_idx=events.basket_idx,
        at=events.timestamp,
        hour=events.hour,
        weekday=events.weekday,
        channel=events.channel,
        is_purchase=events.event_type == PURCHASE,
        paid=events.price,
        quantity=events.quantity,
        list_price=dataset.catalog["list_price"].cast(float).to_numpy()[events.item_idx].astype(np.float32),
    )
    visits = group_visits(lines, len(dataset.users), min_discount)
    keys = np.append(dataset.basket_keys, np.int32(-1))
    return replace(visits, basket_idx=keys[visits.basket_idx])


def stack_visits(parts: list[Visits]) -> Visits:
    """Join the visits of several groups of users, one after the other."""
    if not parts:
        return no_visits(0)
    counts = [np.diff(part.indptr) for part in parts]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
    return Visits(indptr=_starts(np.concatenate(counts)), **columns)


def merge_visits(parts: list[Visits]) -> Visits:
    """Join the visits of one user, oldest first; parts of one basket become one visit.

    Args:
        parts: visits of one user each, under any of the user's ids.
    """
    joined = stack_visits(parts)
    joined = _sorted(joined, np.argsort(joined.at, kind="stable"))
    baskets, first, visit = np.unique(joined.basket_idx, return_index=True, return_inverse=True)
    if len(baskets) == len(joined):
        return joined
    price = _count(visit, len(first), np.nan_to_num(joined.order_price).astype(np.float64))
    n_priced = _count(visit, len(first), joined.n_priced)
    merged = replace(
        _sorted(joined, first),
        n_lines=_count(visit, len(first), joined.n_lines).astype(np.int32),
        n_priced=n_priced.astype(np.int32),
        n_discounted=_count(visit, len(first), joined.n_discounted).astype(np.int32),
        order_price=np.where(n_priced > 0, price, np.nan).astype(np.float32),
    )
    return _sorted(merged, np.argsort(first))


def _sorted(visits: Visits, rows: npt.NDArray[np.int64]) -> Visits:
    """Return some visits of a single user, in the given order."""
    columns = {name: getattr(visits, name)[rows] for name in COLUMNS}
    return Visits(indptr=np.array([0, len(rows)], np.int64), **columns)


def no_visits(n_users: int) -> Visits:
    """Return the visits of users without any."""
    nothing = {name: np.empty(0, dtype) for name, dtype in zip(COLUMNS, DTYPES, strict=True)}
    return Visits(indptr=np.zeros(n_users + 1, np.int64), **nothing)


DTYPES: Final = (np.int64, np.int8, np.int8, np.int16, np.int32, np.int32, np.int32, np.int32, np.float32)


def rows_of(
    indptr: npt.NDArray[np.int64], groups: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows of some groups of compressed sparse rows, one group after the other, and their numbers of rows.

    >>> rows_of(np.array([0, 2, 2, 5]), np.array([2, 0]))
    (array([2, 3, 4, 0, 1]), array([3, 2]))
    """
    first = indptr[groups]
    counts = indptr[groups + 1] - first
    before = np.cumsum(counts) - counts
    return np.repeat(first - before, counts) + np.arange(int(counts.sum())), counts


def _distinct(
    user_idx: npt.NDArray[np.int32], basket_idx: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first row of each pair, and the pair of each row."""
    n_baskets = int(basket_idx.max(initial=0)) + 2
    pair = user_idx.astype(np.int64) * n_baskets + basket_idx + 1
    _, first, inverse = np.unique(pair, return_index=True, return_inverse=True)
    return first, inverse


def _count(
    rows: npt.NDArray[np.int64], n: int, weights: npt.NDArray[np.generic] | None = None
) -> npt.NDArray[np.float64]:
    return np.bincount(rows, weights, minlength=n).astype(np.float64)


def _starts(counts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
