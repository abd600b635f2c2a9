"""Events of users since the bundle was trained: packed as they arrive, sorted by time when a user's are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from msgspec import structs

from recsys.core.schema import CLICKED
from recsys.data.channels import MAX_CHANNELS, NO_CHANNEL
from recsys.data.event_columns import MAX_RATING_WEIGHT, NO_HOUR
from recsys.data.history import UserHistory
from recsys.data.orders import basket_number, receipt_of
from recsys.eventlog.store import HistoryColumns, StoredEvent
from recsys.live.order_lines import settle_history

EventBuffer = npt.NDArray[np.void]
"""Events of one user, ascending by `at` and then `seq`."""

EVENT_DTYPE: Final = np.dtype(
    [
        ("at", np.float64),
        ("seq", np.int64),
        ("item_idx", np.int32),
        ("basket_idx", np.int32),
        ("rating_weight", np.float32),
        ("event_type", np.int8),
        ("hour", np.int8),
        ("weekday", np.int8),
        ("channel", np.int16),
        ("price", np.float32),
        ("item_price", np.float32),
        ("by_day", np.bool_),
        ("has_receipt", np.bool_),
        ("quantity", np.float32),
    ]
)

LARGEST_FLOAT32: Final = float(np.finfo(np.float32).max)

GROWING_BYTES: Final = 512
"""Size from which the events of a user are kept in a buffer with room for more."""

QUARTER_S: Final = 900
"""Time zones change at whole quarters of an hour, and differ by these."""

MAX_MOMENTS: Final = 20_000
"""Quarters of an hour of any zone whose local time is remembered."""


class EventEncoder:
    """Encoder of live events as the numbers of the bundle's events.

    Args:
        timezone: the shop's IANA zone.
        has_hours: whether the shop's times are finer than a day; hours are unknown if not.
        mean_rating: mean of the bundle's ratings, 0 without ratings.
        receipt_scope: as `recsys.data.orders.find_scope` found it.
        channels: names of the bundle's channels; new ones get the next numbers.
    """

    def __init__(
        self,
        timezone: str,
        has_hours: bool,
        mean_rating: float,
        receipt_scope: tuple[str, ...] = (),
        channels: tuple[str, ...] = (),
    ) -> None:
        self._timezone, self._has_hours = timezone, has_hours
        self._mean_rating, self._scope = mean_rating, receipt_scope
        self._known: dict[tuple[str | None, float], tuple[int, str, int]] = {}
        self._channels = {name: number for number, name in enumerate(channels)}

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all channels, by their numbers."""
        return tuple(self._channels)

    def encode(
        self,
        events: Sequence[StoredEvent],
        keys: Sequence[str],
        item_idx: Sequence[int],
        event_type: Sequence[int],
        timezones: Sequence[str | None] | None = None,
        prices: Sequence[float] | None = None,
    ) -> EventBuffer:
        """Encode events as rows of `EVENT_DTYPE`, in their order.

        Args:
            events: n events of the log.
            keys: their users, as of `user_key`.
            item_idx: rows of their items.
            event_type: indices in `schema.EVENT_NAMES`.
            timezones: zones of their users, None for the shop's; None if all are the shop's.
            prices: of one piece in the item's currency, 0 for unknown; None if all are unknown.

        Raises:
            Exception: a column has a value of another type.
        """
        found, n = np.empty(len(events), EVENT_DTYPE), len(events)
        if not events:
            return found
        values = zip(*(structs.astuple(event.body) for event in events), strict=True)
        columns = dict(zip(HistoryColumns.__struct_fields__, values, strict=True))
        found["at"] = [event.at for event in events]
        found["seq"] = [event.seq for event in events]
        found["item_idx"], found["event_type"] = item_idx, event_type
        days = self._set_local_times(found, [None] * n if timezones is None else timezones)
        baskets = [
            f"day {day} {key}" if session_id is None else f"session {session_id}"
            for session_id, key, day in zip(columns["session_id"], keys, days, strict=True)
        ]
        has_receipt = np.array([basket_id is not None for basket_id in columns["basket_id"]])
        for place in np.flatnonzero(has_receipt).tolist():
            baskets[place] = self._receipt(events[place])
        found["basket_idx"] = [basket_number(basket) for basket in baskets]
        found["has_receipt"] = has_receipt
        found["by_day"] = [session_id is None for session_id in columns["session_id"]]
        found["by_day"] &= ~has_receipt
        found["rating_weight"] = _filled(columns["value"], self._rating_weight, 1.0)
        found["price"] = _filled(columns["price"], _price, math.nan)
        found["quantity"] = _filled(columns["quantity"], _float32, math.nan)
        channels = zip(columns["channel"], columns["event"], strict=True)  # that of a message is none of the shop
        found["channel"] = _filled([None if event == CLICKED else name for name, event in channels], self._channel, -1)
        found["item_price"] = 0 if prices is None else prices
        return found

    def _set_local_times(self, found: EventBuffer, timezones: Sequence[str | None]) -> list[str]:
        """Fill in the hours and weekdays of events, and return their days."""
        moments = list(zip(timezones, (found["at"] // QUARTER_S).tolist(), strict=True))
        local = {moment: self._local(*moment) for moment in set(moments)}
        hours, days, weekdays = zip(*[local[moment] for moment in moments], strict=True)
        found["hour"], found["weekday"] = hours, weekdays
        return list(days)

    def moved(self, buffer: EventBuffer, timezone: str | None, key: str) -> EventBuffer:
        """Return the same events of the user of a key with the hours and days of another zone."""
        buffer = buffer.copy()
        for event in buffer:
            event["hour"], day, event["weekday"] = self._local(timezone, float(event["at"] // QUARTER_S))
            if event["by_day"]:
                event["basket_idx"] = basket_number(f"day {day} {key}")
        return buffer

    def _channel(self, name: object) -> int:
        """Return the number of a channel, -1 for one too many."""
        if not isinstance(name, str) or (name not in self._channels and len(self._channels) >= MAX_CHANNELS):
            return NO_CHANNEL
        return self._channels.setdefault(name, len(self._channels))

    def _local(self, timezone: str | None, quarter: float) -> tuple[int, str, int]:
        """Return the hour, day and weekday of a quarter of an hour, in which they are constant."""
        known = self._known.get((timezone, quarter))
        if known is not None:
            return known
        if len(self._known) >= MAX_MOMENTS:
            self._known.clear()
        local = datetime.fromtimestamp(quarter * QUARTER_S, ZoneInfo(timezone or self._timezone))
        hour, day = local.hour if self._has_hours else NO_HOUR, local.date().isoformat()
        found = self._known[timezone, quarter] = hour, day, local.isoweekday()
        return found

    def _receipt(self, event: StoredEvent) -> str:
        day = date.fromisoformat(self._local(None, event.at // QUARTER_S)[1])
        return f"basket {receipt_of(structs.asdict(event.body), self._scope, day)}"

    def _rating_weight(self, rating: float) -> float:
        if self._mean_rating <= 0:
            return 1.0
        return min(max(rating / self._mean_rating, 0.0), MAX_RATING_WEIGHT)


class RecentEvents:
    """Buffers by user, each of at most the latest `max_events` events.

    An event is appended to the bytes of its user's others; only a read sorts them. Most users have few events: bytes of
    exactly their size take the least memory.

    Args:
        max_events: bounds the memory per user.
    """

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events
        self._max_bytes = 2 * max_events * EVENT_DTYPE.itemsize
        self._packed: dict[str, bytes | bytearray] = {}

    def __len__(self) -> int:
        """Return the number of users with events."""
        return len(self._packed)

    @property
    def keys(self) -> tuple[str, ...]:
        """The users with events."""
        return tuple(self._packed)

    def add(self, keys: Sequence[str], events: EventBuffer) -> None:
        """Add events, each to that of its user."""
        packed, size = events.tobytes(), events.itemsize
        for start, key in zip(range(0, len(packed), size), keys, strict=True):
            event, known = packed[start : start + size], self._packed.get(key)
            if isinstance(known, bytearray):
                known += event
                if len(known) > self._max_bytes:
                    self._packed[key] = bytearray(self._latest(known).tobytes())
            else:
                joined = event if known is None else known + event
                self._packed[key] = joined if len(joined) < GROWING_BYTES else bytearray(joined)

    def of(self, key: str) -> EventBuffer | None:
        """Return the events of a user, None if there are none."""
        packed = self._packed.get(key)
        return None if packed is None else self._latest(packed)

    def change(self, key: str, changed: Callable[[EventBuffer], EventBuffer]) -> None:
        """Replace the buffer of a user, if there is one."""
        buffer = self.of(key)
        if buffer is not None:
            buffer = changed(buffer)
            if len(buffer):
                self._packed[key] = buffer.tobytes()
            else:
                del self._packed[key]

    def _latest(self, packed: bytes | bytearray) -> EventBuffer:
        """Return the latest events in order, of a copy: a buffer that an array reads cannot grow."""
        return in_order(np.frombuffer(bytes(packed), EVENT_DTYPE))[-self._max_events :]


def _filled(column: Sequence[Any], convert: Callable[[Any], float], empty: float) -> float | list[float]:
    """Return the numbers of a column; one number if all its values are None, as most columns of most events are."""
    if column.count(None) == len(column):
        return empty
    return [empty if value is None else convert(value) for value in column]


def _price(price: Any) -> float:
    """Return a price of the log, NaN for one that is no number."""
    is_price = isinstance(price, (int, float)) and -LARGEST_FLOAT32 <= price <= LARGEST_FLOAT32
    return float(price) if is_price else math.nan


def _float32(number: float) -> float:
    """Return a number that fits into 32 bits: infinity for one that is too large."""
    return float(number) if -LARGEST_FLOAT32 <= number <= LARGEST_FLOAT32 else math.copysign(math.inf, number)


def in_order(buffer: EventBuffer) -> EventBuffer:
    """Return events by time, those of one moment in the order of the log."""
    at = buffer["at"]
    if (at[1:] > at[:-1]).all():
        return buffer
    return buffer[np.lexsort((buffer["seq"], at))]


def joined(parts: Sequence[UserHistory], buffers: Sequence[EventBuffer], max_events: int) -> UserHistory:
    """Merge histories and settle their orders; among events of one second, those of the bundle come first.

    Args:
        parts: histories of the bundle, each ascending by time.
        buffers: later events, each ascending by time.
        max_events: number of latest events to keep.
    """
    buffer = buffers[0] if len(buffers) == 1 else in_order(np.concatenate([*buffers, np.empty(0, EVENT_DTYPE)]))
    since = UserHistory(  # copies, as kernels read contiguous columns
        buffer["item_idx"].copy(),
        buffer["at"].astype(np.int64),
        buffer["event_type"].copy(),
        buffer["basket_idx"].copy(),
        buffer["hour"].copy(),
        buffer["rating_weight"].copy(),
        buffer["item_price"].copy(),
    )
    every = [part for part in (*parts, since) if len(part)]
    if not every:
        return since
    history, is_live = every[0], np.repeat([part is since for part in every], [len(part) for part in every])
    pieces = np.full(len(is_live), np.nan, np.float32)
    has_receipt = np.zeros(len(is_live), np.bool_)
    pieces[is_live], has_receipt[is_live] = buffer["quantity"], buffer["has_receipt"]
    if len(every) > 1:
        columns = zip(*(vars(part).values() for part in every), strict=True)
        history = UserHistory(*(np.concatenate(column) for column in columns))
        if (history.timestamp[1:] < history.timestamp[:-1]).any():
            order = np.argsort(history.timestamp, kind="stable")
            history, is_live = history.take(order), is_live[order]
            pieces, has_receipt = pieces[order], has_receipt[order]
    history = settle_history(history, pieces, has_receipt, is_live)
    return history.take(slice(-max_events, None)) if len(history) > max_events else history
