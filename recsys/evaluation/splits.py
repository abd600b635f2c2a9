"""Where the past ends and the judged future begins."""

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
    """A span of the shop's events that models are judged on.

    Attributes:
        start: seconds since 1970; models know only what came before.
        stop: seconds since 1970, exclusive.
    """

    start: int
    stop: int


def find_window(dataset: Dataset, name: WindowName, holdout_days: int = 28) -> Window:
    """The last days of the data to report on, the days before them to tune on; both from local midnight.

    Args:
        dataset: the whole shop.
        name: `report` for the last `holdout_days`, `tune` for those before, which never overlap it.
        holdout_days: length of a window, in local days, >= 1.

    Raises:
        DataError: if nothing is known before the window.
    """
    zone = ZoneInfo(dataset.timezone)
    last_day = datetime.fromtimestamp(dataset.end, UTC).astimezone(zone).date()
    offset = {"report": 0, "tune": holdout_days}[name]
    stop = last_day + timedelta(days=1 - offset)
    start = stop - timedelta(days=holdout_days)
    window = Window(*(int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) for day in (start, stop)))
    if not len(dataset.events) or dataset.events.timestamp[0] >= window.start:
        raise DataError(
            f"no event lies before {start}, where the {name} window of {holdout_days} days begins: "
            "choose fewer --holdout-days or bring a longer history"
        )
    return window
