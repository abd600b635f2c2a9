"""Events of users since the bundle was trained: a short buffer per user, in the order of time."""

from __future__ import annotations

import math
from array import array
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
        key = user_key(body.get("user_id"), body.get("visitor_id"), body.get("session_id"))
        hour, day = self._local(at, timezone)
        named = self._basket_name(body, at)
        basket = basket_number(f"day {day} {key}" if named is None else named)
        rating, quantity = self._rating_weight(body.get("value")), body.get("quantity")
        return (
            *(at, seq, item_idx, basket, rating, event_type, hour, named is None),
            *(body.get("basket_id") is not None, math.nan if quantity is None else float(quantity)),
        )

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

    Args:
        max_events: bounds the memory per user.
    """

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events
        self._buffers: dict[str, EventBuffer] = {}
        self._codes: dict[str, int] = {}
        self._added = array("i")
        self._parts: list[EventBuffer] = []
        self._waiting: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        """Return the number of users with events."""
        self.settle()
        return len(self._buffers)

    def add(self, key: str, row: tuple[Any, ...]) -> None:
        """Add an event; it is sorted into its buffer on the next read."""
        self._added.append(self._codes.setdefault(key, len(self._codes)))
        self._waiting.append(row)

    def pack(self) -> None:
        """Reduce the memory of added events to a tenth; for use between the parts of a long backlog."""
        if self._waiting:
            self._parts.append(np.array(self._waiting, EVENT_DTYPE))
            self._waiting = []

    def of(self, key: str) -> EventBuffer | None:
        """Return the events of a user, None if there are none."""
        self.settle()
        return self._buffers.get(key)

    def change(self, key: str, changed: Callable[[EventBuffer], EventBuffer]) -> None:
        """Replace the buffer of a user, if there is one."""
        buffer = self.of(key)
        if buffer is not None:
            buffer = changed(buffer)
            if len(buffer):
                self._buffers[key] = buffer
            else:
                del self._buffers[key]

    def settle(self) -> None:
        """Sort all added events into the buffers, with one sort for all users, so that the next read is fast."""
        if not self._added:
            return
        self.pack()
        rows = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        code, codes = np.array(self._added, np.int32), self._codes
        self._added, self._codes, self._parts = array("i"), {}, []
        order = np.lexsort((rows["seq"], rows["at"], code))
        rows, code = rows[order], code[order]
        starts = np.searchsorted(code, np.arange(len(codes) + 1)).tolist()
        for number, key in enumerate(codes):
            self._join(key, rows[starts[number] : starts[number + 1]])

    def _join(self, key: str, buffer: EventBuffer) -> None:
        known = self._buffers.get(key)
        if known is not None:
            buffer = in_order(np.concatenate([known, buffer]))
        self._buffers[key] = buffer[-self._max_events :]


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
