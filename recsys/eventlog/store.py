"""The live log: its entries, and the protocol of the stores that keep them, durably and in one order.

Shop events, changes of the catalog and of users, merges, erasures and impressions share one ascending sequence, so a
reader that has read up to a number has missed nothing before it. `recsys.eventlog.sqlite` keeps the log in one file,
`recsys.eventlog.postgres` in a database that several servers share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import msgspec
import polars as pl

from recsys.core.frames import rows_to_frame
from recsys.core.schema import CLICK_EVENT, CLICKED, EVENTS, MESSAGE_EVENTS, MESSAGES, WHO
from recsys.core.timestamps import MICROSECONDS

if TYPE_CHECKING:
    from recsys.eventlog.log_rows import LogRow

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
    "unreadable",
]

UNREADABLE: Final = "unreadable"
"""Type of an entry whose stored content cannot be read; its body has a `reason`. No such entry is ever stored."""

KEYED: Final[tuple[EntryType, ...]] = ("event", "impression")
"""Types whose keys identify one entry each: a second entry with the same key is a duplicate or a conflict."""

ITEM_CHANGES: Final[tuple[EntryType, ...]] = ("item_put", "item_patch", "item_delete")
USER_CHANGES: Final[tuple[EntryType, ...]] = ("user_put", "user_patch", "user_delete")

AppendOutcome = Literal["stored", "duplicate", "conflict", "erased"]
"""Outcome of one entry.

`stored`: it is new and durable. `duplicate`: its key is known with the same content. `conflict`: its key is known with
other content, or it is a merge that would close a cycle; not stored. `erased`: it happened before the erasure of its
user, or its id is that of an erased event; not stored.
"""

LATEST_ENTRIES: Final = 1000
READ_BATCH: Final = 20_000
"""Entries to read at a time: bounds the memory of a reader."""


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry of the live log.

    Attributes:
        entry_type: its type.
        key: `event_id` of an event, `recommendation_id` of an impression (None: always new), id of a changed item or
            user, erased id of an erasure, or the id that a merge points at another.
        at: when it happened, seconds since 1970 UTC. Not part of the content: an event without a time of the shop is
            the same event when it is sent again; a time of the shop belongs in the body too.
        received_at: when the server received it, or showed the list of an impression, seconds since 1970 UTC.
        body: the content, as JSON values. For an event, columns of `recsys.core.schema.EVENTS`; for an impression, the
            same with a list `items` of objects with `item_id`, and `position` (else from 1) and `propensity` if known.
            An anonymous impression may represent several: a list `shown` then has the `recommendation_id` and `at` of
            each, and `key` is None. A `received_at` is left out, as the entry has it.
        part: for one item of an event with several items, the event's `event_id` and the item's number, from 1. The
            parts of one event follow each other in a call and are all stored or all refused; another event with that
            id is a conflict. Readers do not return it.
        made_with: for an impression, number of the last entry that its list was made with, if known: it is `erased` if
            its user was erased after that, and can be made again without later events. Not part of the content.
    """

    entry_type: EntryType
    key: str | None
    at: float
    received_at: float
    body: dict[str, Any]
    part: tuple[str, int] | None = None
    made_with: int | None = None


class HistoryColumns(msgspec.Struct, frozen=True, gc=False):
    """The columns of an event that histories are made of; one that the event lacks is None."""

    event: Any = None
    item_id: Any = None
    user_id: Any = None
    visitor_id: Any = None
    session_id: Any = None
    basket_id: Any = None
    value: Any = None
    quantity: Any = None
    price: Any = None
    currency: Any = None
    store: Any = None
    region: Any = None
    channel: Any = None


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event of the log as a live view reads it.

    Attributes:
        seq: its number, as in `StoredEntry`.
        key: its `event_id`, None if it has none.
        at: when it happened, seconds since 1970 UTC.
        body: the columns that are read.
    """

    seq: int
    key: str | None
    at: float
    body: HistoryColumns


class StoredEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry with its number.

    Attributes:
        seq: its number, > 0, ascending in the order of commits and never reused; there may be gaps.
        entry: the entry.
    """

    seq: int
    entry: LogEntry


@dataclass(frozen=True)
class ErasureReceipt:
    """Result of an erasure.

    Attributes:
        seq: number of the last tombstone.
        removed: number of removed entries by type.
        linked: how many of them named only a session or a basket that the log had seen with one of the ids.
        purged: whether the removed bytes are overwritten everywhere; if False, because of a reader or an error of the
            disk, call `purge` again. `EventStore.compact` also overwrites copies that earlier removals may have left.
    """

    seq: int
    removed: dict[str, int]
    linked: int
    purged: bool


class EventStore(Protocol):
    """A durable log that several processes read and write at once; any thread may call any method.

    Methods raise `StoreError` if the store fails and `StoreBusyError` if too many entries wait.
    """

    def append(self, entries: Sequence[LogEntry | LogRow]) -> list[AppendOutcome]:
        """Store entries, of which some may be rows already; stored entries survive a crash once this returns.

        Returns:
            One outcome per entry, in the same order; a refused entry affects only the other parts of its event.

        Raises:
            DataError: an entry cannot be encoded; nothing of this call is stored.
            StoreError: nothing of this call is stored; a later call may succeed.
        """

    def submit(self, entries: Sequence[LogEntry | LogRow]) -> Future[list[AppendOutcome]]:
        """Store entries without waiting; the future returns the outcomes of `append` or raises its `StoreError`.

        Raises:
            DataError: an entry cannot be encoded; nothing of this call is stored.
            StoreBusyError: too many entries wait already.
        """

    def read_after(self, after_seq: int, limit: int, without: Sequence[EntryType] = ()) -> list[StoredEntry]:
        """Return the first `limit` entries after a number, in order; empty if there are none.

        A reader that continues from the last number it received misses nothing, even while others write. Removals are
        not reported, except by the tombstone of an erasure.

        Args:
            after_seq: the number.
            limit: maximum number of entries.
            without: types that are skipped without being read.
        """

    def read_for_view(self, after_seq: int, limit: int) -> list[StoredEvent | StoredEntry]:
        """Return what `read_after` without impressions returns, each entry as `for_view` returns it, at less cost."""

    def version(self) -> int:
        """Return a number that changes with every commit of any process.

        Call it before `read_after`, so that entries committed in between are read again rather than missed. The number
        may change after the commit of another process: in a store of several servers within milliseconds, and within
        two seconds at most while the store is reached.
        """

    def read_types(self, entry_types: Sequence[EntryType]) -> list[StoredEntry]:
        """Return all entries of some rare types, such as merges, in order.

        Raises:
            DataError: one of the types is `event` or `impression`: use `read_after`.
        """

    def last_seq(self) -> int:
        """Return the highest number so far, 0 in a new store; its entry may be removed."""

    def erase(self, keys: Iterable[str], received_at: float, at: float | None = None) -> ErasureReceipt:
        """Remove the events, impressions and changes of users, and store a tombstone for each.

        An entry is removed if its `user_id` or `visitor_id` is one of the keys, at any time; the caller passes all
        merged ids of a person. An anonymous entry is removed if its session or basket is that of such an entry; each
        of these sessions gets a tombstone too, under `recsys.eventlog.identities.user_key`. Merges and tombstones stay
        and contain ids alone. From then on, entries of these ids and sessions with an earlier `at` are refused as
        `erased`; entries at `at` or later are stored, except lists that were shown before the request, as these are
        written with a delay, and lists that were `made_with` the removed entries. The removed events' ids stay refused
        at any time.

        Args:
            keys: user ids and visitor ids.
            received_at: when the erasure was requested, seconds since 1970 UTC.
            at: the same moment by the clock of the events, if that differs; `received_at` by default.
        """

    def purge(self) -> bool:
        """Overwrite removed bytes wherever the store still has them; False if a reader prevented it."""

    def compact(self) -> bool:
        """Return the space of removed entries to the disk and overwrite their copies; False as `purge`.

        An erasure overwrites an entry in place; a copy may be left where it was before an earlier removal moved it.
        Writers wait meanwhile, possibly for long: run it in a quiet hour after `delete_before`.
        """

    def delete_before(self, before: float, entry_types: Sequence[EntryType] = KEYED) -> int:
        """Remove events and impressions before a moment.

        Changes, merges and tombstones stay. The `event_id` of a removed event is unknown again.

        Args:
            before: seconds since 1970 UTC.
            entry_types: some of `KEYED`.

        Returns:
            The number of removed entries.
        """

    def delete_changes(self, up_to_seq: int, entry_types: Sequence[EntryType] = ITEM_CHANGES) -> int:
        """Remove changes up to a number, inclusive, once the shop's files contain them.

        Args:
            up_to_seq: `last_seq` when the tables were exported from which those files were written.
            entry_types: some of `ITEM_CHANGES` and `USER_CHANGES`.

        Returns:
            The number of removed changes.
        """

    def shared_secret(self) -> str | None:
        """Return a random secret that all servers of the log share; None if the log is of one server."""

    def close(self) -> None:
        """Store waiting entries, then close all resources; later calls raise `StoreError`."""


def for_view(stored: StoredEntry) -> StoredEvent | StoredEntry:
    """Return an entry as a live view reads it: of an event, some columns."""
    entry = stored.entry
    if entry.entry_type != "event":
        return stored
    return StoredEvent(stored.seq, entry.key, entry.at, msgspec.convert(entry.body, HistoryColumns))


def read_entries(store: EventStore, batch: int, up_to_seq: int | None = None) -> Iterator[list[StoredEntry]]:
    """Yield all current entries, or those up to a number, in order, in lists of at most `batch`."""
    after, last = 0, store.last_seq() if up_to_seq is None else up_to_seq
    while after < last and (entries := store.read_after(after, batch)):
        after = entries[-1].seq
        yield [stored for stored in entries if stored.seq <= last]


def latest_time(store: EventStore) -> float | None:
    """Return the time of the latest entry, seconds since 1970; None if there is none.

    Only the newest `LATEST_ENTRIES` are read: late entries are among them.
    """
    newest = store.read_after(max(store.last_seq() - LATEST_ENTRIES, 0), LATEST_ENTRIES)
    return max((stored.entry.at for stored in newest), default=None)


def events_table(
    store: EventStore, up_to_seq: int | None = None, unreadable: list[StoredEntry] | None = None
) -> pl.DataFrame:
    """Return the stored events and impressions as an events table.

    Args:
        store: the live log.
        up_to_seq: the last number to include; all current entries if not given.
        unreadable: gets the entries of the log that cannot be read, of any type.

    Returns:
        The columns of `recsys.core.schema.EVENTS`, one row per event in the order of the log. An impression gives a
        `view_item_list` row per shown item, with `event_id` `<recommendation_id>#<position in the list>`; an anonymous
        impression is left out. Values that do not fit their column are null.
    """
    parts = read_entries(store, READ_BATCH, up_to_seq)
    frames = [rows_to_frame((), EVENTS)]
    for entries in parts:
        frames.append(rows_to_frame((row for stored in entries for row in rows_of(stored.entry)), EVENTS))
        if unreadable is not None:
            unreadable += [stored for stored in entries if stored.entry.entry_type == UNREADABLE]
    return pl.concat(frames)


def messages_table(store: EventStore, up_to_seq: int | None = None) -> pl.DataFrame:
    """Return the stored events of messages: the columns of `recsys.core.schema.MESSAGES`, in the order of the log."""
    parts = read_entries(store, READ_BATCH, up_to_seq)
    frames = [
        rows_to_frame((row_of_message(each.entry) for each in entries if is_message(each.entry)), MESSAGES)
        for entries in parts
    ]
    return pl.concat([rows_to_frame((), MESSAGES), *frames])


def is_message(entry: LogEntry) -> bool:
    """Return whether an entry is an event of a message."""
    return entry.entry_type == "event" and entry.body.get("event") in MESSAGE_EVENTS


def row_of_message(entry: LogEntry) -> Mapping[str, Any]:
    """Return the row of the messages table for an event of a message, with times in microseconds."""
    times = {"timestamp": _micros(entry.at), "received_at": _micros(entry.received_at)}
    return entry.body | times | {"event_id": entry.key}


def rows_of(entry: LogEntry) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of the events table for an entry, with times in microseconds.

    Of the events of messages, a click is one of its item's, if it names the item; the others are not about an item. It
    has no channel: that of a message is none in which the shop sells.
    """
    times = {"timestamp": _micros(entry.at), "received_at": _micros(entry.received_at)}
    if is_message(entry):
        if entry.body["event"] == CLICKED and entry.body.get("item_id") is not None:
            yield entry.body | times | {"event_id": entry.key, "event": CLICK_EVENT, "channel": None}
    elif entry.entry_type == "event":
        yield entry.body | times | {"event_id": entry.key}
    elif entry.entry_type == "impression" and any(entry.body.get(name) is not None for name in WHO):
        shared = entry.body | times | {"event": "view_item_list", "recommendation_id": entry.key}
        for position, shown in enumerate(entry.body.get("items", ()), 1):
            row = shared | {"position": position} | shown
            yield row | {"event_id": None if entry.key is None else f"{entry.key}#{position}"}


def _micros(moment: float) -> int | None:
    return round(moment * MICROSECONDS) if math.isfinite(moment) else None
