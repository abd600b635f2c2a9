"""Counts of lists by day, brought up to date with the live log when they are asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from recsys.evaluation.item_groups import Brands, ItemGroups, counted_brands
from recsys.evaluation.list_days import DayCounts, ListDay, ListDays
from recsys.eventlog.store import EventStore
from recsys.pipeline.recommender import Recommender

BATCH: Final = 1000
MAX_S: Final = 1.0
"""How long one call reads the log; the next one goes on."""


class ListStats:
    """Follows the live log for the counts of lists; safe to call from several threads.

    Args:
        open_log: returns the live log.
    """

    def __init__(self, open_log: Callable[[], EventStore]) -> None:
        self._open_log = open_log
        self._lock = threading.Lock()
        self._days: ListDays | None = None
        self._brands: tuple[str, Brands] | None = None

    def groups(self, recommender: Recommender) -> ItemGroups:
        """Return the groups of the items of a bundle with all changes; its brands are kept."""
        if self._brands is None or self._brands[0] != recommender.version:
            self._brands = recommender.version, counted_brands(recommender.engine)
        return ItemGroups(recommender.current, self._brands[1])

    def days(self, recommender: Recommender, until: int, n_days: int) -> tuple[dict[ListDay, DayCounts], int, bool]:
        """Return the counts of the latest days.

        Args:
            recommender: the bundle with the shop's time zone; items get the groups that they have in it.
            until: a moment of the last day, seconds since 1970.
            n_days: number of days.

        Returns:
            The counts; the number of events whose list is not known; whether the whole log was counted.

        Raises:
            StoreError: the log cannot be read.
        """
        groups = self.groups(recommender)
        with self._lock:
            if self._days is None:
                self._days = ListDays(recommender.engine.dataset_info.timezone, groups)
            self._days.groups_of = groups
            days, log, end = self._days, self._open_log(), time.monotonic() + MAX_S
            is_complete = False
            while not is_complete and time.monotonic() < end:
                entries = log.read_after(days.seq, BATCH)
                days.add(entries)
                is_complete = len(entries) < BATCH
            return days.days(until, n_days), days.unmatched, is_complete
