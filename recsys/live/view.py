"""What the live log says beyond the bundle: events, identities, users and the catalogue, as one view for requests.

The bundle stays as it is. A view is built from the entries after those that the bundle's tables held already
(`Shop.store_seq`), so a newer bundle takes over what it knows, and an older one is brought up to date.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from recsys.core.ids import UNKNOWN
from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import VIEW_ITEM_LIST
from recsys.data.history import NO_HISTORY, UserHistory
from recsys.eventlog.identities import Identities, user_key
from recsys.eventlog.store import ITEM_CHANGES, READ_BATCH, USER_CHANGES, EventStore, LogEntry, StoredEntry
from recsys.fitting.engine import Engine
from recsys.live.catalog_overlay import CatalogOverlay
from recsys.live.recent_events import EventEncoder, RecentEvents, joined
from recsys.live.user_profiles import UserProfiles

CODES: Final = {name: code for code, name in enumerate(EVENT_NAMES)}
NO_READ_YET: Final = -1


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
    """The live log's view over one engine.

    Entries come in the order of the log; events may come in any order of time. Nothing here is written to by requests,
    and `catch_up` may be called from any thread.

    Args:
        base: the bundle's engine; never changed.
    """

    def __init__(self, base: Engine) -> None:
        shop, baskets = base.dataset_info, base.history.basket_idx
        n_baskets = int(baskets.max(initial=-1)) + 1
        self._base = base
        self._clockwork = EventEncoder(shop.timezone, shop.has_hours, n_baskets, shop.mean_rating)
        self._events = RecentEvents(base.config.history.max_events)
        self._catalogue = CatalogOverlay(base)
        self._seen = NO_READ_YET
        self._lock = threading.RLock()
        self.identities = Identities(dict(zip(shop.merged, shop.merged_into, strict=True)))
        self.profiles = UserProfiles(base)
        self.seq = shop.store_seq

    @property
    def engine(self) -> Engine:
        """The models over the catalogue as it is now; made anew by whoever asks first after a change."""
        with self._lock:
            return self._catalogue.engine

    @property
    def catalog_version(self) -> int:
        """Differs whenever the catalogue does."""
        return self._catalogue.version

    def catch_up(self, store: EventStore) -> None:
        """Read what the log has got since; a few microseconds where that is nothing.

        Raises:
            StoreError: it cannot be read; what was read before stays.
        """
        version = store.version()
        if version == self._seen:
            return
        with self._lock:
            # Both asked for before the log is read: what is committed meanwhile is read once more rather than missed.
            last = store.last_seq()
            while entries := store.tail(self.seq, READ_BATCH, without=("impression",)):
                self.apply(entries)
            self.seq, self._seen = max(self.seq, last), version

    def warm_up(self) -> None:
        """Work out what the first new item would else wait for."""
        self._catalogue.warm_up()

    def apply(self, entries: Iterable[StoredEntry]) -> None:
        """Take entries of the log; those that the bundle knows are passed over."""
        for stored in entries:
            if stored.seq > self._base.dataset_info.store_seq:
                self._take(stored.seq, stored.entry)
                self.seq = max(self.seq, stored.seq)
        self._events.pack()

    def user(self, key: str | None, as_of: int) -> ResolvedUser:
        """Returns the user of a key, with the events up to a moment.

        Args:
            key: as of `user_key`, where a chain of merges ends; None for an anonymous user.
            as_of: seconds since 1970 UTC.
        """
        if key is None:
            return ResolvedUser(UNKNOWN, NO_HISTORY, self._base.dataset_info.timezone)
        zone = self.profiles.timezone(key) or self._base.dataset_info.timezone
        if self.profiles.is_opted_out(key):
            return ResolvedUser(UNKNOWN, NO_HISTORY, zone)
        return ResolvedUser(self._base.users.row(key), self.history(key, as_of), zone)

    def history(self, key: str, until: int) -> UserHistory:
        """All events of a shopper at or before a moment, merged ids' too, the oldest first.

        Args:
            key: where a chain of merges ends.
            until: seconds since 1970.
        """
        keys = self.identities.aliases_of(key)
        if len(keys) > 1:
            keys = tuple(each for each in keys if not self.profiles.is_opted_out(each))
        runs = [run for each in keys if (run := self._events.of(each)) is not None]
        if not runs and len(keys) == 1:
            return self._known(keys[0], until)
        end = int(np.iinfo(np.int64).max)
        history = joined([self._known(each, end) for each in keys], runs, self._base.config.history.max_events)
        return history.take(slice(0, int(history.timestamp.searchsorted(until, side="right"))))

    def _known(self, key: str, until: int) -> UserHistory:
        """The bundle's own events of an id, without those that an erasure hides."""
        history = self._base.history.of(self._base.users.row(key), until)
        erased_at = self.identities.erased_at(key)
        if len(history) and history.timestamp[0] <= erased_at:
            return history.take(slice(int(history.timestamp.searchsorted(erased_at, side="right")), None))
        return history

    def _take(self, seq: int, entry: LogEntry) -> None:
        kind, key, body = entry.kind, entry.key, entry.body
        self.identities.take(entry)
        if kind == "event":
            self._take_event(seq, entry)
        elif key is None:
            return
        elif kind in ITEM_CHANGES:
            self._catalogue.apply(key, kind, body)
        elif kind in USER_CHANGES:
            before = self.profiles.timezone(key)
            self.profiles.apply(key, kind, body)
            self._move(key, before)
        elif kind == "erasure":
            before = self.profiles.timezone(key)
            self._events.change(key, lambda run: run[run["seq"] > seq])
            self.profiles.erase(key)
            self._move(key, before)

    def _take_event(self, seq: int, entry: LogEntry) -> None:
        body = entry.body
        who = user_key(body.get("user_id"), body.get("visitor_id"), body.get("session_id"))
        code, item_id = CODES.get(body.get("event", "")), body.get("item_id")
        if who is None or code is None or not isinstance(item_id, str) or entry.at < self.identities.erased_at(who):
            return
        row = self._catalogue.row(item_id)
        if code == VIEW_ITEM_LIST:
            return  # as in `build_history`: what was merely shown is nothing that the shopper did
        self._events.add(who, self._clockwork.row(seq, entry.at, row, code, body, self.profiles.timezone(who)))

    def _move(self, key: str, before: str | None) -> None:
        """Let the hours of a shopper's events follow to another zone."""
        zone = self.profiles.timezone(key)
        if zone != before:
            self._events.change(key, lambda run: self._clockwork.moved(run, zone))


def find_user(engine: Engine, key: str | None, as_of: int) -> ResolvedUser:
    """Returns the user of a key from the bundle alone; see `LiveView.user`."""
    user_idx = engine.users.row(key) if key is not None else UNKNOWN
    zone = (engine.user_timezones[user_idx] if user_idx != UNKNOWN else None) or engine.dataset_info.timezone
    if user_idx == UNKNOWN or engine.is_opted_out[user_idx]:
        return ResolvedUser(UNKNOWN, NO_HISTORY, zone)
    return ResolvedUser(user_idx, engine.history.of(user_idx, as_of), zone)
