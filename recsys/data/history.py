"""Event histories of users, which can be cut at any moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.config.ranges import PositiveInt
from recsys.data.dataset import VIEW_ITEM_LIST, Dataset
from recsys.data.incidence import incidence


@dataclass(frozen=True)
class HistoryConfig:
    """Settings of the history.

    Attributes:
        max_events: latest events kept per user; bounds the cost of a request.
    """

    max_events: PositiveInt = 3000


@dataclass(frozen=True)
class UserHistory:
    """Events of one user up to a moment, oldest first; arrays of one length.

    Attributes:
        item_idx: int32. timestamp: int64, seconds. event_type: int8. basket_idx: int32. hour: int8, local, -1 unknown.
        rating_weight: float32, weight of the event by its rating.
        price: float32, price of one piece in the item's currency, 0 for unknown.
    """

    item_idx: npt.NDArray[np.int32]
    timestamp: npt.NDArray[np.int64]
    event_type: npt.NDArray[np.int8]
    basket_idx: npt.NDArray[np.int32]
    hour: npt.NDArray[np.int8]
    rating_weight: npt.NDArray[np.float32]
    price: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.item_idx)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> UserHistory:
        """Return the chosen events."""
        return UserHistory(*(column[rows] for column in vars(self).values()))

    def of_type(self, event_type: int) -> UserHistory:
        """Return the events of one type."""
        is_type = self.event_type == event_type
        return self if is_type.all() else self.take(is_type)


def known_prices(price: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return the prices that are positive and finite, and 0 for all others, float32 (n,)."""
    return np.where((price > 0) & np.isfinite(price), price, 0).astype(np.float32)


def last_items(history: UserHistory, target_event: int, n_kept: int) -> UserHistory:
    """Return the latest purchase of each of the last `n_kept` distinct items, as of a user with little history."""
    bought = history.of_type(target_event)
    _, n_from_end = np.unique(bought.item_idx[::-1], return_index=True)
    latest = np.sort(len(bought) - 1 - n_from_end)[-n_kept:]
    chosen = np.zeros(len(bought), np.bool_)
    chosen[latest] = True
    return bought.take(chosen)


NO_HISTORY = UserHistory(
    np.empty(0, np.int32),
    np.empty(0, np.int64),
    np.empty(0, np.int8),
    np.empty(0, np.int32),
    np.empty(0, np.int8),
    np.empty(0, np.float32),
    np.empty(0, np.float32),
)


@dataclass(frozen=True)
class History:
    """Events of all users, grouped by user, oldest first in each group (compressed sparse rows).

    Attributes:
        indptr: int64 (n_users + 1,), start of each user's events.
        item_idx, event_type, hour: as in `UserHistory`.
        start_at: the earliest event, seconds since 1970.
        seconds: uint32, or int64 for more than 136 years, from `start_at` to each event.
        basket_idx: int32, `recsys.data.orders.basket_number` of the basket, -1 for none; the same in the live log.
        rating_weight: as in `UserHistory`; empty if all are 1.
        price: as in `UserHistory`; empty if none is known.
    """

    indptr: npt.NDArray[np.int64]
    item_idx: npt.NDArray[np.int32]
    start_at: int
    seconds: npt.NDArray[np.integer]
    event_type: npt.NDArray[np.int8]
    basket_idx: npt.NDArray[np.int32]
    hour: npt.NDArray[np.int8]
    rating_weight: npt.NDArray[np.float32]
    price: npt.NDArray[np.float32]

    @classmethod
    def grouped(cls, indptr: npt.NDArray[np.int64], events: UserHistory) -> History:
        """Build the histories from the events of all users, grouped by user."""
        start_at = int(events.timestamp.min()) if len(events) else 0
        seconds = events.timestamp - start_at
        fits = int(seconds.max(initial=0)) <= np.iinfo(np.uint32).max
        weight, price = events.rating_weight, events.price
        return cls(
            indptr=indptr,
            item_idx=events.item_idx,
            start_at=start_at,
            seconds=seconds.astype(np.uint32) if fits else seconds,
            event_type=events.event_type,
            basket_idx=events.basket_idx,
            hour=events.hour,
            rating_weight=weight[:0] if (weight == 1).all() else weight,
            price=price if price.any() else price[:0],
        )

    @property
    def timestamp(self) -> npt.NDArray[np.int64]:
        """Time of each event, int64, seconds since 1970."""
        return self.seconds.astype(np.int64) + self.start_at

    def of(self, user_idx: int, until: int) -> UserHistory:
        """Return the events of a user at or before `until` (seconds since 1970); empty for row -1."""
        if user_idx < 0:
            return NO_HISTORY
        start, stop = int(self.indptr[user_idx]), int(self.indptr[user_idx + 1])
        timestamp = self.seconds[start:stop].astype(np.int64) + self.start_at
        n = int(timestamp.searchsorted(until, side="right"))
        stop = start + n
        return UserHistory(
            self.item_idx[start:stop],
            timestamp[:n],
            self.event_type[start:stop],
            self.basket_idx[start:stop],
            self.hour[start:stop],
            self.rating_weight[start:stop] if len(self.rating_weight) else np.ones(n, np.float32),
            self.price[start:stop] if len(self.price) else np.zeros(n, np.float32),
        )

    def incidence(self, event_type: int, n_items: int, until: int | None = None) -> sparse.csr_matrix:
        """Return ones where a user has an event of a type with an item, float32 CSR (n_users, n_items).

        Args:
            event_type: code of the event.
            n_items: number of items of the catalog.
            until: seconds since 1970; later events are left out; None for all events.
        """
        n_users = len(self.indptr) - 1
        user = np.repeat(np.arange(n_users), np.diff(self.indptr))
        kept = self.event_type == event_type
        if until is not None:
            kept = kept & (self.seconds <= until - self.start_at)
        return incidence(user[kept], self.item_idx[kept], (n_users, n_items))


def build_history(dataset: Dataset, config: HistoryConfig) -> History:
    """Group events by user and keep the latest `max_events` of each; impressions are left out."""
    events = dataset.events
    order = np.lexsort((np.arange(len(events)), events.user_idx))
    order = order[(events.user_idx[order] >= 0) & (events.event_type[order] != VIEW_ITEM_LIST)]
    counts = np.bincount(events.user_idx[order], minlength=len(dataset.users))
    n_from_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(order))
    rows = events.take(order[n_from_end <= config.max_events])
    kept = np.minimum(counts, config.max_events)
    basket_idx = np.append(dataset.basket_keys, np.int32(-1))[rows.basket_idx]
    return History.grouped(
        np.concatenate([[0], np.cumsum(kept)]).astype(np.int64),
        UserHistory(
            rows.item_idx,
            rows.timestamp,
            rows.event_type,
            basket_idx,
            rows.hour,
            rows.rating_weight,
            known_prices(rows.price),
        ),
    )
