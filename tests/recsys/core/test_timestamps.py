from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import ConfigError
from recsys.core.timestamps import (
    EPOCH_UNITS,
    from_micros,
    parse_iso,
    parse_micros,
    parse_timestamp,
    to_micros,
    to_seconds,
    utc_text,
)

EIGHT = datetime(2024, 5, 1, 8, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")

MOMENTS = st.datetimes(
    datetime(1973, 4, 1),  # noqa: DTZ001 - the zone is added below
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-720, 840).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@pytest.mark.parametrize(
    "value",
    [
        "2024-05-01T08:00:00Z",
        "2024-05-01t08:00:00z",
        "2024-05-01 08:00:00+00:00",
        "2024-05-01T16:00:00+08:00",
        "2024-05-01T16:00+0800",
        "1714550400",
        "1714550400.0",
        "1714550400000",
        1714550400,
        1714550400.0,
        1714550400000,
        1714550400000000,
        1714550400000000000,
        EIGHT,
        datetime(2024, 5, 1, 16, tzinfo=SHANGHAI),
    ],
)
def test_forms_of_one_moment(value: Any) -> None:
    parsed = parse_timestamp(value)
    assert (parsed, parsed.tzinfo) == (EIGHT, UTC)
    assert parse_micros(value) == 1714550400000000


@pytest.mark.parametrize("value", ["2024-05-01T16:00:00", "2024-05-01 16:00", datetime(2024, 5, 1, 16)])  # noqa: DTZ001
def test_a_time_without_an_offset_requires_a_zone(value: Any) -> None:
    with pytest.raises(ValueError, match="expected an offset"):
        parse_timestamp(value)
    assert parse_timestamp(value, SHANGHAI) == EIGHT


@pytest.mark.parametrize("value", ["2024-05-01", "20240501", date(2024, 5, 1)])
def test_a_date_is_midnight(value: Any) -> None:
    with pytest.raises(ValueError, match="expected an offset"):
        parse_timestamp(value)
    assert parse_timestamp(value, UTC) == datetime(2024, 5, 1, tzinfo=UTC)
    assert parse_timestamp(value, SHANGHAI) == datetime(2024, 4, 30, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "expected an RFC 3339 time"),
        ("yesterday", "expected an RFC 3339 time"),
        ("2024-02-30T00:00:00Z", "expected an RFC 3339 time"),
        ("2024-05-01T08:00:00+99:00", "expected an RFC 3339 time"),
        ("0001-01-01T00:00:00+14:00", "between the years 1 and 9999"),
        (20240501, "digits of a date"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (10**22, "between the years 1 and 9999"),
        (-(10**22), "between the years 1 and 9999"),
    ],
)
def test_refused_values_name_what_was_expected(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_timestamp(value)


def test_text_of_digits_is_a_count_only_where_counts_are_read() -> None:
    with pytest.raises(ValueError, match="expected an RFC 3339 time"):
        parse_iso("1714550400")


@pytest.mark.parametrize(("unit", "limit", "micros"), EPOCH_UNITS[:-1])
def test_the_magnitude_of_a_count_determines_its_unit(unit: str, limit: float, micros: float) -> None:
    below = int(limit) - 1
    assert parse_micros(below) == below * int(micros), unit
    assert parse_micros(-below) == -below * int(micros), unit
    assert parse_micros(int(limit)) != int(limit) * int(micros), unit


@given(MOMENTS)
def test_every_form_of_a_moment_is_parsed_to_the_same_microsecond(moment: datetime) -> None:
    micros = to_micros(moment)
    for form in (moment, moment.isoformat(), moment.isoformat(" "), micros, str(micros), micros * 1000 + 999):
        assert parse_micros(form) == micros
    assert from_micros(micros) == moment
    assert to_seconds(moment) == micros // 1_000_000


def test_whole_seconds_require_a_zone() -> None:
    assert to_seconds(datetime(1970, 1, 1, 0, 0, 17, 900_000, tzinfo=UTC)) == 17
    with pytest.raises(ConfigError, match="has no zone"):
        to_seconds(datetime(2024, 5, 1))  # noqa: DTZ001 - the fault under test


def test_micros_may_lie_before_the_year_1_or_after_9999_in_utc() -> None:
    assert parse_micros("0001-01-01T00:00:00+14:00") == to_micros(datetime(1, 1, 1, tzinfo=UTC)) - 14 * 3_600_000_000
    assert parse_micros(10**22) == 10**19
    with pytest.raises(ValueError, match="between the years 1 and 9999"):
        parse_iso("0001-01-01T00:00:00+14:00")


@given(st.datetimes(timezones=st.just(UTC)))
def test_the_text_of_a_moment_is_that_of_the_standard_library(moment: datetime) -> None:
    assert utc_text(moment) == moment.isoformat()
