"""Columns of times in the forms that shops write, cast to moments in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from recsys.core.schema import TIMESTAMP

NO_ZONE: Final = "has no time zone: set the shop's, such as --timezone Asia/Shanghai"
UNPARSABLE: Final = "cannot be read as a time"
SKIPPED_BY_CLOCK: Final = "is a local time that its zone's clock skips"

AWARE_FORMATS: Final = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f %#z",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d %H:%M%#z",
)
NAIVE_FORMATS: Final = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")
DIGIT_DATE: Final = r"^(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
DIGIT_TIME: Final = r"^20\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])[0-5]\d[0-5]\d$"
HOUR_DIRECTIVES: Final = ("%H", "%I", "%T", "%R", "%X", "%c", "%s", "%+", "%k", "%l", "%r")

SERIAL_DAYS: Final = r"^[2-7]\d{4}([.,]\d+)?$"
"""Days since 1899-12-30, the dates of spreadsheets, from the year 1954 to 2119; as seconds they would be of 1970."""

SERIAL_NOTE: Final = "numbers were read as dates of a spreadsheet"
FIRST_SERIAL: Final = -25_569
"""Days from 1970 to the day 0 of spreadsheets."""

SECONDS_PER_DAY: Final = 86_400

EPOCH_UNITS: Final = (
    ("seconds", 1e11, 1e6),
    ("milliseconds", 1e14, 1e3),
    ("microseconds", 1e17, 1.0),
    ("nanoseconds", float("inf"), 1e-3),
)
"""Unit, the first magnitude too large for it, and its length in microseconds."""


@dataclass(frozen=True)
class TimestampOptions:
    """Zone and format of a shop's times.

    Attributes:
        timezone: IANA zone of times without one; None refuses them (a date is then midnight UTC).
        timestamp_format: strftime format tried before the standard ones, such as `%m/%d/%Y %H:%M`.
    """

    timezone: str | None = None
    timestamp_format: str | None = None


@dataclass(frozen=True)
class TypedColumn:
    """A column after its cast.

    Attributes:
        values: the column with its canonical type; null where the input is empty or the cast fails.
        problems: String; the problem of a value, null where there is none.
        notes: how an ambiguous column was read, such as the unit of its numbers.
    """

    values: pl.Series
    problems: pl.Series
    notes: tuple[str, ...] = ()


def parse_timestamps(values: pl.Series, rules: TimestampOptions) -> TypedColumn:
    """Cast one column of times of any type.

    Accepted: datetimes with or without a zone; dates (local midnight); ISO 8601 and RFC 3339 text with `T` or
    a space, `-` or `/`; the digits of a date (20170105) or a second (20170105082600); the configured format;
    days of a spreadsheet (45952.334); and epochs, whose unit follows from the magnitude (see `EPOCH_UNITS`). An
    ambiguous local time is the earlier one; a local time that the clock skips moves forward by one hour.

    Args:
        values: the raw column, any dtype.
        rules: the shop's zone and format.

    Returns:
        Datetime(us, UTC) values with their problems, as many as the input.
    """
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            return _column(values, moment=values.dt.convert_time_zone("UTC").cast(TIMESTAMP))
        return _column(values, local=values.cast(pl.Datetime("us")), zone=rules.timezone)
    if dtype == pl.Date:
        return _column(values, day=values, zone=rules.timezone)
    if dtype.is_numeric():
        whole = values.cast(pl.Int64, strict=False)
        exact = not (values.is_not_null() & (whole.is_null() | (whole != values))).any()
        return _parse_text((whole if exact else values.cast(pl.Float64)).cast(pl.String), rules)
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return _parse_text(values.cast(pl.String), rules)
    return _column(values)


def _column(
    raw: pl.Series,
    moment: pl.Series | None = None,
    local: pl.Series | None = None,
    day: pl.Series | None = None,
    zone: str | None = None,
    notes: tuple[str, ...] = (),
) -> TypedColumn:
    """Join moments, times without a zone and dates into one column, and add the problems of the rest."""
    times = _empty(raw.len(), TIMESTAMP) if moment is None else moment
    problems: pl.Expr = pl.when(pl.col("raw").is_not_null() & pl.col("times").is_null()).then(pl.lit(UNPARSABLE))
    if local is not None and local.null_count() < local.len():
        times = times.zip_with(local.is_null(), _localised(local, zone))
        reason = NO_ZONE if zone is None else SKIPPED_BY_CLOCK
        problems = (
            pl.when(pl.col("local").is_not_null() & pl.col("times").is_null()).then(pl.lit(reason)).otherwise(problems)
        )
    if day is not None and day.null_count() < day.len():
        times = times.zip_with(day.is_null(), _localised(day.cast(pl.Datetime("us")), zone or "UTC"))
    frame = pl.DataFrame({"raw": raw.is_not_null().replace(False, None), "times": times})
    frame = frame.with_columns(local=_empty(raw.len(), pl.Datetime("us")) if local is None else local)
    return TypedColumn(times, frame.select(problems.cast(pl.String)).to_series(), notes)


def _empty(length: int, dtype: pl.DataType) -> pl.Series:
    return pl.repeat(None, length, dtype=dtype, eager=True)


def _localised(naive: pl.Series, zone: str | None) -> pl.Series:
    """Convert times without a zone to UTC; null without a zone or where no such hour exists."""
    if zone is None:
        return _empty(naive.len(), TIMESTAMP)
    placed = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    skipped = placed.is_null() & naive.is_not_null()
    if skipped.any():
        later = naive.dt.offset_by("1h").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        placed = placed.zip_with(~skipped, later)
    return placed.dt.convert_time_zone("UTC").cast(TIMESTAMP)


def _parse_text(values: pl.Series, rules: TimestampOptions) -> TypedColumn:
    """Try one form after the other, each on the rows that no form before it could parse."""
    raw = values.str.strip_chars()
    raw = raw.set(raw == "", None)
    moment, local, day = _configured(raw, rules.timestamp_format)
    rest = _without(raw, moment, local, day)
    moment = _filled(moment, _first_fit(rest, AWARE_FORMATS[:1], TIMESTAMP))
    rest = _without(rest, moment)
    serial_local, serial_day, serials = _serials(rest)
    local, day, rest = _filled(local, serial_local), _filled(day, serial_day), _without(rest, serial_local, serial_day)
    epochs, notes = _epochs(rest)
    moment, rest = _filled(moment, epochs), _without(rest, epochs)
    if rest.null_count() < rest.len():
        plain = rest.str.replace(r"\s*(UTC|GMT|z)$", "Z").str.replace(r"^(\d{4})/(\d{1,2})/", "$1-$2-")
        moment = _filled(moment, _first_fit(plain, AWARE_FORMATS, TIMESTAMP))
        plain = _without(plain, moment)
        local = _filled(local, _first_fit(plain, NAIVE_FORMATS, pl.Datetime("us")))
        stamps = plain.set(~plain.str.contains(DIGIT_TIME), None)
        local = _filled(local, stamps.str.to_datetime("%Y%m%d%H%M%S", strict=False, time_unit="us"))
        plain = plain.str.replace(r"^(\d{4})(\d{2})(\d{2})$", "$1-$2-$3")
        day = _filled(day, _without(plain, local).str.to_date("%Y-%m-%d", strict=False))
    return _column(raw, moment, local, day, rules.timezone, (*serials, *notes))


def _without(text: pl.Series, *read: pl.Series) -> pl.Series:
    """Return the text of the rows that are not parsed yet."""
    for values in read:
        text = text.zip_with(values.is_null(), _empty(text.len(), pl.String()))
    return text


def _filled(values: pl.Series, more: pl.Series) -> pl.Series:
    return values.zip_with(values.is_not_null(), more)


def _first_fit(text: pl.Series, formats: tuple[str, ...], dtype: pl.DataType) -> pl.Series:
    times = _empty(text.len(), dtype)
    for form in formats:
        rows = (times.is_null() & text.is_not_null()).arg_true()
        if rows.is_empty():
            break
        read = text.gather(rows).str.to_datetime(form, strict=False, time_unit="us")
        times = times.scatter(rows, read.cast(dtype))
    return times


def _configured(text: pl.Series, form: str | None) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Parse moments, times without a zone and dates by the shop's own format."""
    moment, local = _empty(text.len(), TIMESTAMP), _empty(text.len(), pl.Datetime("us"))
    day = _empty(text.len(), pl.Date())
    if form is None:
        return moment, local, day
    if not any(directive in form for directive in HOUR_DIRECTIVES):
        return moment, local, text.str.to_date(form, strict=False)
    read = text.str.to_datetime(form, strict=False, time_unit="us")
    if isinstance(read.dtype, pl.Datetime) and read.dtype.time_zone is not None:
        return read.cast(TIMESTAMP), local, day
    return moment, read, day


def _serials(text: pl.Series) -> tuple[pl.Series, pl.Series, tuple[str, ...]]:
    """Parse the texts that are days of a spreadsheet: local times to the second, and dates where none has a time."""
    local, day = _empty(text.len(), pl.Datetime("us")), _empty(text.len(), pl.Date())
    found = text.str.contains(SERIAL_DAYS).fill_null(False)
    if not found.any():
        return local, day, ()
    days = text.set(~found, None).str.replace(",", ".", literal=True).cast(pl.Float64)
    if (days.drop_nulls() == days.drop_nulls().floor()).all():
        return local, (days.cast(pl.Int32) + FIRST_SERIAL).cast(pl.Date), (SERIAL_NOTE,)
    seconds = ((days + FIRST_SERIAL) * SECONDS_PER_DAY).round().cast(pl.Int64)
    return (seconds * 1000).cast(pl.Datetime("ms")).cast(pl.Datetime("us")), day, (SERIAL_NOTE,)


def _epochs(text: pl.Series) -> tuple[pl.Series, tuple[str, ...]]:
    """Parse the texts that are epochs, and note their units."""
    digits = text.str.contains(r"^-?\d+(\.\d+)?$") & ~text.str.contains(f"{DIGIT_DATE}|{DIGIT_TIME}")
    if not digits.any():
        return _empty(text.len(), TIMESTAMP), ()
    frame = (
        text.set(~digits, None)
        .to_frame("text")
        .with_columns(
            whole=pl.col("text").cast(pl.Int64, strict=False),
            number=pl.col("text").cast(pl.Float64, strict=False),
        )
    )
    unit, micros = pl.lit(None, pl.String), pl.lit(None, pl.Int64)
    for name, limit, factor in reversed(EPOCH_UNITS):
        below = pl.col("number").abs() < limit
        exact = pl.col("whole") * int(factor) if factor >= 1 else pl.col("whole") // round(1 / factor)
        scaled = (pl.col("number") * factor).round().cast(pl.Int64, strict=False)
        micros = pl.when(below).then(pl.coalesce(exact, scaled)).otherwise(micros)
        unit = pl.when(below).then(pl.lit(name)).otherwise(unit)
    read = frame.select(unit=unit, times=micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    units = read["unit"].drop_nulls().unique().sort().to_list()
    return read["times"], tuple(f"numbers were read as epoch {name}" for name in units)
