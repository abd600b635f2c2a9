"""The merges of users' ids: those of the live log, which are followed, and those of the served bundle's tables."""

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
        served: returns what lists are made with: the merges of the bundle, such as those of the table `identities`,
            changed by those of the log; None without a bundle.
    """

    def __init__(
        self, open_log: Callable[[], EventStore], served: Callable[[], Identities | None] = lambda: None
    ) -> None:
        self._open_log, self._served = open_log, served
        self._identities = Identities()
        self._seq: int | None = None
        self._lock = threading.Lock()

    def is_merged(self, key: str, target: str) -> bool:
        """Return whether an id is merged into another, directly in the log or in the bundle.

        Raises:
            StoreError: the log cannot be read.
        """
        served = self._served()
        with self._lock:
            self._catch_up()
            return target in (each.merges.get(key) for each in (self._identities, served) if each is not None)

    def closes_circle(self, key: str, target: str) -> bool:
        """Return whether lists ignore a new merge of an id into another, as the bundle has the reverse."""
        served = self._served()
        return served is not None and served.leads_to(target, key)

    def aliases_of(self, key: str) -> tuple[str, ...]:
        """Return an id and all that are merged into it, itself first.

        What an id that the log has merged belongs to is decided by the log; of all others, by the bundle.

        Raises:
            StoreError: the log cannot be read.
        """
        served = self._served()
        with self._lock:
            self._catch_up()
            found, merges = set(self._identities.aliases_of(key)), self._identities.merges
            if served is not None:
                joined = served.aliases_of(key)
                found.update(each for each in joined if merges.get(each) in (None, served.merges.get(each)))
        return (key, *sorted(found - {key}))

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
