from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import ConfigError, DataError
from tests.training.growth.planted import event, write_tables
from training.growth.history import read_history


def test_orders_are_kept_lines_with_their_amount(tmp_path: Path) -> None:
    bought = {"price": 10.0, "currency": "CNY", "basket_id": "b", "quantity": 3.0}
    rows = [
        event("u", "purchase", 1, **bought),
        event("u", "refund", 2, basket_id="b", quantity=1.0),
        event("v", "purchase", 1, "j", price=5.0, currency="USD", basket_id="c"),
        event("w", "purchase", 1, "j", basket_id="d", currency="CNY"),
        event("w", "view_item", 3),
    ]
    found = read_history(write_tables(tmp_path, rows))
    assert found.currency == "CNY"
    assert found.n_other_currency == 1
    assert found.lines.sort("item_id", "amount")["amount"].to_list() == [20.0, None, None]
    assert found.counts == {"purchase": 3, "refund": 1, "view_item": 1}
    assert found.lines["order"].n_unique() == 3
    assert len(found.active_days) == 3


def test_receipt_numbers_may_restart_by_store_and_person(tmp_path: Path) -> None:
    """Each of four numbers is used by three stores, for another person each day."""
    tills = ({"store": "s0"}, {"store": "s1"}, {"channel": "web"})
    rows = [
        event(f"u{number}-{till}-{day}", "purchase", day, f"i{number}", basket_id=f"b{number}", **columns)
        for number in range(4)
        for day in range(5)
        for till, columns in enumerate(tills)
    ]
    found = read_history(write_tables(tmp_path, rows))
    assert len(found.lines) == found.lines["order"].n_unique() == 60
    assert found.lines["channel"].drop_nulls().unique().to_list() == ["web"]


def test_a_day_is_the_shops(tmp_path: Path) -> None:
    late = [event("u", "purchase", 0.9), event("u", "purchase", 9.0)]
    assert read_history(write_tables(tmp_path / "a", late)).lines["day"][0] == date(2026, 3, 2)
    assert read_history(write_tables(tmp_path / "b", late, timezone="Asia/Shanghai")).lines["day"][0] == date(
        2026, 3, 3
    )


@pytest.mark.parametrize(("hour", "is_complete"), [(3, False), (23, True)])
def test_a_day_that_has_not_ended_is_left_out(tmp_path: Path, hour: int, is_complete: bool) -> None:
    rows = [event(f"u{n}", "purchase", day + n / 24) for day in range(20) for n in range(24)]
    rows += [event(f"u{n}", "purchase", 20 + n / 24) for n in range(hour + 1)]
    found = read_history(write_tables(tmp_path, rows))
    assert found.observed.end == (date(2026, 3, 23) if is_complete else date(2026, 3, 22))
    assert found.lines["day"].max() < found.observed.end
    named = read_history(tmp_path, date(2026, 3, 10))
    assert named.observed.end == date(2026, 3, 11)
    assert named.lines["day"].max() == date(2026, 3, 10)
    with pytest.raises(ConfigError, match="--until is 2020-01-01, expected a day from 2026-03-02 on"):
        read_history(tmp_path, date(2020, 1, 1))


def test_dates_without_hours_are_complete_days(tmp_path: Path) -> None:
    rows = [event("u", "purchase", day) for day in (0, 7, 20)]
    assert read_history(write_tables(tmp_path, rows)).observed.n_days == 21


def test_who_opted_out_is_in_no_figure(tmp_path: Path) -> None:
    rows = [event("u", "purchase", 1), event("v", "purchase", 1)]
    users = [{"user_id": "v", "personalization": False}, {"user_id": "u"}]
    assert len(read_history(write_tables(tmp_path, rows, users=users)).lines) == 1


def test_a_visitor_or_a_session_stands_for_a_user(tmp_path: Path) -> None:
    visits = [event("", "view_item", day, user_id=None, visitor_id=f"v{day % 2}") for day in range(4)]
    found = read_history(write_tables(tmp_path / "visitors", visits))
    assert (found.active_days["person"].n_unique(), found.activity, found.is_recognized) == (2, "view_item", True)
    visits = [event("", "view_item", day, user_id=None, session_id=f"s{day}") for day in range(4)]
    found = read_history(write_tables(tmp_path / "sessions", visits))
    assert (found.active_days["person"].n_unique(), found.is_recognized) == (4, False)


def test_a_till_without_people_has_revenue_and_nobody(tmp_path: Path) -> None:
    rows = [event("", "purchase", day, user_id=None, basket_id=f"b{day}", price=2.0) for day in range(4)]
    found = read_history(write_tables(tmp_path, rows))
    assert found.lines["amount"].sum() == 8
    assert found.active_days.is_empty()
    assert found.has_orders
    assert found.has_prices


def test_an_id_of_a_product_counts_for_a_variant(tmp_path: Path) -> None:
    rows = [event("u", "purchase", 1, "shirt-red"), event("u", "purchase", 2, "shirt")]
    items = [{"item_id": "shirt-red", "item_group_id": "shirt"}]
    assert read_history(write_tables(tmp_path, rows, items)).lines["item_id"].unique().to_list() == ["shirt-red"]


def test_without_times_there_is_no_report(tmp_path: Path) -> None:
    write_tables(tmp_path, [event("u", "purchase", 1)])
    path = tmp_path / "events.parquet"
    pl.read_parquet(path).with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("timestamp")).write_parquet(path)
    with pytest.raises(DataError, match="give the events a column `timestamp`"):
        read_history(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"run `recsys ingest --events FILE`"):
        read_history(tmp_path)


@pytest.mark.parametrize("column", ["price", "quantity"])
@pytest.mark.parametrize("odd", [float("inf"), float("nan"), 1e300, -1.0])
def test_an_amount_that_is_none_is_in_no_revenue(tmp_path: Path, column: str, odd: float) -> None:
    rows = [
        event(f"u{n}", "purchase", n, **({"price": 2.0, "quantity": 1.0} | ({column: odd} if n == 3 else {})))
        for n in range(9)
    ]
    found = read_history(write_tables(tmp_path, rows))
    assert found.lines["amount"].drop_nulls().to_list() == [2.0] * 8


def test_where_all_opted_out_this_is_said(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, [event("u", "purchase", day) for day in range(3)])
    users = pl.DataFrame([{"user_id": "u", "personalization": False}])
    users.write_parquet(folder / "users.parquet")
    with pytest.raises(DataError, match=r"are of users with personalization false \(1\)"):
        read_history(folder)
