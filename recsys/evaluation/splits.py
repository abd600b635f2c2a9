"""Split of a shop's events into the past and the evaluated window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from recsys.core.errors import DataError
from recsys.data.dataset import Dataset

WindowName = Literal["tune", "report"]


@dataclass(frozen=True)
class Window:
    """The evaluated period.

    Attributes:
        start: seconds since 1970, inclusive; models are fitted on earlier events.
        stop: seconds since 1970, exclusive.
    """

    start: int
    stop: int


def find_window(dataset: Dataset, name: WindowName, holdout_days: int = 28) -> Window:
    """Return the last days of the data (`report`) or the days before them (`tune`), from local midnight to midnight.

    Args:
        dataset: the whole shop.
        name: `report` for the last `holdout_days`, `tune` for as many days before; the two never overlap.
        holdout_days: length of a window, in local days, >= 1.

    Returns:
        The window.

    Raises:
        DataError: there is no event, or none before the window.
    """
    if not len(dataset.events):
        raise DataError("there is no event to hold out: ingest with --events")
    zone = ZoneInfo(dataset.timezone)
    last_day = datetime.fromtimestamp(dataset.end, UTC).astimezone(zone).date()
    offset = {"report": 0, "tune": holdout_days}[name]
    stop = last_day + timedelta(days=1 - offset)
    start = stop - timedelta(days=holdout_days)
    window = Window(*(int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) for day in (start, stop)))
    if dataset.events.timestamp[0] >= window.start:
        raise DataError(
            f"there is no event before {start}, the start of the {name} window of {holdout_days} days: "
            "choose fewer --holdout-days or ingest a longer history"
        )
    return window
