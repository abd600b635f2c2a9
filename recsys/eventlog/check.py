"""The check of a live log: whether its file is whole, and whether every entry can be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from recsys.core.errors import StoreError
from recsys.eventlog.store import READ_BATCH, UNREADABLE, EventStore, read_entries


class CheckedStore(EventStore, Protocol):
    """A store that can check its file."""

    def damage(self) -> tuple[str, ...]:
        """Return what is wrong with the file; empty if it is whole."""

    def size_bytes(self) -> int:
        """Return the space that the log takes on the disk, in bytes."""


@dataclass(frozen=True)
class LogReport:
    """What a check found.

    Attributes:
        entries: number of entries by type.
        damage: what is wrong with the file.
        unreadable: number and reason of each entry that cannot be read.
    """

    entries: dict[str, int]
    damage: tuple[str, ...]
    unreadable: tuple[tuple[int, str], ...]


def check_log(store: CheckedStore) -> LogReport:
    """Check the file, and read all entries that can be read."""
    counts: Counter[str] = Counter()
    unreadable: list[tuple[int, str]] = []
    damage = store.damage()
    try:
        for entries in read_entries(store, READ_BATCH):
            counts.update(stored.entry.entry_type for stored in entries)
            found = [stored for stored in entries if stored.entry.entry_type == UNREADABLE]
            unreadable += [(stored.seq, str(stored.entry.body["reason"])) for stored in found]
    except StoreError as error:
        damage += (str(error),)
    return LogReport(dict(sorted(counts.items())), damage, tuple(unreadable))
