"""Events of users since the bundle was trained: packed as they arrive, sorted by time when a user's are read."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import MAX_RATING_WEIGHT, NO_HOUR
from recsys.data.history import UserHistory
from recsys.data.orders import basket_number, receipt_of
from recsys.eventlog.identities import user_key
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
        ("by_day", np.bool_),
        ("has_receipt", np.bool_),
        ("quantity", np.float32),
    ]
)
PACKED: Final = struct.Struct("<dqiifbb??f")
"""The same layout."""

LARGEST_FLOAT32: Final = float(np.finfo(np.float32).max)

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
    """

    def __init__(self, timezone: str, has_hours: bool, mean_rating: float, receipt_scope: tuple[str, ...] = ()) -> None:
        self._timezone, self._has_hours = timezone, has_hours
        self._mean_rating, self._scope = mean_rating, receipt_scope
        self._known: dict[tuple[str | None, float], tuple[int, date]] = {}

    def row(
        self, seq: int, at: float, item_idx: int, event_type: int, body: Mapping[str, Any], timezone: str | None
    ) -> tuple[Any, ...]:
        """Encode an event as a row of `EVENT_DTYPE`.

        Args:
            seq: its number in the log.
            at: when it happened, seconds since 1970.
            item_idx: row of its item.
            event_type: index in `schema.EVENT_NAMES`.
            body: its columns.
            timezone: zone of the user, None for the shop's.

        Raises:
            Exception: a column has a value of another type: every row that is returned can be packed.
        """
        hour, day = self._local(at, timezone)
        named, has_receipt = self._basket_name(body, at), body.get("basket_id") is not None
        if named is None:
            key = user_key(body.get("user_id"), body.get("visitor_id"), body.get("session_id"))
            basket = basket_number(f"day {day} {key}")
        else:
            basket = basket_number(named)
        rating, quantity = self._rating_weight(body.get("value")), _float32(body.get("quantity"))
        return at, seq, item_idx, basket, rating, event_type, hour, named is None, has_receipt, quantity

    def moved(self, buffer: EventBuffer, timezone: str | None, key: str) -> EventBuffer:
        """Return the same events of the user of a key with the hours and days of another zone."""
        buffer = buffer.copy()
        for event in buffer:
            event["hour"], day = self._local(float(event["at"]), timezone)
            if event["by_day"]:
                event["basket_idx"] = basket_number(f"day {day} {key}")
        return buffer

    def _local(self, at: float, timezone: str | None) -> tuple[int, date]:
        """Return the local hour and day, which are constant within a quarter of an hour."""
        moment = timezone, at // QUARTER_S
        known = self._known.get(moment)
        if known is not None:
            return known
        if len(self._known) >= MAX_MOMENTS:
            self._known.clear()
        local = datetime.fromtimestamp(at, ZoneInfo(timezone or self._timezone))
        found = self._known[moment] = (local.hour if self._has_hours else NO_HOUR), local.date()
        return found

    def _basket_name(self, body: Mapping[str, Any], at: float) -> str | None:
        if body.get("basket_id") is not None:
            return f"basket {receipt_of(body, self._scope, self._local(at, None)[1])}"
        return None if (session := body.get("session_id")) is None else f"session {session}"

    def _rating_weight(self, rating: float | None) -> float:
        if rating is None or self._mean_rating <= 0:
            return 1.0
        return min(max(rating / self._mean_rating, 0.0), MAX_RATING_WEIGHT)


class RecentEvents:
    """Buffers by user, each of at most the latest `max_events` events.

    An event is appended to the bytes of its user's others, which takes a microsecond; only a read sorts them.

    Args:
        max_events: bounds the memory per user.
    """

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events
        self._max_bytes = 2 * max_events * EVENT_DTYPE.itemsize
        self._packed: dict[str, bytearray] = {}

    def __len__(self) -> int:
        """Return the number of users with events."""
        return len(self._packed)

    def add(self, key: str, row: tuple[Any, ...]) -> None:
        """Add an event."""
        known = self._packed.get(key)
        if known is None:
            self._packed[key] = bytearray(PACKED.pack(*row))
            return
        known += PACKED.pack(*row)
        if len(known) > self._max_bytes:
            self._packed[key] = bytearray(self._latest(known).tobytes())

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
                self._packed[key] = bytearray(buffer.tobytes())
            else:
                del self._packed[key]

    def _latest(self, packed: bytearray) -> EventBuffer:
        """Return the latest events in order, of a copy: bytes that an array reads cannot grow."""
        return in_order(np.frombuffer(bytes(packed), EVENT_DTYPE))[-self._max_events :]


def _float32(number: float | None) -> float:
    """Return a number that fits into 32 bits: NaN for none, infinity for one that is too large."""
    if number is None:
        return math.nan
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
