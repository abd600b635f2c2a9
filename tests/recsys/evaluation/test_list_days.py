"""Counts of lists by day, against sums by hand, in any order of arrival."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from recsys.evaluation import list_days
from recsys.evaluation.list_days import ListDays
from recsys.eventlog.store import LogEntry, StoredEntry

NOON = datetime(2024, 7, 1, 4, tzinfo=UTC).timestamp()
"""Noon of July 1 in Shanghai."""

DAY_S = 86_400


def shown(key: str, at: float, placement: str = "home", n: int = 4) -> LogEntry:
    return LogEntry(
        "impression", key, at, at, {"placement": placement, "items": [{"item_id": f"i{k}"} for k in range(n)]}
    )


def event(name: str, list_id: str | None, item_id: str = "i0", **more: Any) -> LogEntry:
    return LogEntry(
        "event", None, NOON, NOON, {"event": name, "item_id": item_id, "recommendation_id": list_id, **more}
    )


def counted(*entries: LogEntry) -> ListDays:
    days = ListDays("Asia/Shanghai")
    days.add(StoredEntry(seq, entry) for seq, entry in enumerate(entries, 1))
    return days


ENTRIES = (
    shown("a", NOON),
    shown("b", NOON + DAY_S / 2 - 1),
    shown("c", NOON + DAY_S / 2),
    shown("d", NOON, "other", 2),
    event("view_item", "a"),
    event("select_item", "a"),
    event("view_item", "a", "i1"),
    event("add_to_cart", "a"),
    event("purchase", "b", "i2", price=3.0, quantity=2, currency="CNY"),
    event("purchase", "d", "i0", price=1.5),
    event("refund", "d"),
    event("view_item", "gone"),
    event("view_item", None),
)


@pytest.mark.parametrize("reverse", [False, True])
def test_sums_by_hand_in_any_order(reverse: bool) -> None:
    days = counted(*(reversed(ENTRIES) if reverse else ENTRIES))
    found = {
        key: (c.lists, c.impressions, c.clicks, c.carts, c.purchases)
        for key, c in days.days(int(NOON + DAY_S), 2).items()
    }
    assert found == {
        (date(2024, 7, 1), "home"): (2, 8, 2, 1, 1),
        (date(2024, 7, 1), "other"): (1, 2, 0, 0, 1),
        (date(2024, 7, 2), "home"): (1, 4, 0, 0, 0),
    }
    revenue = {key[1]: dict(c.revenue) for key, c in days.days(int(NOON), 1).items()}
    assert revenue == {"home": {"CNY": 6.0}, "other": {"": 1.5}}
    assert (days.unmatched, days.seq) == (1, len(ENTRIES))


def test_only_the_asked_days_and_old_ones_are_forgotten() -> None:
    days = counted(*(shown(f"{n}", NOON + n * DAY_S) for n in range(50)))
    found = [day for day, _ in days.days(int(NOON + 49 * DAY_S), 3)]
    assert found == [date(2024, 7, 1) + timedelta(days=n) for n in (47, 48, 49)]
    assert len(days.days(int(NOON + 49 * DAY_S), 100)) == list_days.MAX_DAYS


def test_lists_of_one_entry_for_several_shoppers() -> None:
    times = [{"recommendation_id": f"r{n}", "at": NOON + n * DAY_S} for n in range(2)]
    entry = LogEntry("impression", None, NOON, NOON, {"placement": "p", "items": [{"item_id": "i0"}], "shown": times})
    days = counted(entry, event("view_item", "r1"))
    assert [(c.lists, c.clicks) for c in days.days(int(NOON + DAY_S), 2).values()] == [(1, 0), (1, 1)]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_days, "MAX_LISTS", 3)
    monkeypatch.setattr(list_days, "MAX_EARLY", 2)
    days = counted(
        *(shown(f"{n}", NOON) for n in range(9)),
        *(event("view_item", f"{n}", f"i{k}") for n in range(9) for k in range(3)),
    )
    ((_, counts),) = days.days(int(NOON), 1).items()
    assert (counts.lists, counts.clicks, days.unmatched) == (9, 9, 18)
    assert max(len(days._lists), len(days._seen)) == 3
    assert len(days._early) == 2


def parity(item_id: str, at: float) -> list[tuple[str, str]]:
    """Group items by their number, and by the hour in which the list was shown."""
    return [("parity", "odd" if int(item_id[1:]) % 2 else "even"), ("late", str(at >= NOON + DAY_S / 2))]


@pytest.mark.parametrize("reverse", [False, True])
def test_items_count_for_their_groups_at_the_time_of_their_list(reverse: bool) -> None:
    days = ListDays("Asia/Shanghai", parity)
    days.add(StoredEntry(seq, entry) for seq, entry in enumerate(reversed(ENTRIES) if reverse else ENTRIES, 1))
    found = {key: dict(counts.groups) for key, counts in days.days(int(NOON + DAY_S), 2).items()}
    even, odd, early, late = ("parity", "even"), ("parity", "odd"), ("late", "False"), ("late", "True")
    assert found[date(2024, 7, 1), "home"] == {
        ("impressions", even): 4,
        ("impressions", odd): 4,
        ("impressions", early): 8,
        ("clicks", even): 1,
        ("clicks", odd): 1,
        ("clicks", early): 2,
        ("carts", even): 1,
        ("carts", early): 1,
        ("purchases", even): 1,
        ("purchases", early): 1,
    }
    assert found[date(2024, 7, 2), "home"] == {
        ("impressions", even): 2,
        ("impressions", odd): 2,
        ("impressions", late): 4,
    }
    for counts in days.days(int(NOON + DAY_S), 2).values():
        for stage in ("impressions", "clicks", "carts", "purchases"):
            total = sum(n for (each, (kind, _)), n in counts.groups.items() if (each, kind) == (stage, "parity"))
            assert total == getattr(counts, stage)
