"""Tasks: the queries of each protocol and their relevant items."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.data.dataset import Dataset
from recsys.data.event_columns import Events
from recsys.data.incidence import incidence
from recsys.evaluation.splits import Window

ANONYMOUS = -1


@dataclass(frozen=True)
class Task:
    """Queries with known relevant items; all arrays have one entry per query.

    Attributes:
        user_idx: int32, -1 for anonymous queries.
        as_of: int64, moment of the query, seconds since 1970; no later event may be used.
        seed: int32, the item that the list is for, -1 for none.
        relevant: float32 CSR of ones (n_queries, n_items), the items bought.
        hour: int8, local hour of the purchase, -1 if unknown.
    """

    user_idx: npt.NDArray[np.int32]
    as_of: npt.NDArray[np.int64]
    seed: npt.NDArray[np.int32]
    relevant: sparse.csr_matrix
    hour: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.user_idx)

    @property
    def unit(self) -> npt.NDArray[np.integer]:
        """Resampling unit of each query for intervals, int (n_queries,).

        All queries of a user form one unit, as they are not independent; an anonymous query is a unit of its own.
        """
        alone = self.user_idx.max(initial=0) + 1 + np.arange(len(self))
        return np.where(self.user_idx == ANONYMOUS, alone, self.user_idx)

    def take(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Task:
        """Return the chosen queries."""
        return Task(
            self.user_idx[chosen], self.as_of[chosen], self.seed[chosen], self.relevant[chosen], self.hour[chosen]
        )


def next_basket(dataset: Dataset, window: Window) -> Task:
    """Ask for each known user's first basket in the window, repeat purchases included, at the start of the window."""
    baskets = _baskets(dataset, window)
    baskets = baskets.take(_is_known(dataset, window, baskets.user_idx))
    _, first = np.unique(baskets.user_idx, return_index=True)
    chosen = baskets.take(first)
    return _with_as_of(chosen, np.full(len(chosen), window.start - 1, np.int64))


def rolling(dataset: Dataset, window: Window) -> Task:
    """Ask for every basket of a known user in the window, just before it."""
    baskets = _baskets(dataset, window)
    return baskets.take(_is_known(dataset, window, baskets.user_idx))


def anonymous(dataset: Dataset, window: Window) -> Task:
    """Ask for every basket with a known hour in the window, without a user, just before it."""
    baskets = _baskets(dataset, window, with_anonymous=True)
    baskets = baskets.take(baskets.hour >= 0)
    return replace(baskets, user_idx=np.full(len(baskets), ANONYMOUS, np.int32))


def discovery(dataset: Dataset, window: Window) -> Task:
    """Ask for what each known user bought in the window for the first time, at the start of the window."""
    events = _target_events(dataset, window)
    users, row = np.unique(events.user_idx, return_inverse=True)
    taken = incidence(row, events.item_idx, (len(users), len(dataset.items)))
    before = dataset.until(window.start).target_events
    named = before.take(before.user_idx >= 0)
    shape = (len(dataset.users), len(dataset.items))
    owned = incidence(named.user_idx, named.item_idx, shape)[users]
    new = (taken - taken.multiply(owned)).tocsr()
    new.eliminate_zeros()
    task = Task(
        user_idx=users.astype(np.int32),
        as_of=np.full(len(users), window.start - 1, np.int64),
        seed=np.full(len(users), ANONYMOUS, np.int32),
        relevant=new,
        hour=np.full(len(users), -1, np.int8),
    )
    return task.take((np.diff(new.indptr) > 0) & (np.diff(owned.indptr) > 0))


def completion(dataset: Dataset, window: Window, rng: np.random.Generator) -> Task:
    """Draw one item of each basket of two or more in the window, and ask for the other ones."""
    baskets = _baskets(dataset, window, with_anonymous=True)
    baskets = baskets.take(np.diff(baskets.relevant.indptr) >= 2)
    size = np.diff(baskets.relevant.indptr)
    drawn_idx = baskets.relevant.indptr[:-1] + (rng.random(len(size)) * size).astype(np.int64)
    seed = baskets.relevant.indices[drawn_idx].astype(np.int32)
    drawn = incidence(np.arange(len(seed)), seed, baskets.relevant.shape)
    others = (baskets.relevant - drawn).tocsr()
    others.eliminate_zeros()
    return Task(
        user_idx=np.full(len(seed), ANONYMOUS, np.int32),
        as_of=np.full(len(seed), window.start - 1, np.int64),
        seed=seed,
        relevant=others,
        hour=baskets.hour,
    )


def several(dataset: Dataset, window: Window, *, by_user: bool = False) -> Task:
    """Return the baskets of two or more items in the window, or the users with all that they bought in it."""
    if not by_user:
        baskets = _baskets(dataset, window, with_anonymous=True)
        return baskets.take(np.diff(baskets.relevant.indptr) >= 2)
    events = _target_events(dataset, window)
    users, row = np.unique(events.user_idx, return_inverse=True)
    task = Task(
        user_idx=users.astype(np.int32),
        as_of=np.full(len(users), window.start - 1, np.int64),
        seed=np.full(len(users), ANONYMOUS, np.int32),
        relevant=incidence(row, events.item_idx, (len(users), len(dataset.items))),
        hour=np.full(len(users), -1, np.int8),
    )
    return task.take(np.diff(task.relevant.indptr) >= 2)


def for_items(seeds: npt.NDArray[np.int32], window: Window, n_items: int) -> Task:
    """Ask for the list of each item at the start of the window, without known relevant items."""
    n = len(seeds)
    return Task(
        user_idx=np.full(n, ANONYMOUS, np.int32),
        as_of=np.full(n, window.start - 1, np.int64),
        seed=seeds,
        relevant=sparse.csr_matrix((n, n_items), dtype=np.float32),
        hour=np.full(n, -1, np.int8),
    )


def of_other_types(task: Task, item_type: npt.NDArray[np.int32]) -> Task:
    """Keep only relevant items of another product type than the seed, and only queries that have such items."""
    relevant = task.relevant.tocoo()
    types = item_type[relevant.col]
    other = (types != item_type[task.seed[relevant.row]]) | (types < 0)
    kept = incidence(relevant.row[other], relevant.col[other], task.relevant.shape)
    narrowed = Task(task.user_idx, task.as_of, task.seed, kept, task.hour)
    return narrowed.take(np.diff(kept.indptr) > 0)


def _target_events(dataset: Dataset, window: Window) -> Events:
    events = dataset.target_events
    inside = (events.timestamp >= window.start) & (events.timestamp < window.stop)
    return events.take(inside & (events.user_idx >= 0))


def _baskets(dataset: Dataset, window: Window, *, with_anonymous: bool = False) -> Task:
    """Return the baskets of the window in order of time, each asked for one second before its first event."""
    events = dataset.target_events
    inside = (events.timestamp >= window.start) & (events.timestamp < window.stop)
    events = events.take(inside & ((events.user_idx >= 0) | with_anonymous))
    _, first, row = np.unique(events.basket_idx, return_index=True, return_inverse=True)
    position = np.empty(len(first), np.int64)
    position[np.argsort(first, kind="stable")] = np.arange(len(first))
    first = np.sort(first)
    return Task(
        user_idx=events.user_idx[first],
        as_of=events.timestamp[first] - 1,
        seed=np.full(len(first), ANONYMOUS, np.int32),
        relevant=incidence(position[row], events.item_idx, (len(first), len(dataset.items))),
        hour=events.hour[first],
    )


def _is_known(dataset: Dataset, window: Window, user_idx: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    before = dataset.until(window.start).target_events.user_idx
    known = np.zeros(len(dataset.users) + 1, np.bool_)
    known[before] = True
    known[ANONYMOUS] = False
    return known[user_idx]


def _with_as_of(task: Task, as_of: npt.NDArray[np.int64]) -> Task:
    return Task(task.user_idx, as_of, task.seed, task.relevant, task.hour)
