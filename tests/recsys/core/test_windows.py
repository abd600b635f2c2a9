from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.windows import EXAMPLES, Window, read_bound

SHANGHAI, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2025, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def test_a_date_is_the_midnight_of_the_shoppers_own_zone() -> None:
    window = Window(valid_from=read_bound("2024-11-11"), valid_to=read_bound("2024-11-12"))
    begins = datetime(2024, 11, 11, tzinfo=SHANGHAI)
    assert window.is_open(begins)
    assert not window.is_open(begins - timedelta(seconds=1))
    assert not window.is_open(begins.astimezone(NEW_YORK))  # still the 10th there
    assert window.is_open(datetime(2024, 11, 11, 23, 59, 59, tzinfo=NEW_YORK))
    assert not window.is_open(datetime(2024, 11, 12, tzinfo=NEW_YORK))


def test_a_time_with_an_offset_is_one_moment_everywhere() -> None:
    window = Window(valid_from=read_bound("2024-11-11T20:00:00+08:00"))
    opens = datetime(2024, 11, 11, 20, tzinfo=SHANGHAI)
    for zone in (SHANGHAI, NEW_YORK, ZoneInfo("UTC")):
        assert window.is_open(opens.astimezone(zone))
        assert not window.is_open((opens - timedelta(seconds=1)).astimezone(zone))


@given(MOMENTS, st.sets(st.integers(1, 7)), st.sets(st.integers(0, 23)), st.sampled_from([SHANGHAI, NEW_YORK]))
def test_weekdays_and_hours_are_local_and_both_must_fit(
    moment: datetime, weekdays: set[int], hours: set[int], zone: ZoneInfo
) -> None:
    local = moment.astimezone(zone)
    fits = (not weekdays or local.isoweekday() in weekdays) and (not hours or local.hour in hours)
    assert Window(weekdays=tuple(weekdays), hours=tuple(hours)).is_open(local) == fits


@pytest.mark.parametrize("text", ["", "soon", "2024-13-01", "20:00"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="a date or time such as") as caught:
        read_bound(text)
    assert str(caught.value) == EXAMPLES
