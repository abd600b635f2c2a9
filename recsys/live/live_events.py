"""The events of the live log that belong to histories of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

from recsys.core.errors import DataError
from recsys.core.ids import UNKNOWN
from recsys.core.schema import CLICK_EVENT, CLICKED, EVENT_NAMES
from recsys.data.dataset import VIEW_ITEM_LIST
from recsys.eventlog.identities import Identities, user_key
from recsys.eventlog.store import HistoryColumns, StoredEvent
from recsys.fitting.engine import Engine
from recsys.live.catalog_overlay import CatalogOverlay
from recsys.live.recent_events import LARGEST_FLOAT32, EventBuffer, EventEncoder, RecentEvents
from recsys.live.user_profiles import UserProfiles

ACTS: Final = {name: code for code, name in enumerate(EVENT_NAMES) if code != VIEW_ITEM_LIST} | {
    CLICKED: EVENT_NAMES.index(CLICK_EVENT)
}
"""Events of histories; as in `build_history`, an impression is not an act of the user, nor is a message until it is
clicked."""


class LiveEvents:
    """The events of each user, of items that the catalog has.

    Args:
        base: the bundle's engine; never changed.
        catalog: its current items.
        identities: erasures.
        profiles: zones of users.
        set_aside: called with number, type, key and error of an event that cannot be applied.

    Attributes:
        named: ids that an event has as its `user_id`.
    """

    def __init__(
        self,
        base: Engine,
        catalog: CatalogOverlay,
        identities: Identities,
        profiles: UserProfiles,
        set_aside: Callable[[int, str, str, Exception], None],
    ) -> None:
        shop = base.dataset_info
        self._base, self._catalog, self._set_aside = base, catalog, set_aside
        self._identities, self._profiles = identities, profiles
        self._encoder = EventEncoder(
            shop.timezone, shop.has_hours, shop.mean_rating, shop.receipt_scope, base.segments.channels
        )
        self._currencies = _Currencies(base.items_table["currency"])
        self._recent = RecentEvents(base.config.history.max_events)
        self.named: set[str] = set()

    def apply(self, events: Sequence[StoredEvent]) -> dict[str, int]:
        """Add events between which nothing else changes.

        If one of them cannot be encoded, each half is added alone, down to the one that is set aside.

        Args:
            events: in the order of the log; a million of them when a server starts over a long log.

        Returns:
            The number of the last event of each user who has new ones.
        """
        if not events:
            return {}
        try:
            keys, encoded = self._encoded(events)
        except Exception as error:  # no entry may stop the others
            if len(events) == 1:
                self._set_aside(events[0].seq, "event", events[0].key or "", error)
                return {}
            half = len(events) // 2
            return self.apply(events[:half]) | self.apply(events[half:])
        self._recent.add(keys, encoded)
        return dict(zip(keys, encoded["seq"].tolist(), strict=True))

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of all events, by their numbers; those of the bundle first."""
        return self._encoder.channels

    @property
    def keys(self) -> tuple[str, ...]:
        """The users with events."""
        return self._recent.keys

    def of(self, key: str) -> EventBuffer | None:
        """Return the latest events of a user, None if there are none."""
        return self._recent.of(key)

    def drop_until(self, key: str, seq: int) -> None:
        """Remove the events of a user up to an entry of the log."""
        self._recent.change(key, lambda buffer: buffer[buffer["seq"] > seq])

    def move(self, key: str, timezone: str | None) -> None:
        """Recompute the local hours of a user's events for another zone."""
        self._recent.change(key, lambda buffer: self._encoder.moved(buffer, timezone, key))

    def _encoded(self, events: Sequence[StoredEvent]) -> tuple[list[str], EventBuffer]:
        """Return the events that belong to histories, and their users' keys."""
        row_of, act_of = self._base.items.row, ACTS.get
        erased_at = self._identities.erased_at if self._identities.erasures else None
        kept, keys, rows, acts = list[StoredEvent](), list[str](), list[int](), list[int]()
        for event in events:
            body = event.body
            item_id, act = body.item_id, act_of(body.event)
            if act is None or not isinstance(item_id, str):
                continue
            row = row_of(item_id)
            if row == UNKNOWN:
                row = self._row(item_id)
            user_id = body.user_id
            key = user_key(None, body.visitor_id, body.session_id) if user_id is None else user_id
            if row == UNKNOWN or key is None or (erased_at is not None and event.at < erased_at(key)):
                continue
            if not isinstance(key, str):
                raise DataError(f"the id of its user is {key!r}: expected text")
            if user_id is not None:
                self.named.add(key)
            kept.append(event)
            keys.append(key)
            rows.append(row)
            acts.append(act)
        zone_of = self._profiles.timezone
        zones = [zone_of(key) for key in keys] if self._profiles.has_timezones else None
        prices = [self._currencies.price(event.body, row) for event, row in zip(kept, rows, strict=True)]
        return keys, self._encoder.encode(kept, keys, rows, acts, zones, prices)

    def _row(self, item_id: str) -> int:
        """Return the row of an item that the bundle does not have, or of a variant of a product.

        An event of an item that the catalog lacks counts after the next training, once the catalog has the item.
        """
        row = self._catalog.row(item_id)
        return self._base.item_row(item_id) if row == UNKNOWN else row


class _Currencies:
    """The currencies of the bundle's items, as four bytes per item.

    Args:
        column: currencies by row, null for unknown.
    """

    def __init__(self, column: pl.Series) -> None:
        names = column.drop_nulls().unique().to_list()
        self._names: list[str | None] = [*names, None]
        codes = column.replace_strict(names, range(len(names)), default=len(names), return_dtype=pl.Int32)
        self._codes = memoryview(codes.fill_null(len(names)).to_numpy().tobytes()).cast("i")

    def price(self, body: HistoryColumns, row: int) -> float:
        """Return the price of an event, 0 if it has none, or one in another currency than its item."""
        price = body.price
        if price is None or not 0 < price <= LARGEST_FLOAT32:
            return 0.0
        if body.currency is not None and row < len(self._codes):
            own = self._names[self._codes[row]]
            if own is not None and own != body.currency:
                return 0.0
        return float(price)
