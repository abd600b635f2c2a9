"""Timestamps of one event, change or option, parsed by one set of rules; inside, every time is aware and in UTC.

`training.ingest.timestamp_columns` applies the same rules to whole columns.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

import msgspec

from recsys.core.errors import ConfigError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST: Final = EPOCH
LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Bounds of times that are not of events, the upper one exclusive: a year before the calendar's end, so that the local
time in every zone is a date."""

EARLIEST_EVENT: Final = datetime(1990, 1, 1, tzinfo=UTC)
"""Default of the earliest time that an event may have: records of single events by computers are younger, and lost or
uninitialized times are years around 1970 or 1900."""

MICROSECONDS: Final = 1_000_000
"""Microseconds per second."""

NOON: Final = 12
"""Hour that replaces an unknown one."""

EPOCH_UNITS: Final = (
    ("seconds", 1e11, 1e6),
    ("milliseconds", 1e14, 1e3),
    ("microseconds", 1e17, 1.0),
    ("nanoseconds", math.inf, 1e-3),
)
"""Units of counts since 1970: name, first magnitude too large for the unit, and microseconds per unit."""

EARLIEST_COUNT: Final = 100_000_000
"""Counts from 0 up to this are refused: they look like the digits of a date, such as 20240501."""

EXAMPLE: Final = "2024-05-01T08:00:00+08:00"

OUT_OF_RANGE: Final = "expected a time between the years 1 and 9999"

_COUNT: Final = re.compile(r"\d{9,19}(\.\d+)?\Z")
_encode: Final = msgspec.json.Encoder().encode


def parse_iso(text: str, zone: tzinfo | None = None) -> datetime:
    """Parse an ISO 8601 date or time, RFC 3339 included.

    >>> parse_iso("2024-05-01T08:00:00+08:00")
    datetime.datetime(2024, 5, 1, 0, 0, tzinfo=datetime.timezone.utc)

    Args:
        text: the date or time; a date means midnight.
        zone: the zone of a text without an offset; None refuses such a text.

    Returns:
        The moment in UTC.

    Raises:
        ValueError: naming what was expected.
    """
    try:
        return _read_iso(text, zone).astimezone(UTC)
    except OverflowError:
        raise ValueError(OUT_OF_RANGE) from None


def parse_timestamp(value: str | float | date, zone: tzinfo | None = None) -> datetime:
    """Parse a time of any form: ISO 8601 text, a date or datetime, or a count since 1970, also as text.

    >>> parse_timestamp(1714521600) == parse_timestamp("1714521600000") == parse_timestamp("2024-05-01T08:00:00+08:00")
    True

    Args:
        value: the time; the magnitude of a count determines its unit (see `EPOCH_UNITS`).
        zone: the zone of times without an offset; None refuses them.

    Returns:
        The moment in UTC, from year 1 to year 9999.

    Raises:
        ValueError: naming what was expected.
    """
    try:
        return from_micros(parse_micros(value, zone))
    except OverflowError:
        raise ValueError(OUT_OF_RANGE) from None


def parse_micros(value: str | float | date, zone: tzinfo | None = None) -> int:
    """Parse a time as `parse_timestamp`, to microseconds since 1970; a count may be of any year.

    Raises:
        ValueError: naming what was expected.
    """
    if isinstance(value, str):
        if not _COUNT.match(value):
            return to_micros(_read_iso(value, zone))
        value = float(value) if "." in value else int(value)
    if isinstance(value, int | float):
        return _count_to_micros(value)
    if isinstance(value, datetime):
        return to_micros(_aware(value, zone))
    return to_micros(_aware(datetime(value.year, value.month, value.day), zone))  # noqa: DTZ001


def to_micros(moment: datetime) -> int:
    """Return the microseconds since 1970 of an aware moment, exactly."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * MICROSECONDS + since.microseconds


def from_micros(micros: float) -> datetime:
    """Return the moment in UTC of microseconds since 1970.

    Raises:
        OverflowError: it is before the year 1 or after the year 9999.
    """
    return EPOCH + timedelta(microseconds=micros)


def utc_text(moment: datetime) -> str:
    """Return the ISO 8601 text of a moment in UTC, as `datetime.isoformat` writes it, in a tenth of its time.

    >>> utc_text(datetime(2024, 5, 1, tzinfo=UTC))
    '2024-05-01T00:00:00+00:00'
    """
    return f"{_encode(moment)[1:-2].decode()}+00:00"


def to_seconds(moment: datetime) -> int:
    """Return the whole seconds since 1970 of an aware moment.

    Raises:
        ConfigError: the moment has no zone.
    """
    if moment.tzinfo is None:
        raise ConfigError(f"{moment.isoformat()} has no zone: give an offset, such as {moment.isoformat()}Z")
    return int(moment.timestamp())


def _count_to_micros(count: float) -> int:
    if not math.isfinite(count):
        raise ValueError("expected a finite count since 1970")
    if 0 <= count < EARLIEST_COUNT:
        raise ValueError("expected an RFC 3339 time, or a count since 1970; this may be the digits of a date")
    factor = next(micros for _, end, micros in EPOCH_UNITS if abs(count) < end)
    if isinstance(count, int):
        return count * int(factor) if factor >= 1 else count // round(1 / factor)
    return round(count * factor)


def _read_iso(text: str, zone: tzinfo | None) -> datetime:
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(f"expected an RFC 3339 time such as {EXAMPLE}") from None
    return _aware(moment, zone)


def _aware(moment: datetime, zone: tzinfo | None) -> datetime:
    if moment.tzinfo is not None:
        return moment
    if zone is None:
        raise ValueError("expected an offset at the end, such as +08:00 or Z")
    return moment.replace(tzinfo=zone)
