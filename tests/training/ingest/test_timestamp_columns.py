from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core import timestamps
from recsys.core.timestamps import parse_timestamp, to_micros
from training.ingest.timestamp_columns import EPOCH_UNITS, NO_ZONE, UNPARSABLE, TimestampOptions, parse_timestamps

EIGHT = datetime(2017, 1, 5, 8, tzinfo=UTC)


def read(value: Any, zone: str | None = None, form: str | None = None) -> tuple[Any, Any]:
    column = parse_timestamps(pl.Series([value], strict=False), TimestampOptions(zone, form))
    return column.values[0], column.problems[0]


@pytest.mark.parametrize(
    "value",
    [
        "2017-01-05T08:00:00Z",
        "2017-01-05 08:00:00Z",
        "2017-01-05T16:00:00+08:00",
        "2017-01-05T16:00:00+0800",
        "2017-01-05T16:00:00+08",
        "2017-01-05T08:00:00.000Z",
        "2017-01-05T08:00Z",
        "2017-01-05 08:00:00 UTC",
        "  2017-01-05T08:00:00Z ",
        "1483603200",
        "1483603200.0",
        "1483603200000",
        "1483603200000000",
        "1483603200000000000",
        1483603200,
        1483603200.0,
        1483603200000,
        1483603200000000,
        EIGHT,
    ],
)
def test_moments(value: Any) -> None:
    assert read(value) == (EIGHT, None)


@pytest.mark.parametrize(
    "value",
    ["2017-01-05 16:00", "2017-01-05T16:00:00", "2017/1/5 16:00", "20170105160000", datetime(2017, 1, 5, 16)],  # noqa: DTZ001
)
def test_times_without_a_zone_require_one(value: Any) -> None:
    assert read(value) == (None, NO_ZONE)
    assert read(value, "Asia/Shanghai") == (EIGHT, None)


@pytest.mark.parametrize("value", ["2017-01-05", "2017/1/5", "20170105", 20170105, date(2017, 1, 5)])
def test_a_date_is_midnight(value: Any) -> None:
    assert read(value) == (datetime(2017, 1, 5, tzinfo=UTC), None)
    assert read(value, "Asia/Shanghai") == (datetime(2017, 1, 4, 16, tzinfo=UTC), None)


@pytest.mark.parametrize("value", ["yesterday", "2017-13-45", "2017-01-05T25:00:00Z", "1e5", True, float("nan"), 1e300])
def test_unparsable(value: Any) -> None:
    assert read(value, "UTC") == (None, UNPARSABLE)


def test_nothing_is_no_problem() -> None:
    assert read(None) == (None, None)
    assert read("") == (None, None)
    assert len(parse_timestamps(pl.Series([], dtype=pl.String), TimestampOptions()).values) == 0


def test_configured_format() -> None:
    assert read("12/1/2010 8:26", "UTC", "%m/%d/%Y %H:%M") == (datetime(2010, 12, 1, 8, 26, tzinfo=UTC), None)
    assert read("1.12.2010", "UTC", "%d.%m.%Y") == (datetime(2010, 12, 1, tzinfo=UTC), None)
    assert read("2017-01-05T08:00:00Z", "UTC", "%m/%d/%Y %H:%M") == (EIGHT, None)
    assert read("31/31/2010 8:26", "UTC", "%m/%d/%Y %H:%M") == (None, UNPARSABLE)


def test_changing_clocks() -> None:
    """At 2:00 on 12 March New York's clocks went on to 3:00; at 2:00 on 5 November they went back to 1:00."""
    assert read("2017-03-12 02:30", "America/New_York") == (datetime(2017, 3, 12, 7, 30, tzinfo=UTC), None)
    assert read("2017-11-05 01:30", "America/New_York") == (datetime(2017, 11, 5, 5, 30, tzinfo=UTC), None)


def test_the_unit_of_numbers_is_reported() -> None:
    column = parse_timestamps(pl.Series(["1483603200", "1483603200000"]), TimestampOptions())
    assert column.notes == (
        "numbers were read as epoch milliseconds",
        "numbers were read as epoch seconds",
    )


def test_a_mixed_column_is_read_row_by_row() -> None:
    values = ["2017-01-05T08:00:00Z", None, "2017-01-05", "soon", "1483603200", "2017-01-05 08:00"]
    column = parse_timestamps(pl.Series(values), TimestampOptions("UTC"))
    assert column.values.is_null().to_list() == [False, True, False, True, False, False]
    assert column.problems.to_list() == [None, None, None, UNPARSABLE, None, None]


@given(
    st.lists(
        st.datetimes(
            datetime(1973, 4, 1),  # noqa: DTZ001 - the zone is added next
            datetime(2100, 1, 1),  # noqa: DTZ001
            timezones=st.integers(-48, 56).map(lambda quarters: timezone(timedelta(minutes=15 * quarters))),
        ),
        min_size=1,
    ),
    st.sampled_from([None, "UTC", "Asia/Shanghai"]),
)
def test_a_column_is_parsed_as_its_values_are_one_by_one(moments: list[datetime], zone: str | None) -> None:
    texts = [moment.isoformat(sep) for moment in moments for sep in ("T", " ")]
    counts = [str(to_micros(moment) // 10**n) for moment in moments for n in (0, 3, 6)]
    dates = [moment.date().isoformat() for moment in moments] if zone else []
    naive = [moment.replace(tzinfo=None, hour=12).isoformat() for moment in moments] if zone else []
    values = [*texts, *counts, *dates, *naive]
    column = parse_timestamps(pl.Series(values), TimestampOptions(zone))
    assert column.problems.null_count() == len(values)
    scalars = [parse_timestamp(value, zone and ZoneInfo(zone)) for value in values]
    assert column.values.to_list() == scalars


def test_a_column_and_a_value_have_the_same_units_of_counts() -> None:
    assert EPOCH_UNITS == timestamps.EPOCH_UNITS
