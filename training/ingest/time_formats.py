"""Formats of times that are not read without `--timestamp-format`, found by a value, for messages."""

from __future__ import annotations

from datetime import datetime
from itertools import product
from typing import Final

DAYS: Final = (
    "%d.%m.%Y",
    "%d.%m.%y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y.%m.%d",
    "%Y年%m月%d日",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %B %Y",
    "%a, %d %b %Y",
)
CLOCKS: Final = (
    "",
    " %H:%M",
    " %H:%M:%S",
    " %I:%M %p",
    " %I:%M:%S %p",
    " %H:%M:%S %z",
    ", %H:%M",
    ", %H:%M:%S",
    ", %I:%M %p",
    " %H时%M分",
    " %H时%M分%S秒",
)


def fitting_formats(value: str) -> tuple[str, ...]:
    """Return the common formats of a time that fit a value; several if its day may be its month.

    >>> fitting_formats("31.12.2024 08:05"), fitting_formats("03/04/2024")
    (('%d.%m.%Y %H:%M',), ('%d/%m/%Y', '%m/%d/%Y'))
    """
    return tuple(day + clock for day, clock in product(DAYS, CLOCKS) if _fits(value.strip(), day + clock))


def _fits(value: str, format_: str) -> bool:
    try:
        datetime.strptime(value, format_)  # noqa: DTZ007 - only whether it fits counts
    except ValueError:
        return False
    return True
