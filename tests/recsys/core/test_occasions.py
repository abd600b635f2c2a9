from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from recsys.core.occasions import CLIMATE_OCCASIONS, FESTIVAL_OCCASIONS, LIFE_STAGES, Occasion
from recsys.core.placements import PLACEMENTS

SHANGHAI = ZoneInfo("Asia/Shanghai")


def on(month: int, day: int, hour: int = 12, year: int = 2024) -> datetime:
    return datetime(year, month, day, hour, tzinfo=SHANGHAI)


def is_open(occasion: Occasion, local: datetime, context: Any = None, attributes: Any = None) -> bool:
    return occasion.open_times(local, context or {}, attributes or {}) is not None


@pytest.mark.parametrize(("day", "expected"), [(26, False), (27, True), (31, True)])
def test_a_festival_is_open_from_two_weeks_before(day: int, expected: bool) -> None:
    """Qixi is on 10 August 2024."""
    qixi = next(each for each in FESTIVAL_OCCASIONS if each.festival == "qixi")
    assert is_open(qixi, on(7, day)) == expected
    times = qixi.open_times(on(8, 10, 23), {}, {})
    assert times is not None
    assert (times.due, times.until) == (on(8, 10, 0), on(8, 11, 0))
    assert not is_open(qixi, on(8, 11, 0))


def test_the_heating_season_wraps_around_the_year_and_is_in_the_north() -> None:
    _, heating = CLIMATE_OCCASIONS
    for local, expected in (
        (on(11, 14), False),
        (on(11, 15), True),
        (on(1, 1), True),
        (on(3, 15), True),
        (on(3, 16), False),
    ):
        assert is_open(heating, local, {"region": "北京"}) == expected
        assert is_open(heating, local, {}, {"region": "北京"}) == expected
        assert not is_open(heating, local, {"region": "广东"}, {"region": "北京"})
    times = heating.open_times(on(12, 1), {"region": "北京"}, {})
    assert times is not None
    assert times.until == on(3, 16, 0, 2025)


@pytest.mark.parametrize("born", ["2024-01-01", date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), 1_704_067_200])
def test_a_stage_of_life_opens_and_closes_by_a_date_of_the_user(born: object) -> None:
    first, second, third = LIFE_STAGES
    user = {"child_birth_date": born}
    opened = [
        [is_open(stage, local, {}, user) for stage in (first, second, third)]
        for local in (on(3, 1), on(9, 1), on(1, 20, year=2025))
    ]
    assert opened == [[True, False, False], [False, True, False], [False, False, True]]
    assert not any(
        is_open(stage, on(3, 1), {}, attributes)
        for stage in LIFE_STAGES
        for attributes in ({}, {"child_birth_date": "soon"})
    )


def test_places_weekdays_and_hours_must_all_fit() -> None:
    occasion = Occasion("x", ("x",), places=("office",), weekdays=(5,), hours=(17,))
    assert is_open(occasion, on(5, 3, 17), {"place": "office"})
    for local, place in (
        (on(5, 3, 17), "home"),
        (on(5, 3, 18), "office"),
        (on(5, 4, 17), "office"),
        (on(5, 3, 17), None),
    ):
        assert not is_open(occasion, local, {"place": place})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"festival": "easter"}, "festival is 'easter', expected one of new_year"),
        ({"season": ("11-15",)}, "season is ['11-15'], expected two days"),
        ({"season": ("13-15", "01-01")}, "expected two days such as"),
        ({"date": "born", "from_days": 3, "to_days": 3}, "to_days is 3, expected more than from_days"),
        ({}, ""),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, Any], expected: str) -> None:
    assert expected in Occasion("x", ("x",), **changes).fault
    assert not Occasion("x", ("x",)).fault


def test_all_that_is_built_in_can_be() -> None:
    assert not any(occasion.fault for placement in PLACEMENTS.values() for occasion in placement.occasions)
