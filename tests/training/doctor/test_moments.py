from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.core.schema import EVENTS, ITEMS, OFFERS, USERS
from tests.shop import at, table
from training.doctor.doctor import run_doctor
from training.doctor.moments import grade_moments
from training.ingest.dataset_folder import write_folder


def grades(
    events: list[dict[str, Any]] | None = None,
    items: list[dict[str, Any]] | None = None,
    offers: list[dict[str, Any]] | None = None,
    repeat_pairs: int = 0,
    n_days: int = 30,
    **columns: Any,
) -> dict[str, str]:
    users = table([{"user_id": "u"}], USERS).with_columns(**columns)
    tables = {
        "events": table(events or [], EVENTS),
        "items": table(items or [], ITEMS),
        "offers": table(offers or [], OFFERS),
        "users": users,
    }
    found = grade_moments(tables, repeat_pairs, n_days)
    assert all(feed.why.endswith(".") for feed in found)
    return {feed.lists[0]: feed.grade for feed in found}


def test_an_empty_shop_carries_nothing_but_what_the_live_log_brings() -> None:
    assert {name for name, grade in grades().items() if grade != "no"} == {"back_in_stock"}


@pytest.mark.parametrize(("n_priced", "grade"), [(0, "no"), (1, "thin"), (2, "yes")])
def test_prices_of_events(n_priced: int, grade: str) -> None:
    events = [
        {"item_id": "i", "event": "purchase", "timestamp": at(n), "price": 3.0 if n < n_priced else None}
        for n in range(4)
    ]
    assert grades(events)["price_drop"] == grade
    assert grades(events, offers=[{"item_id": "i", "price": 2.0}])["price_drop"] == ("thin" if not n_priced else grade)


def test_what_each_list_needs() -> None:
    found = grades(
        [{"item_id": "i", "event": "add_to_cart", "timestamp": at(1)}],
        [{"item_id": "i", "created_at": at(1), "tags": ["1段", "除湿"], "category": ["零食"]}],
        [{"item_id": "i", "available": False}],
        repeat_pairs=500,
        n_days=400,
        child_birth_date=pl.lit("2024-01-01"),
    )
    assert {name for name, grade in found.items() if grade != "yes"} == {"price_drop", "nearby"}
    assert grades(repeat_pairs=3)["replenishment_due"] == "thin"


def test_the_doctor_reads_the_columns_of_the_shops_own(tmp_path: Path) -> None:
    users = table([{"user_id": "u"}], USERS).with_columns(child_birth_date=pl.lit("2024-01-01"))
    items = table([{"item_id": "i", "tags": ["1段"]}], ITEMS)
    events = table([{"user_id": "u", "item_id": "i", "event": "purchase", "timestamp": at(1)}], EVENTS)
    write_folder({"events": events, "items": items, "users": users}, {}, "UTC", tmp_path / "shop")
    found = {feed.lists[0]: feed.grade for feed in run_doctor(tmp_path / "shop").moments}
    assert found["life_stage"] == "yes"
