"""The live log: what a shop's server is told, durable and in one order, and the face of whatever keeps it.

Shop events, changes of the catalogue and of users, merges, erasures and impressions share one ascending sequence, so
that a reader who has read up to a number has missed nothing before it. `recsys.eventlog.sqlite` keeps the log in one
file; a store that several machines share can stand in its place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec
import polars as pl

from recsys.core.frames import rows_to_frame
from recsys.core.schema import EVENTS, WHO
from recsys.core.timestamps import MICROSECONDS

EntryType = Literal[
    "event",
    "impression",
    "item_put",
    "item_patch",
    "item_delete",
    "user_put",
    "user_patch",
    "user_delete",
    "merge",
    "unmerge",
    "erasure",
]

KEYED: Final[tuple[EntryType, ...]] = ("event", "impression")
"""Kinds whose keys name one entry each: a second one under the same key is a duplicate or a conflict."""

ITEM_CHANGES: Final[tuple[EntryType, ...]] = ("item_put", "item_patch", "item_delete")
USER_CHANGES: Final[tuple[EntryType, ...]] = ("user_put", "user_patch", "user_delete")

AppendOutcome = Literal["stored", "duplicate", "conflict", "erased"]
"""What became of an entry.

`stored`: new, and durable. `duplicate`: its key is known with the same content, nothing to do. `conflict`: its key is
known with other content, or it is a merge that would close a circle; not stored. `erased`: it is of before the erasure
of the shopper that it names, not stored.
"""

READ_BATCH: Final = 20_000
"""Entries to read at a time: bounds the memory of a reader."""


class LogEntry(msgspec.Struct, frozen=True):
    """One thing that the server was told.

    Attributes:
        kind: what it is.
        key: of an event its `event_id` and of an impression its `recommendation_id` (None: always new), of a change the
            item's or user's id, of an erasure the erased id; of a merge, the id that is merged into another.
        at: when it happened, seconds since 1970 UTC. Not part of the content: an event whose time the shop left out
            is the same event when it is sent again; a time that the shop does state belongs in the body too.
        received_at: when the server took it, seconds since 1970 UTC.
        body: the content, as JSON knows it. Of an event, columns of `recsys.core.schema.EVENTS`; of an impression, the
            same with a list `items` of objects with `item_id`, and `position` (else from 1) and `propensity` where
            known.
            One that names no shopper may stand for many: a list `shown` then has the `recommendation_id` and `at` of
            each, and `key` is None. A `received_at` in it is left out, being the entry's.
        part: of one item of an event of several, that event's `event_id` and which one it is, from 1. Those of one
            event follow each other in a call, are stored all or none, and stand in the way of another event with that
            id. Not told by readers.
    """

    kind: EntryType
    key: str | None
    at: float
    received_at: float
    body: dict[str, Any]
    part: tuple[str, int] | None = None


class StoredEntry(msgspec.Struct, frozen=True):
    """An entry in its place.

    Attributes:
        seq: its number, > 0, ascending in the order of commits and never given twice; numbers may be left out.
        entry: what was stored.
    """

    seq: int
    entry: LogEntry


@dataclass(frozen=True)
class ErasureReceipt:
    """What an erasure did.

    Attributes:
        seq: number of the last tombstone.
        removed: entries removed, by kind.
        linked: how many of them named a session or a basket alone, which the log had seen beside one of the ids.
        purged: whether the removed bytes are wiped from every place where they stood; if False, `purge` is to be asked
            again. `EventStore.compact` wipes copies of them too, which earlier removals may have left.
    """

    seq: int
    removed: dict[str, int]
    linked: int
    purged: bool


class EventStore(Protocol):
    """A durable log that several processes write and read at once; every method may be called from any thread.

    Methods raise `StoreError` where the store fails, and `StoreBusyError` where more waits than it takes.
    """

    def append(self, entries: Sequence[LogEntry]) -> list[AppendOutcome]:
        """Store entries; those that were stored survive a crash once this returns.

        Returns:
            One outcome an entry, in the same order; a refused entry does not keep the others out, those of its own
            event apart.

        Raises:
            DataError: an entry cannot be written down; nothing of this call is stored.
            StoreError: nothing of this call is stored; a later one may succeed.
        """

    def submit(self, entries: Sequence[LogEntry]) -> Future[list[AppendOutcome]]:
        """As `append`, without waiting: the future's result are the outcomes, or its exception the `StoreError`.

        Raises:
            DataError: an entry cannot be written down; nothing of this call is stored.
            StoreBusyError: too many entries wait already.
        """

    def tail(self, after_seq: int, limit: int, without: Sequence[EntryType] = ()) -> list[StoredEntry]:
        """The first `limit` entries after a number, in order; empty where there are none.

        A reader that goes on from the last number that it got misses nothing, whoever writes meanwhile. What is
        removed is not told, but by the tombstone of an erasure.

        Args:
            after_seq: the number.
            limit: how many at most.
            without: kinds that are passed over, without being read.
        """

    def version(self) -> int:
        """A number that differs from the last one if anything was committed since, by whatever process.

        Ask it before `tail`, so that what is committed in between is read again rather than missed.
        """

    def read_types(self, kinds: Sequence[EntryType]) -> list[StoredEntry]:
        """All entries of some kinds that are rare, such as merges, in order; events and impressions are none.

        Raises:
            DataError: one of the kinds is not rare: `tail` reads those.
        """

    def last_seq(self) -> int:
        """The highest number given so far, 0 in a new store; what had it may be gone."""

    def erase(self, keys: Iterable[str], received_at: float, at: float | None = None) -> ErasureReceipt:
        """Remove the events, impressions and changes of shoppers, and leave a tombstone for each.

        An entry goes if its `user_id` or `visitor_id` is one of the keys, whatever its time; whoever knows that an id
        was merged names all of its ids. One that names nobody goes if its session or basket is that of an entry which
        goes for its ids; each such session gets a tombstone too, under `recsys.eventlog.identities.user_key`.
        Merges stay,
        they hold ids alone, and so does the tombstone: it must know whom to keep away. From then on, entries for these
        ids and sessions with an earlier `at` are refused as `erased`, however late they come; those of `at` or later
        are a new life.

        Args:
            keys: user ids and visitor ids.
            received_at: when the erasure was asked for, seconds since 1970 UTC.
            at: the same moment by the clock of the events, where that is another; `received_at` by default.
        """

    def purge(self) -> bool:
        """Wipe removed bytes from wherever the store still holds them; False if a reader stood in the way."""

    def compact(self) -> bool:
        """Give back the room of what was removed, and wipe what it may have left elsewhere; False as `purge`.

        An erasure wipes an entry where it stands; a copy may be left where it stood before an earlier removal moved
        it. For the quiet hour after `delete_before`: it may keep writers out for long.
        """

    def delete_before(self, before: float) -> int:
        """Remove events and impressions of before a moment (seconds since 1970 UTC); returns how many.

        Changes, merges and tombstones stay. A forgotten `event_id` is unknown again.
        """

    def delete_changes(self, up_to_seq: int, kinds: Sequence[EntryType] = ITEM_CHANGES) -> int:
        """Remove changes up to a number, inclusive: those that the oldest bundle in use was built with.

        Args:
            up_to_seq: `last_seq` as it was when that bundle's tables were exported.
            kinds: of `ITEM_CHANGES` and `USER_CHANGES`.

        Returns:
            How many were removed.
        """

    def close(self) -> None:
        """Store what waits, then let go of everything; later calls raise `StoreError`."""


def read_entries(store: EventStore, batch: int, up_to_seq: int | None = None) -> Iterator[list[StoredEntry]]:
    """All entries that the store holds now, or up to a number, in order, in lists of at most `batch`."""
    after, last = 0, store.last_seq() if up_to_seq is None else up_to_seq
    while after < last and (entries := store.tail(after, batch)):
        after = entries[-1].seq
        yield [stored for stored in entries if stored.seq <= last]


def events_table(store: EventStore, up_to_seq: int | None = None) -> pl.DataFrame:
    """The stored events and impressions as the shop's events table.

    Args:
        store: the live log.
        up_to_seq: the last number to be in it; all that there are now if not given.

    Returns:
        The columns of `recsys.core.schema.EVENTS`, one row an event in the order of the log; an impression is a
        `view_item_list` for each item that was shown, with `event_id` `<recommendation_id>#<place in the list>`. One
        that names nobody is left out: every row of the table is about somebody.
        Values that do not fit their column are null.
    """
    parts = read_entries(store, READ_BATCH, up_to_seq)
    frames = [rows_to_frame((row for stored in entries for row in _rows(stored.entry)), EVENTS) for entries in parts]
    return pl.concat([rows_to_frame((), EVENTS), *frames])


def _rows(entry: LogEntry) -> Iterator[Mapping[str, Any]]:
    """The rows of the events table that an entry stands for, times in microseconds."""
    times = {"timestamp": _micros(entry.at), "received_at": _micros(entry.received_at)}
    if entry.kind == "event":
        yield entry.body | times | {"event_id": entry.key}
    elif entry.kind == "impression" and any(entry.body.get(name) is not None for name in WHO):
        shared = entry.body | times | {"event": "view_item_list", "recommendation_id": entry.key}
        for place, shown in enumerate(entry.body.get("items", ()), 1):
            row = shared | {"position": place} | shown
            yield row | {"event_id": None if entry.key is None else f"{entry.key}#{place}"}


def _micros(moment: float) -> int | None:
    return round(moment * MICROSECONDS) if math.isfinite(moment) else None
