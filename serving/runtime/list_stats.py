"""Counts of lists by day, brought up to date with the live log when they are asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from recsys.evaluation.list_days import DayCounts, ListDay, ListDays
from recsys.eventlog.store import EventStore

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

    def days(self, timezone: str, until: int, n_days: int) -> tuple[dict[ListDay, DayCounts], int, bool]:
        """Return the counts of the latest days.

        Args:
            timezone: IANA zone of the shop.
            until: a moment of the last day, seconds since 1970.
            n_days: number of days.

        Returns:
            The counts; the number of events whose list is not known; whether the whole log was counted.

        Raises:
            StoreError: the log cannot be read.
        """
        with self._lock:
            if self._days is None:
                self._days = ListDays(timezone)
            days, log, end = self._days, self._open_log(), time.monotonic() + MAX_S
            is_complete = False
            while not is_complete and time.monotonic() < end:
                entries = log.read_after(days.seq, BATCH)
                days.add(entries)
                is_complete = len(entries) < BATCH
            return days.days(until, n_days), days.unmatched, is_complete
