"""What shoppers did since the bundle was made: a short run of events each, in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import MAX_RATING_WEIGHT, NO_HOUR
from recsys.data.history import UserHistory

EventBuffer = npt.NDArray[np.void]
"""Events of one shopper, ascending by `at` and then `seq`."""

RUN: Final = np.dtype(
    [
        ("at", np.float64),
        ("seq", np.int64),
        ("item_idx", np.int32),
        ("basket_idx", np.int32),
        ("rating_weight", np.float32),
        ("kind", np.int8),
        ("hour", np.int8),
        ("by_day", np.bool_),
    ]
)
LARGEST_INT32: Final = 2**31 - 1


class EventEncoder:
    """Turns the times and names of live events into the numbers that the bundle's events have.

    Args:
        timezone: the shop's IANA zone.
        has_hours: whether the shop's times are finer than a day; hours are unknown if not.
        n_baskets: baskets that the bundle numbered; live ones get other numbers.
        mean_rating: of the bundle's ratings, 0 where there are none.
    """

    def __init__(self, timezone: str, has_hours: bool, n_baskets: int, mean_rating: float) -> None:
        self._timezone, self._has_hours = timezone, has_hours
        self._first_basket, self._mean_rating = n_baskets, mean_rating

    def row(
        self, seq: int, at: float, item_idx: int, kind: int, body: Mapping[str, Any], timezone: str | None
    ) -> tuple[Any, ...]:
        """An event as a row of `RUN`.

        Args:
            seq: its number in the log.
            at: when it happened, seconds since 1970.
            item_idx: row of its item.
            kind: its code.
            body: its columns.
            timezone: of the shopper, None for the shop's.
        """
        hour, day = self._local(at, timezone)
        named = self._basket_name(body)
        basket = self._number(named or day)
        return at, seq, item_idx, basket, self._rating_weight(body.get("value")), kind, hour, named is None

    def moved(self, run: EventBuffer, timezone: str | None) -> EventBuffer:
        """The same events for a shopper who lives in another zone."""
        run = run.copy()
        for event in run:
            event["hour"], day = self._local(float(event["at"]), timezone)
            if event["by_day"]:
                event["basket_idx"] = self._number(day)
        return run

    def _local(self, at: float, timezone: str | None) -> tuple[int, str]:
        local = datetime.fromtimestamp(at, ZoneInfo(timezone or self._timezone))
        return (local.hour if self._has_hours else NO_HOUR), f"day {local.date()}"

    @staticmethod
    def _basket_name(body: Mapping[str, Any]) -> str | None:
        if (basket := body.get("basket_id")) is not None:
            return f"basket {basket}"
        return None if (session := body.get("session_id")) is None else f"session {session}"

    def _number(self, name: str) -> int:
        """A number for a basket that no order of arrival changes; it only tells the baskets of one shopper apart."""
        return self._first_basket + crc32(name.encode()) % (LARGEST_INT32 - self._first_basket)

    def _rating_weight(self, rating: float | None) -> float:
        if rating is None or self._mean_rating <= 0:
            return 1.0
        return min(max(rating / self._mean_rating, 0.0), MAX_RATING_WEIGHT)


class RecentEvents:
    """Runs by shopper, each of at most `max_events`, the latest.

    Args:
        max_events: bounds the memory of one shopper.
    """

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events
        self._runs: dict[str, EventBuffer] = {}
        self._keys: list[str] = []
        self._parts: list[EventBuffer] = []
        self._waiting: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        """How many shoppers have any."""
        self._settle()
        return len(self._runs)

    def add(self, key: str, row: tuple[Any, ...]) -> None:
        """Take an event; what it changes shows once it is asked for."""
        self._keys.append(key)
        self._waiting.append(row)

    def pack(self) -> None:
        """Bring what was added into a tenth of the memory; for long backlogs, between their parts."""
        if self._waiting:
            self._parts.append(np.array(self._waiting, RUN))
            self._waiting = []

    def of(self, key: str) -> EventBuffer | None:
        """The events of a shopper, None where there are none."""
        self._settle()
        return self._runs.get(key)

    def change(self, key: str, changed: Callable[[EventBuffer], EventBuffer]) -> None:
        """Put another run in the place of a shopper's own, if there is one."""
        run = self.of(key)
        if run is not None:
            run = changed(run)
            if len(run):
                self._runs[key] = run
            else:
                del self._runs[key]

    def _settle(self) -> None:
        """Sort all that waits into the runs, by one sort for all shoppers."""
        if not self._keys:
            return
        self.pack()
        rows = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        keys, self._keys, self._parts = self._keys, [], []
        codes: dict[str, int] = {}
        code = np.fromiter((codes.setdefault(key, len(codes)) for key in keys), np.int32, len(keys))
        order = np.lexsort((rows["seq"], rows["at"], code))
        rows, code = rows[order], code[order]
        starts = np.searchsorted(code, np.arange(len(codes) + 1)).tolist()
        for place, key in enumerate(codes):
            self._join(key, rows[starts[place] : starts[place + 1]])

    def _join(self, key: str, run: EventBuffer) -> None:
        known = self._runs.get(key)
        if known is not None:
            run = in_order(np.concatenate([known, run]))
        self._runs[key] = run[-self._max_events :]


def in_order(run: EventBuffer) -> EventBuffer:
    """Events by time, those of one moment as the log has them."""
    at = run["at"]
    if (at[1:] > at[:-1]).all():
        return run
    return run[np.lexsort((run["seq"], at))]


def joined(parts: Sequence[UserHistory], runs: Sequence[EventBuffer], max_events: int) -> UserHistory:
    """One history of several: the bundle's own first among events of one second, then those of the runs.

    Args:
        parts: histories, each ascending by time.
        runs: events since, each ascending by time.
        max_events: the latest that are kept.
    """
    run = runs[0] if len(runs) == 1 else in_order(np.concatenate([*runs, np.empty(0, RUN)]))
    since = UserHistory(
        run["item_idx"], run["at"].astype(np.int64), run["kind"], run["basket_idx"], run["hour"], run["rating_weight"]
    )
    every = [part for part in (*parts, since) if len(part)]
    if not every:
        return since
    history = every[0]
    if len(every) > 1:
        columns = zip(*(vars(part).values() for part in every), strict=True)
        history = UserHistory(*(np.concatenate(column) for column in columns))
        if (history.timestamp[1:] < history.timestamp[:-1]).any():
            history = history.take(np.argsort(history.timestamp, kind="stable"))
    return history.take(slice(-max_events, None)) if len(history) > max_events else history
