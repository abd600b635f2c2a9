from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from recsys.evaluation.exposure import exposures
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry


def is_tail(item: str, at: float) -> bool:
    return item.startswith("t")


def shown(key: str, at: float, items: Sequence[str], placement: str = "for_you") -> LogEntry:
    body = {
        "placement": placement,
        "model_version": "v",
        "items": [{"item_id": item} for item in items],
        "user_id": "u",
    }
    return LogEntry("impression", key, at, at, body)


def bought(key: str, at: float, item: str, price: float) -> LogEntry:
    body = {
        "event": "purchase",
        "item_id": item,
        "user_id": "u",
        "recommendation_id": key,
        "price": price,
        "basket_id": key,
    }
    return LogEntry("event", None, at, at, body)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "store.sqlite")) as opened:
        yield opened


def test_planted_exposure_and_its_cost(store: SqliteStore) -> None:
    """A hundred lists of two head items and one of the tail; of 200 and 100 impressions, 40 and 10 are bought."""
    entries = [shown(f"r{n}", 1000.0 + n, [f"h{2 * n}", f"h{2 * n + 1}", f"t{n}"]) for n in range(100)]
    entries += [bought(f"r{n}", 2000.0 + n, f"h{2 * n}", 5.0) for n in range(40)]
    entries += [bought(f"r{n}", 2000.0 + n, f"t{n}", 8.0) for n in range(10)]
    store.append(entries)
    (found,) = exposures(store, is_tail, (0.0, 1e6))
    assert (found.placement, found.impressions, found.purchases) == ("for_you", 300, 50)
    assert (found.shown.value, found.sold.value, found.revenue) == (1 / 3, 0.2, 280.0)
    assert found.revenue_share == pytest.approx(80 / 280)
    assert found.cost is not None
    assert found.cost.value == pytest.approx(100 * (40 / 200 - 10 / 100))
    half = 1.959964 * 100 * math.sqrt(0.2 * 0.8 / 200 + 0.1 * 0.9 / 100)
    assert found.cost.high - found.cost.value == pytest.approx(half)
    assert found.revenue_cost is not None
    assert found.revenue_cost.value == pytest.approx(100 * (200 / 200 - 80 / 100))
    assert found.compared == 1


def test_items_are_compared_at_like_positions(store: SqliteStore) -> None:
    """The tail is shown last, where nothing sells; at these positions other items sell nothing either."""
    lists = [[*(f"h{n}-{k}" for k in range(4)), f"t{n}"] for n in range(50)]
    store.append([shown(f"r{n}", 1000.0, items) for n, items in enumerate(lists)])
    store.append([bought(f"r{n}", 2000.0, f"h{n}-0", 5.0) for n in range(50)])
    (found,) = exposures(store, is_tail, (0.0, 1e6))
    assert found.cost is not None
    assert found.cost.value == 0


def test_a_list_of_the_tail_alone_has_nothing_to_compare_with(store: SqliteStore) -> None:
    store.append([shown("r", 1000.0, ["t1", "t2"], "long_tail"), shown("s", 1000.0, ["h1"], "popular")])
    tail, popular = exposures(store, is_tail, (0.0, 1e6))
    assert (tail.placement, tail.shown.value, tail.cost, tail.compared) == ("long_tail", 1.0, None, 0.0)
    assert (popular.shown.value, popular.cost, popular.revenue_share, popular.revenue_cost) == (0.0, None, None, None)


def test_lists_outside_the_window_are_left_out(store: SqliteStore) -> None:
    store.append([shown("r", 1000.0, ["t1"]), shown("s", 5000.0, ["h1"]), bought("r", 1001.0, "t1", 1.0)])
    (found,) = exposures(store, is_tail, (2000.0, 5001.0))
    assert (found.impressions, found.purchases, found.shown.value) == (1, 0, 0.0)
    assert exposures(store, is_tail, (6000.0, 7000.0)) == ()


def test_a_purchase_after_the_window_of_attribution_does_not_count(store: SqliteStore) -> None:
    store.append([shown("r", 1000.0, ["t1", "h1"]), bought("r", 1000.0 + 8 * 86_400, "t1", 1.0)])
    assert exposures(store, is_tail, (0.0, 1e6))[0].purchases == 0
    assert exposures(store, is_tail, (0.0, 1e6), attribution_days=9)[0].purchases == 1


def test_anonymous_lists_count_as_often_as_they_were_shown(store: SqliteStore) -> None:
    times = [{"recommendation_id": f"r{n}", "at": 1000.0 + n} for n in range(7)]
    body = {
        "placement": "popular",
        "model_version": "v",
        "items": [{"item_id": "t1"}, {"item_id": "h1"}],
        "shown": times,
    }
    store.append([LogEntry("impression", None, 1000.0, 1000.0, body)])
    (found,) = exposures(store, is_tail, (0.0, 1e6))
    assert (found.impressions, found.shown.value) == (14, 0.5)
