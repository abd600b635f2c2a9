from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from recsys.data.dataset import DAY_S, PURCHASE
from recsys.data.history import NO_HISTORY, UserHistory
from recsys.planner.habits import NEVER_DAYS, local_days, local_hours, local_weekdays, visits_of

ZONES = ("Asia/Shanghai", "America/New_York")


def at(*moment: int, zone: str) -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp())  # type: ignore[misc, arg-type]


def history(*events: tuple[int, int, int, int]) -> UserHistory:
    """Events as time, basket, local hour and type."""
    time, basket, hour, kind = (np.array(column) for column in zip(*events, strict=True))
    n = np.zeros(len(time), np.int32)
    one = np.ones(len(time), np.float32)
    return UserHistory(n, time, kind.astype(np.int8), basket.astype(np.int32), hour.astype(np.int8), one, one)


def test_visits_by_hand() -> None:
    friday = at(2024, 5, 3, 18, zone=ZONES[0])
    first = history((friday, 7, 18, 0), (friday + 60, 7, 18, PURCHASE), (friday + 2 * DAY_S, 3, 9, 1))
    visits = visits_of([first, NO_HISTORY], ZONES, PURCHASE)
    now = friday + 2 * DAY_S
    assert sorted(zip(visits.hour.tolist(), visits.weekday.tolist(), visits.is_order.tolist(), strict=True)) == [
        (9, 6, False),
        (18, 4, True),
    ]
    hours = visits.hours(now, 2.0)
    assert hours[0, [9, 18]] == pytest.approx([1, 0.5])
    assert hours.sum() == pytest.approx(1.5)
    assert visits.weekdays(now, 1e9)[0, [4, 6]] == pytest.approx([1, 1])
    assert visits.recent_orders(now).tolist() == [1, 0]
    assert visits.recent_orders(now + 40 * DAY_S).tolist() == [0, 0]
    assert visits.days_since_order(now) == pytest.approx([2, NEVER_DAYS], abs=0.001)


def test_days_without_hours_have_no_hour() -> None:
    visits = visits_of([history((86_400, 1, -1, 0))], ZONES[:1], PURCHASE)
    assert visits.hours(86_400, 10).sum() == 0
    assert visits.weekdays(86_400, 10).sum() == pytest.approx(1)


def test_local_times_are_those_of_each_zone() -> None:
    times = np.array([at(2024, 3, 10, hour, zone=ZONES[1]) for hour in (1, 3, 23)])  # the clock goes forward at 2
    user = np.array([1, 1, 0])
    assert local_hours(times, user, ZONES).tolist() == [1, 3, 11]
    assert local_weekdays(times, user, ZONES).tolist() == [6, 6, 0]
    day = (datetime(2024, 3, 10) - datetime(1970, 1, 1)).days  # noqa: DTZ001
    assert local_days(times, user, ZONES).tolist() == [day, day, day + 1]
    assert local_days(times[:0], user[:0], ZONES).tolist() == []
