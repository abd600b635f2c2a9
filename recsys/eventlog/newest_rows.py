"""The newest entries of a log as their writer has committed them, so that its live view does not read them again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from recsys.eventlog.log_rows import LogRow, ViewRow

MAX_ROWS: Final = 4_096
"""Rows that are kept: bounds the memory; a live view that is further behind reads the log."""


class NewestRows:
    """Rows without a gap between their numbers; any thread may call any method.

    A row that is removed by another process may still be returned. The tombstone of an erasure has a later number, so
    who reads on undoes it, as a reader does that was faster than the erasure.

    Args:
        max_rows: number of rows to keep.
    """

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows, self._lock = max_rows, threading.Lock()
        self._commits: deque[tuple[int, list[LogRow | None]]] = deque()
        self._n_rows = self._last = 0

    def add(self, rows: Sequence[LogRow], last: int) -> None:
        """Add the rows of a commit; forget all others if another writer has committed between.

        Args:
            rows: one or more, with consecutive numbers.
            last: number of the last one.
        """
        kept = [None if row.entry_type == "impression" else row for row in rows]
        first = last - len(kept) + 1
        with self._lock:
            if first != self._last + 1:
                self._forget()
            self._commits.append((first, kept))
            self._n_rows, self._last = self._n_rows + len(kept), last
            while self._n_rows - len(self._commits[0][1]) >= self._max_rows:
                self._n_rows -= len(self._commits.popleft()[1])

    def after(self, seq: int, limit: int) -> tuple[list[ViewRow], int]:
        """Return the rows after a number, without impressions.

        Args:
            seq: the number.
            limit: maximum number of rows.

        Returns:
            The rows, and the number up to which they are all; none and `seq` if any row after `seq` is not kept.
        """
        found: list[ViewRow] = []
        with self._lock:
            if not self._commits or not self._commits[0][0] <= seq + 1 <= self._last:
                return found, seq
            n_commits = 1
            while self._commits[-n_commits][0] > seq + 1:
                n_commits += 1
            commits = [self._commits[-n] for n in range(n_commits, 0, -1)]
        for first, rows in commits:
            start = max(seq + 1 - first, 0)
            for number, row in enumerate(rows[start:], first + start):
                if len(found) == limit:
                    return found, seq
                seq = number
                if row is not None:
                    entry_type = None if row.entry_type == "event" else row.entry_type
                    found.append((number, row.key, row.at, row.body, entry_type, row.received_at))
        return found, seq

    def forget(self) -> None:
        """Forget all rows, as some are removed from the log."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._commits.clear()
        self._n_rows = self._last = 0
