from __future__ import annotations

from pathlib import Path

import polars as pl

from tests.training.growth.planted import event, write_tables
from training.growth.groups import by_channel, by_life_cycle, by_placement
from training.growth.history import person_of, read_history


def test_planted_channels(tmp_path: Path) -> None:
    """Ten look on the web and four buy for 3, two of them again; five buy in the app for 10."""
    rows = [event(f"w{n}", "view_item", 30 + n, channel="web") for n in range(10)]
    rows += [event(f"w{n}", "purchase", 30 + n, channel="web", price=3.0) for n in range(4)]
    rows += [event(f"a{n}", "purchase", 55.9, channel="app", price=10.0) for n in range(5)]
    rows += [event(f"w{n}", "purchase", n, channel="web", price=1.0) for n in (0, 1, 8, 9)]
    rows.append(event("x", "view_item", 40))
    history = read_history(write_tables(tmp_path, rows))
    web, app = by_channel(history, history.observed.last(28))
    assert (web.name, web.people, web.buyers, web.conversion.value, web.orders, web.revenue) == (
        "web",
        10,
        4,
        0.4,
        4,
        12,
    )
    assert web.returned is not None
    assert web.returned.value == 0.5, "of four who bought before, two bought again"
    assert (app.name, app.arpu, app.order_value, app.returned) == ("app", 10.0, 10.0, None)
    rows.append(event("y", "purchase", 41, price=2.0))
    history = read_history(write_tables(tmp_path / "more", rows))
    *_, nameless = by_channel(history, history.observed.last(28))
    assert (nameless.name, nameless.people, nameless.orders) == ("", 2, 1), (
        "without a channel only where there are orders"
    )


def test_without_channels_there_are_no_groups(tmp_path: Path) -> None:
    history = read_history(write_tables(tmp_path, [event("u", "purchase", day) for day in range(9)]))
    assert by_channel(history, history.observed) == ()


def test_placements_are_those_that_events_name(tmp_path: Path) -> None:
    rows = [event(f"u{n}", "view_item", 50, placement="for_you") for n in range(4)]
    rows += [event(f"u{n}", "purchase", 50, placement="for_you", price=2.0) for n in range(2)]
    rows += [event("x", "purchase", day) for day in (0, 50)]
    history = read_history(write_tables(tmp_path, rows))
    (found,) = by_placement(history, history.observed.last(7))
    assert (found.name, found.people, found.buyers, found.orders, found.revenue) == ("for_you", 4, 2, 2, 4.0)
    assert by_placement(history, history.observed.before(history.observed.last(7)) or history.observed) == ()


def test_life_cycles_follow_the_people(tmp_path: Path) -> None:
    rows = [event(person, "purchase", day, price=2.0) for day in range(60) for person in "abc"]
    history = read_history(write_tables(tmp_path, rows))
    users = pl.DataFrame({"user_id": ["a", "b"], "life_cycle": ["active", "dormant"]})
    segments = users.with_columns(visitor_id=pl.lit(None, pl.String)).select(person_of(), "life_cycle")
    found = {each.name: each for each in by_life_cycle(history, history.observed.last(28), segments)}
    assert {name: each.orders for name, each in found.items()} == {"active": 28, "dormant": 28, "": 28}
    assert found["active"].returned is not None
    assert found["active"].returned.value == 1
