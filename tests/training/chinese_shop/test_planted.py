from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from training.chinese_shop import planted
from training.chinese_shop.planted import END, PLANTED, START, TIMEZONE


def test_the_shop_is_open_for_whole_weeks_of_its_own_zone() -> None:
    first, last = (datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(TIMEZONE)) for second in (START, END))
    assert first.isoformat() == "2025-05-05T00:00:00+08:00"
    assert last.isoformat() == "2026-06-29T00:00:00+08:00"


def test_every_festival_and_season_is_in_the_span() -> None:
    moments = (planted.QIXI, planted.MID_AUTUMN, planted.DOUBLE_11, *planted.HEATING, *planted.DAMP)
    assert all(START < moment < END for moment in moments)


def test_sizes_are_probabilities_or_days() -> None:
    for name, size in asdict(PLANTED).items():
        assert 0 < size < (1 if "days" not in name else 40)
    assert PLANTED.kit + PLANTED.case_later < 1
