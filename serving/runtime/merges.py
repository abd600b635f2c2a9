"""The merges of users' ids, as the live log has them: read once, and then followed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, get_args

from recsys.eventlog.identities import Identities
from recsys.eventlog.store import EntryType, EventStore

MERGES: Final[tuple[EntryType, ...]] = ("merge", "unmerge")
OTHERS: Final[tuple[EntryType, ...]] = tuple(kind for kind in get_args(EntryType) if kind not in MERGES)
BATCH: Final = 20_000
"""Entries of one read."""


class MergeLog:
    """Follows the merges of the live log; safe to use from any thread.

    Args:
        open_log: returns the live log of this process.
    """

    def __init__(self, open_log: Callable[[], EventStore]) -> None:
        self._open_log = open_log
        self._identities = Identities()
        self._seq: int | None = None
        self._lock = threading.Lock()

    def target(self, key: str) -> str | None:
        """Return the id that another is merged into, directly; None if it is merged into none.

        Raises:
            StoreError: the log cannot be read.
        """
        with self._lock:
            self._catch_up()
            return self._identities.merges.get(key)

    def aliases_of(self, key: str) -> tuple[str, ...]:
        """Return an id and all that are merged into it, itself first.

        Raises:
            StoreError: the log cannot be read.
        """
        with self._lock:
            self._catch_up()
            return self._identities.aliases_of(key)

    def _catch_up(self) -> None:
        """Apply the merges that the log has received since the last call."""
        log = self._open_log()
        last = log.last_seq()  # before the entries: later ones are read by the next call
        if self._seq is None:  # the first read is by an index: the log may be long
            for stored in log.read_types(MERGES):
                self._identities.apply(stored.entry)
                last = max(last, stored.seq)
            self._seq = last
        while self._seq < last and (entries := log.read_after(self._seq, BATCH, without=OTHERS)):
            for stored in entries:
                self._identities.apply(stored.entry)
            self._seq = entries[-1].seq
        self._seq = max(self._seq, last)
