"""Counts that are kept from one training to the next, moved to its moment and to its rows of items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.sums import add, subtract
from recsys.data.dataset import Dataset
from recsys.fitting.engine import EngineConfig
from recsys.fitting.parts import count_item_buyers
from recsys.models.moments.first_orders import FirstOrderCounts, count_first_orders
from recsys.models.temporal.popularity import (
    PopularityConfig,
    PopularityCounts,
    count_popularity,
    count_recent,
    move_counts,
)
from recsys.models.temporal.repeat import RepeatCounts, count_repeats
from recsys.models.temporal.timeofday import TimeOfDayConfig, count_hours


class KeptSettings(NamedTuple):
    """The settings that kept counts depend on."""

    popularity: PopularityConfig
    timeofday: TimeOfDayConfig

    @classmethod
    def of(cls, config: EngineConfig) -> KeptSettings:
        """Return those of an engine."""
        return cls(config.popularity, config.timeofday)


@dataclass(frozen=True)
class KeptCounts:
    """Counts of some users or of all at a moment; those of several groups of users can be added and taken away.

    Attributes:
        popularity: of purchases, see `count_popularity`.
        recent: purchases within the span of the trend by the second, see `count_recent`.
        hours: see `count_hours`.
        repeats: see `count_repeats`.
        first_orders: see `count_first_orders`.
        n_buyers: see `count_item_buyers`.
    """

    popularity: PopularityCounts
    recent: sparse.csr_matrix
    hours: npt.NDArray[np.float64]
    repeats: RepeatCounts
    first_orders: FirstOrderCounts
    n_buyers: npt.NDArray[np.int64]

    def at(self, elapsed_s: int, settings: KeptSettings) -> KeptCounts:
        """Return the counts of the same users at a later moment.

        Args:
            elapsed_s: time between the two moments, in seconds, >= 0.
            settings: those of the counts.
        """
        popularity, recent = move_counts(self.popularity, self.recent, settings.popularity, elapsed_s)
        return replace(self, popularity=popularity, recent=recent)

    def replaced(self, before: KeptCounts | None, after: KeptCounts | None) -> KeptCounts:
        """Return the counts of all users after some of them have changed.

        Args:
            before: counts of these users as they are in `self`; None where they had no events.
            after: their counts now; None where they have none any more, as all have opted out.
        """
        found = self if before is None else subtract(self, before)
        found = found if after is None else add(found, after)
        found.recent.eliminate_zeros()
        sold, gaps = found.popularity.recent + found.popularity.earlier > 0, found.repeats.n_gaps > 0
        popularity = replace(  # a sum without terms is zero, not what rounding leaves of it
            found.popularity,
            decayed=np.where(sold, found.popularity.decayed, 0.0),
            late=np.where(sold, found.popularity.late, 0.0),
            ever=np.where(sold, found.popularity.ever, 0.0),
        )
        repeats = replace(found.repeats, gap_days=np.where(gaps, found.repeats.gap_days, 0.0))
        return replace(found, popularity=popularity, repeats=repeats)

    def found_by(self, settings: KeptSettings, now: int) -> Found:
        """Return the counts by the functions that count them."""
        return {
            count_popularity: ({"config": settings.popularity, "now": now}, self.popularity),
            count_hours: ({"config": settings.timeofday}, self.hours),
            count_repeats: ({}, self.repeats),
            count_first_orders: ({}, self.first_orders),
            count_item_buyers: ({}, self.n_buyers),
        }


Found = dict[Callable[..., Any], tuple[dict[str, Any], Any]]
"""By function, the arguments of a count besides the users, and what it counted."""


def count_kept(dataset: Dataset, settings: KeptSettings, now: int) -> KeptCounts:
    """Count some users or all.

    Args:
        dataset: the users.
        settings: of the counts.
        now: moment from which ages count, seconds since 1970.
    """
    return KeptCounts(
        popularity=count_popularity(dataset, settings.popularity, now),
        recent=count_recent(dataset, settings.popularity, now),
        hours=count_hours(dataset, settings.timeofday),
        repeats=count_repeats(dataset),
        first_orders=count_first_orders(dataset),
        n_buyers=count_item_buyers(dataset),
    )


def find_kept(found: Found, count: Callable[[Dataset], Any]) -> Any | None:
    """Return what a function would count, None if it is not kept with the same arguments.

    Args:
        found: see `KeptCounts.found_by`.
        count: a function, or a partial one.
    """
    function, given = (count.func, count.keywords) if isinstance(count, partial) else (count, {})
    arguments, counts = found.get(function, (None, None))
    return counts if arguments == given else None
