"""The seam between models and where events are: sums over users, by one process or by many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import NO_INTEREST, Dataset
from recsys.models.collaborative.als import ALSConfig, ALSModel, age_at_last_event, fit_als, weigh_events
from recsys.models.collaborative.ease import count_buyers

ACTS: Final = tuple(code for code in range(len(EVENT_NAMES)) if code not in NO_INTEREST)
"""Codes of the events that are acts of people."""

Factors = npt.NDArray[np.float32]
T = TypeVar("T")


class Parts(Protocol):
    """A shop in parts, each with all events of some of its users: what every part counts is added."""

    @property
    def dataset(self) -> Dataset:
        """What is fitted on users instead of counted; the whole shop, or a sample of its users."""

    @property
    def share(self) -> float:
        """Share of the shop's users that `dataset` has, in (0, 1]."""

    def until(self, dataset: Dataset, cutoff: int) -> Parts:
        """Return the parts before a moment.

        Args:
            dataset: `self.dataset` before it.
            cutoff: seconds since 1970, exclusive.
        """

    def total(self, count: Callable[[Dataset], T], kind: type[T]) -> T:
        """Count in every part, and add what was counted.

        Args:
            count: counts some users; a function, or a partial one, of a module.
            kind: what it returns: an array, or a dataclass of arrays, matrices and numbers.
        """

    def span(self, kinds: tuple[int, ...], latest: int | None = None) -> tuple[int, int]:
        """Return the times of the first and the last event of some types, seconds since 1970; (0, 0) without any.

        Args:
            kinds: codes of the types.
            latest: number of events that count, the latest ones; None for all.
        """

    def factors(self, config: ALSConfig, rng: np.random.Generator, start: Factors | None) -> ALSModel:
        """Fit ALS on the events of all users; see `recsys.models.collaborative.als.fit_als`."""


@dataclass(frozen=True)
class WholeShop:
    """A shop in one part, in the memory of this process."""

    dataset: Dataset
    share: float = 1.0

    def until(self, dataset: Dataset, cutoff: int) -> Parts:
        """See `Parts.until`."""
        return WholeShop(dataset)

    def total(self, count: Callable[[Dataset], T], kind: type[T]) -> T:
        """See `Parts.total`."""
        return count(self.dataset)

    def span(self, kinds: tuple[int, ...], latest: int | None = None) -> tuple[int, int]:
        """See `Parts.span`."""
        events = self.dataset.events
        when = events.timestamp[np.isin(events.event_type, kinds)]
        when = when if latest is None else when[-latest:]
        return (int(when[0]), int(when[-1])) if len(when) else (0, 0)

    def factors(self, config: ALSConfig, rng: np.random.Generator, start: Factors | None) -> ALSModel:
        """See `Parts.factors`."""
        return fit_als(user_weights(self.dataset, config), config, rng, start=start)


def user_weights(dataset: Dataset, config: ALSConfig) -> sparse.csr_matrix:
    """Weigh events by their type and by their age at their user's last event, float32 CSR (n_users, n_items)."""
    events = dataset.events
    shape = (len(dataset.users), len(dataset.items))
    age_s = age_at_last_event(events.user_idx, events.timestamp)
    return weigh_events(events.user_idx, events.item_idx, events.event_type, age_s, shape, config, events.rating_weight)


def count_target_events(dataset: Dataset) -> sparse.csr_matrix:
    """Count how often each user bought each item, float32 CSR (n_users, n_items)."""
    bought = dataset.target_events
    bought = bought.take(bought.user_idx >= 0)
    shape = (len(dataset.users), len(dataset.items))
    return sparse.csr_matrix((np.ones(len(bought), np.float32), (bought.user_idx, bought.item_idx)), shape=shape)


def count_item_buyers(dataset: Dataset) -> npt.NDArray[np.int64]:
    """Count the users who bought each item, int64 (n_items,)."""
    return count_buyers(count_target_events(dataset))
