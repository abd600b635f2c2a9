from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import DataError
from recsys.data.dataset import Dataset
from recsys.evaluation.splits import Window, find_window
from tests.shop import dataset_of


def shop(*moments: datetime, timezone: str = "Asia/Shanghai") -> Dataset:
    return dataset_of([{"user_id": "u", "item_id": "a", "timestamp": each} for each in moments], timezone=timezone)


def local(text: str, timezone: str = "Asia/Shanghai") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone))


def window(start: datetime, stop: datetime) -> Window:
    return Window(int(start.timestamp()), int(stop.timestamp()))


def test_the_last_days_are_reported_on_and_those_before_are_tuned_on() -> None:
    """The last event is of 1 May, 1 h, local time: in UTC it is still April."""
    dataset = shop(local("2024-01-01T12:00"), local("2024-05-01T01:00"))
    assert find_window(dataset, "report") == window(local("2024-04-04"), local("2024-05-02"))
    assert find_window(dataset, "tune") == window(local("2024-03-07"), local("2024-04-04"))
    assert find_window(dataset, "report", 1) == window(local("2024-05-01"), local("2024-05-02"))
    assert find_window(dataset, "tune", 1) == window(local("2024-04-30"), local("2024-05-01"))


def test_days_are_local_where_the_clock_changes() -> None:
    """The window's first day has 23 hours in New York."""
    zone = "America/New_York"
    dataset = shop(local("2024-03-01T12:00", zone), local("2024-03-11T12:00", zone), timezone=zone)
    found = find_window(dataset, "report", 2)
    assert found == window(local("2024-03-10", zone), local("2024-03-12", zone))
    assert found.stop - found.start == 47 * 3600


def test_a_catalog_alone_has_no_window() -> None:
    with pytest.raises(DataError, match="there is no event to hold out"):
        find_window(shop(), "report", 7)


def test_something_must_be_known_before_the_window() -> None:
    begins = local("2024-04-04")
    last = local("2024-05-01T12:00")
    with pytest.raises(DataError, match=r"2024-04-04.*report window of 28 days"):
        find_window(shop(begins, last), "report")
    assert find_window(shop(begins - timedelta(seconds=1), last), "report").start == int(begins.timestamp())
    with pytest.raises(DataError, match="tune window"):
        find_window(shop(begins - timedelta(days=28), last), "tune")
    with pytest.raises(DataError, match="no event"):
        find_window(shop(), "report")


@given(
    n_days=st.integers(1, 60),
    last=st.integers(1_672_531_200, 1_735_689_600),
    timezone=st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"]),
)
def test_windows_follow_each_other_and_hold_the_last_event(n_days: int, last: int, timezone: str) -> None:
    """Of two years, in zones of which some change their clocks."""
    end = datetime.fromtimestamp(last, ZoneInfo(timezone))
    dataset = shop(end - timedelta(days=200), end, timezone=timezone)
    tune, report = find_window(dataset, "tune", n_days), find_window(dataset, "report", n_days)
    assert tune.start < tune.stop == report.start <= dataset.end < report.stop
    for each in (tune, report):
        assert datetime.fromtimestamp(each.start, ZoneInfo(timezone)).hour == 0
        assert abs((each.stop - each.start) / 86_400 - n_days) <= 1 / 24
