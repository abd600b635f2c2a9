"""The live view: a bundle's engine with the events, identities, users and catalog changes of the live log.

The bundle is never changed. A view applies the entries that the bundle's tables do not contain yet (those after
`FittedDataInfo.store_seq`), so it is correct over a newer and over an older bundle.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.core.errors import DataError
from recsys.core.ids import UNKNOWN
from recsys.data.history import NO_HISTORY, UserHistory
from recsys.data.row_changes import OFFERS, change_time, offers_after
from recsys.eventlog.identities import Identities
from recsys.eventlog.store import (
    ITEM_CHANGES,
    UNREADABLE,
    USER_CHANGES,
    EventStore,
    LogEntry,
    StoredEntry,
    StoredEvent,
    for_view,
)
from recsys.fitting.engine import Engine
from recsys.live.catalog_overlay import CatalogOverlay
from recsys.live.live_events import LiveEvents
from recsys.live.live_visits import KnownLines, bundle_visits, live_visits
from recsys.live.older_changes import outdated_parts
from recsys.live.recent_events import joined
from recsys.live.set_aside import SetAsideEntries, SetAsideEntry
from recsys.live.user_changes import UserChanges
from recsys.live.user_profiles import UserProfiles
from recsys.segments.visits import Visits, merge_visits

NO_READ_YET: Final = -1

VIEW_BATCH: Final = 2000
"""Entries to read at a time: memory for more of them at once is not returned to the system."""


@dataclass(frozen=True)
class ResolvedUser:
    """The user that a list is for.

    Attributes:
        user_idx: row of the user; -1 for an anonymous or unknown user, and for one who opted out of personalization.
        history: events up to the moment of the request.
        timezone: IANA zone where the user lives.
    """

    user_idx: int
    history: UserHistory
    timezone: str


class LiveView:
    """The entries of the live log over one engine.

    Entries arrive in the order of the log, events in any order of time. Requests change nothing here, and any thread
    may call `catch_up`.

    Args:
        base: the bundle's engine; never changed.
        in_background: whether another thread calls `settle`; else the engine is always settled.

    Attributes:
        identities: merges and erasures.
        profiles: attributes of users.
        seq: number of the last entry that was applied.
    """

    def __init__(self, base: Engine, *, in_background: bool = False) -> None:
        shop = base.dataset_info
        self._base, self._in_background = base, in_background
        self._user_changes, self._refused = UserChanges(), SetAsideEntries()
        self._catalog = CatalogOverlay(base, self._refused.add)
        self._seen = NO_READ_YET
        self._lock, self._settling = threading.RLock(), threading.Lock()
        self.identities = Identities(dict(zip(shop.merged, shop.merged_into, strict=True)))
        self.profiles = UserProfiles(base)
        self._events = LiveEvents(base, self._catalog, self.identities, self.profiles, self._refused.add)
        self.seq = shop.store_seq

    @property
    def set_aside(self) -> list[SetAsideEntry]:
        """Entries that could not be applied, at most 1,000."""
        return self._refused.first

    @property
    def n_set_aside(self) -> int:
        """Number of all entries that could not be applied."""
        return self._refused.n

    @property
    def engine(self) -> Engine:
        """The models over the current catalog."""
        if not self._in_background:
            self.settle()
        with self._lock:
            return self._catalog.engine

    @property
    def catalog_version(self) -> int:
        """Number that changes with the catalog."""
        return self._catalog.version

    @property
    def added_columns(self) -> Mapping[str, pl.DataType]:
        """Columns of the shop's own that only changes of items have, and their types."""
        return self._catalog.added_columns

    @property
    def position(self) -> int:
        """Number of item changes so far."""
        return self._catalog.position

    def has_changed(self, rows: Iterable[int], position: int) -> bool:
        """Return whether any of some items has changed after a position; takes a microsecond for a list."""
        return self._catalog.has_changed(rows, position)

    def catch_up(self, store: EventStore, limit: int | None = None) -> bool:
        """Apply the new entries of the log; takes a few microseconds if there are none.

        Args:
            store: the log.
            limit: largest number of entries to read; all if not given.

        Returns:
            Whether all entries are applied.

        Raises:
            StoreError: the log cannot be read; earlier entries stay applied.
        """
        version = store.version()
        if version == self._seen:
            return True
        with self._lock:
            # Both are read before the log, so entries committed meanwhile are read again rather than missed.
            last, left = store.last_seq(), limit
            while True:
                size = VIEW_BATCH if left is None else min(left, VIEW_BATCH)
                entries = store.read_for_view(self.seq, size) if size else []
                self.apply(entries)
                if len(entries) < size:
                    break
                if left is not None:
                    left -= len(entries)
                    if left <= 0:
                        return False
            self.seq, self._seen = max(self.seq, last), version
        return True

    def settle(self) -> None:
        """Compute the content and the similar items of changed items, while other threads use the view."""
        with self._settling:
            while True:
                with self._lock:
                    found = self._catalog.unsettled()
                if found is None:
                    return
                settled = found.settled()
                with self._lock:
                    self._catalog.settle(settled)

    @property
    def is_settled(self) -> bool:
        """Whether the content of no changed item waits for `settle`."""
        with self._lock:
            return self._catalog.is_settled

    def is_current(self, store: EventStore) -> bool:
        """Return whether no entry has been added to the log since the last `catch_up`; a few microseconds.

        Raises:
            StoreError: the log cannot be read.
        """
        return store.version() == self._seen

    def warm_up(self) -> None:
        """Compute what the first change of the catalog would otherwise wait for."""
        self._catalog.warm_up()

    def apply(self, entries: Iterable[StoredEvent | StoredEntry]) -> None:
        """Apply entries of the log; those that the bundle contains are skipped.

        An entry that cannot be applied changes nothing and is set aside.
        """
        first, last, events = self._base.dataset_info.store_seq, self.seq, list[StoredEvent]()
        for stored in entries:
            last = max(last, stored.seq)
            if stored.seq <= first:
                continue
            each = for_view(stored) if isinstance(stored, StoredEntry) else stored
            if isinstance(each, StoredEvent):
                events.append(each)
                continue
            self._user_changes.note(self._events.apply(events))
            events = []
            try:
                self._apply(each.seq, each.entry)
            except Exception as error:  # no entry may stop the others
                self._refused.add(each.seq, each.entry.entry_type, each.entry.key or "", error)
        self._user_changes.note(self._events.apply(events))
        self.seq = last

    def user(self, key: str | None, as_of: int, last_seq: int | None = None) -> ResolvedUser:
        """Returns the user of a key, with the events up to a moment.

        Args:
            key: as of `user_key`, where a chain of merges ends; None for an anonymous user.
            as_of: seconds since 1970 UTC.
            last_seq: number of the last entry whose events count; all if None.
        """
        if key is None:
            return ResolvedUser(UNKNOWN, NO_HISTORY, self._base.dataset_info.timezone)
        zone = self.profiles.timezone(key) or self._base.dataset_info.timezone
        if self.profiles.is_opted_out(key):
            return ResolvedUser(UNKNOWN, NO_HISTORY, zone)
        return ResolvedUser(self._base.users.row(key), self.history(key, as_of, last_seq), zone)

    def history(self, key: str, until: int, last_seq: int | None = None) -> UserHistory:
        """Return the events of a user and of all merged ids at or before a moment, the oldest first.

        Args:
            key: the root of a chain of merges.
            until: seconds since 1970.
            last_seq: number of the last entry of the log whose events count; all if None.
        """
        keys = self._keys_of(key)
        buffers = [buffer for each in keys if (buffer := self._events.of(each)) is not None]
        if last_seq is not None:
            buffers = [buffer[buffer["seq"] <= last_seq] for buffer in buffers]
        if not buffers and len(keys) == 1:
            return self._known(keys[0], until)
        end = int(np.iinfo(np.int64).max)
        history = joined([self._known(each, end) for each in keys], buffers, self._base.config.history.max_events)
        return history.take(slice(0, int(history.timestamp.searchsorted(until, side="right"))))

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the sales channels of all events, by their numbers; those of the bundle first."""
        return self._events.channels

    def visits(self, key: str, until: int) -> Visits:
        """Return the visits of a user under all merged ids at or before a moment, as the visits of one user.

        Args:
            key: the root of a chain of merges.
            until: seconds since 1970.
        """
        keys = self._keys_of(key)
        known = [bundle_visits(self._base, each, self.identities.erased_at(each)).until(until) for each in keys]
        buffers = [buffer for each in keys if (buffer := self._events.of(each)) is not None]
        live = [buffer[buffer["at"] < until + 1] for buffer in buffers]
        if not any(map(len, live)):
            return known[0] if len(known) == 1 else merge_visits(known)
        lines = KnownLines([self._known(each, until) for each in keys], live, self.history(key, until))
        return live_visits(self._base, known, lines)

    @property
    def changed_users(self) -> frozenset[str]:
        """Roots of all users about whom the log has an event, a change, a merge or an erasure."""
        identities = self.identities
        merges = dict(zip(self._base.dataset_info.merged, self._base.dataset_info.merged_into, strict=True))
        moved = {key for pair in identities.merges.items() ^ merges.items() for key in pair}
        changed = {*self._events.keys, *self.profiles.changed, *identities.erasures, *moved}
        return frozenset(map(identities.target, changed)) | moved

    def is_visitor(self, key: str) -> bool:
        """Return whether an id is that of a visitor, or of nobody: nothing has it as its `user_id`.

        An id that is merged into a user's is a visitor's all the same: who has it has logged in.
        """
        row = self._base.users.row(key)
        if row != UNKNOWN and not (row < len(self._base.is_visitor) and self._base.is_visitor[row]):
            return False
        is_named = key in self._events.named or self.profiles.has_changed(key)
        return not is_named and not self.identities.has_sources(key)

    def _keys_of(self, key: str) -> tuple[str, ...]:
        """Return all ids of a user, the root first, without those that opted out, if there are several."""
        keys = self.identities.aliases_of(key)
        return keys if len(keys) == 1 else tuple(each for each in keys if not self.profiles.is_opted_out(each))

    def has_user_changed(self, key: str, seq: int) -> bool:
        """Return whether an entry of the log after a number may be about a user, under any merged id.

        Args:
            key: as of `user_key`.
            seq: number of an entry.
        """
        identities = self.identities
        return self._user_changes.has_changed(identities.aliases_of(identities.target(key)), seq)

    def quiet_span(self, key: str, as_of: int, end: int) -> tuple[float, float]:
        """Return the times around a moment between which a user has the same history.

        Args:
            key: as of `user_key`.
            as_of: the moment, seconds since 1970.
            end: the latest moment that matters, seconds since 1970.

        Returns:
            The time of the last event at or before the moment, and that of the next one up to `end`; infinite where
            there is none.
        """
        times = self.history(self.identities.target(key), end).timestamp
        n = int(times.searchsorted(as_of, side="right"))
        return (float(times[n - 1]) if n else -math.inf), (float(times[n]) if n < len(times) else math.inf)

    def _known(self, key: str, until: int) -> UserHistory:
        """Return the bundle's own events of an id, without erased ones."""
        history = self._base.history.of(self._base.users.row(key), until)
        erased_at = self.identities.erased_at(key)
        if len(history) and history.timestamp[0] <= erased_at:
            return history.take(slice(int(history.timestamp.searchsorted(erased_at, side="right")), None))
        return history

    def _apply(self, seq: int, entry: LogEntry) -> None:
        entry_type, key, body = entry.entry_type, entry.key, entry.body
        if entry_type == UNREADABLE:
            raise DataError(f"it cannot be read: {body.get('reason', '')}")
        if key is None:
            return
        if entry_type not in ITEM_CHANGES:
            self._note_change(seq, key, body)
        self.identities.apply(entry)
        if entry_type in ("merge", "unmerge"):
            return
        if entry_type in ITEM_CHANGES:
            self._apply_item_change(seq, entry)
        elif entry_type in USER_CHANGES:
            before = self.profiles.timezone(key)
            self.profiles.apply(key, entry_type, body)
            self._move(key, before)
        elif entry_type == "erasure":
            before = self.profiles.timezone(key)
            self._events.drop_until(key, seq)
            self.profiles.erase(key)
            self._move(key, before)

    def _note_change(self, seq: int, key: str, body: Mapping[str, Any]) -> None:
        """Note a change of a user; of a merge, also that of the other id, and of the one that it is merged into now."""
        changed = (key, body.get("into"), self.identities.merges.get(key))
        self._user_changes.note({each: seq for each in changed if isinstance(each, str)})

    def _apply_item_change(self, seq: int, entry: LogEntry) -> None:
        """Apply what is newer than the bundle's files."""
        key, entry_type, body = entry.key or "", entry.entry_type, entry.body
        at = change_time(body, entry.received_at)
        is_outdated, keeps_offers = outdated_parts(self._base, entry)
        offers = None if keeps_offers else offers_after(entry_type, body)
        if not is_outdated:
            self._catalog.apply(key, entry_type, body, seq, at, keeps_offers=keeps_offers)
        elif offers is not None:
            self._catalog.apply(key, "item_patch", {OFFERS: offers}, seq, at)

    def _move(self, key: str, before: str | None) -> None:
        """Recompute the local hours of a user's events if the user's zone has changed."""
        zone = self.profiles.timezone(key)
        if zone != before:
            self._events.move(key, zone)


def find_user(engine: Engine, key: str | None, as_of: int) -> ResolvedUser:
    """Returns the user of a key from the bundle alone; see `LiveView.user`."""
    user_idx = engine.users.row(key) if key is not None else UNKNOWN
    zone = (engine.user_timezones[user_idx] if user_idx != UNKNOWN else None) or engine.dataset_info.timezone
    if user_idx == UNKNOWN or engine.is_opted_out[user_idx]:
        return ResolvedUser(UNKNOWN, NO_HISTORY, zone)
    return ResolvedUser(user_idx, engine.history.of(user_idx, as_of), zone)
