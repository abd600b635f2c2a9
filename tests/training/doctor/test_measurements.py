from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from recsys.core.schema import TABLES
from training.doctor.measurements import (
    BOT_EVENTS_PER_DAY,
    MIN_IDS,
    BotStats,
    ClockSkew,
    DayStats,
    count_event_types,
    measure_bots,
    measure_catalog,
    measure_clock,
    measure_days,
    share,
    user_events,
)

START = datetime(2024, 5, 1, 8, tzinfo=UTC)


def events(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([{"item_id": "i", "event": "view_item"} | row for row in rows], schema=TABLES["events"])


def test_no_rows_measure_nothing() -> None:
    nothing = pl.DataFrame(schema=TABLES["events"])
    assert measure_days(nothing, "UTC") == DayStats()
    assert measure_clock(nothing, START) == ClockSkew()
    assert measure_bots(user_events(nothing), "UTC") == BotStats()
    assert count_event_types(nothing) == {}
    assert share(0, 0) == 0.0


def test_days_are_local_and_gaps_are_the_longest_first() -> None:
    moments = [START, START + timedelta(days=2), START + timedelta(days=7), START + timedelta(days=7, minutes=1)]
    days = measure_days(events(*({"timestamp": moment} for moment in moments)), "Asia/Shanghai")
    assert (days.first, days.last, days.active, days.silent) == (date(2024, 5, 1), date(2024, 5, 8), 3, 5)
    assert (days.busiest, days.most, days.median) == (date(2024, 5, 8), 2, 1.0)
    assert days.gaps == ((date(2024, 5, 4), date(2024, 5, 7)), (date(2024, 5, 2), date(2024, 5, 2)))
    assert days.finer


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai"])
def test_midnights_are_dates_without_times(zone: str) -> None:
    days = pl.date_range(date(2024, 5, 1), date(2024, 5, 9), eager=True)
    local = days.cast(pl.Datetime("us")).dt.replace_time_zone(zone)
    rows = ({"timestamp": moment} for moment in local.dt.convert_time_zone("UTC"))
    assert not measure_days(events(*rows), zone).finer


def test_the_clock_counts_delays_early_and_future_events() -> None:
    rows = [
        {"timestamp": START, "received_at": START + timedelta(seconds=4)},
        {"timestamp": START, "received_at": START - timedelta(seconds=2)},
        {"timestamp": START + timedelta(days=1)},
    ]
    clock = measure_clock(events(*rows), START + timedelta(hours=1))
    assert (clock.known, clock.median_s, clock.early, clock.future) == (2, 1.0, 1, 1)
    assert measure_clock(events(*rows), None).future == 0


def test_orphans_are_counted_only_against_tables_that_exist() -> None:
    tables = {name: pl.DataFrame(schema=columns) for name, columns in TABLES.items()}
    tables["events"] = events(
        {"timestamp": START, "user_id": "u", "item_id": "a", "event": "purchase"},
        {"timestamp": START, "user_id": "v", "item_id": "gone"},
    )
    assert measure_catalog(tables, "purchase").orphan_items == 0
    tables["items"] = pl.DataFrame({"item_id": ["a", "b"], "title": ["tea", None]}, schema_overrides=TABLES["items"])
    tables["items"] = pl.concat([pl.DataFrame(schema=TABLES["items"]), tables["items"]], how="diagonal")
    found = measure_catalog(tables, "purchase")
    assert (found.orphan_items, found.orphan_events, found.orphan_users) == (1, 1, 0)
    assert (found.never_bought, found.without_content) == (1, 0.5)


def test_an_id_with_far_more_events_is_suspected_among_enough_ids() -> None:
    people = [{"timestamp": START, "user_id": f"u{number}"} for number in range(MIN_IDS)]
    robot = [{"timestamp": START, "visitor_id": "robot"}] * BOT_EVENTS_PER_DAY
    found = measure_bots(user_events(events(*people, *robot)), "UTC")
    assert found == BotStats(1, BOT_EVENTS_PER_DAY, (("robot", float(BOT_EVENTS_PER_DAY)),))
    assert measure_bots(user_events(events(*people, *robot[1:])), "UTC") == BotStats()
    assert measure_bots(user_events(events(*people[2:], *robot)), "UTC") == BotStats()
