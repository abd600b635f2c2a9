"""The times at which a list is open: dates, weekdays and hours in the shopper's zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

EXAMPLES = "a date or time such as '2026-11-01' or '2026-11-11T20:00', in the shopper's zone if it has no offset"


@dataclass(frozen=True)
class Window:
    """The times at which a list is open: all of its conditions must be met.

    Attributes:
        valid_from: first moment; without an offset, of the wall clock of the shopper's zone; None for no bound.
        valid_to: moment at which the list is closed again; None for no bound.
        weekdays: 1 Monday to 7 Sunday; empty for all.
        hours: local hours, 0 to 23; empty for all.
    """

    valid_from: datetime | None = None
    valid_to: datetime | None = None
    weekdays: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()

    def is_open(self, local: datetime) -> bool:
        """Return whether the list is open.

        Args:
            local: the moment, in the shopper's zone.

        >>> from zoneinfo import ZoneInfo
        >>> friday_evening = Window(weekdays=(5,), hours=(17, 18, 19))
        >>> friday_evening.is_open(datetime(2024, 5, 3, 18, 30, tzinfo=ZoneInfo("Asia/Shanghai")))
        True
        >>> Window(valid_to=read_bound("2024-05-03")).is_open(datetime(2024, 5, 3, tzinfo=ZoneInfo("Asia/Shanghai")))
        False
        """
        return (
            (self.valid_from is None or not _is_before(local, self.valid_from))
            and (self.valid_to is None or _is_before(local, self.valid_to))
            and (not self.weekdays or local.isoweekday() in self.weekdays)
            and (not self.hours or local.hour in self.hours)
        )


def read_bound(text: str) -> datetime:
    """Read the bound of a window, without a zone if the text has no offset.

    Args:
        text: an ISO 8601 date or time; a date means its midnight.

    Raises:
        ValueError: naming what was expected.
    """
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(EXAMPLES) from None


def _is_before(local: datetime, bound: datetime) -> bool:
    return (local.replace(tzinfo=None) if bound.tzinfo is None else local) < bound
