from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import ConfigError, DataError
from recsys.core.schema import DATASET_SCHEMA_VERSION, EVENT_NAMES, EVENTS, ITEMS, USERS, DatasetInfo
from recsys.data.dataset import Dataset, build_dataset, load_dataset
from recsys.data.event_columns import NO_HOUR
from tests.recsys.small_shops import CATALOG, events
from tests.shop import (
    BROWSERS,
    DAY_S,
    NEVER_BOUGHT,
    NEW_YORKER,
    OPTED_OUT,
    ORPHANS,
    SILENT_USER,
    TIMEZONE,
    VISITOR,
    ShopTables,
    at,
    dataset_of,
    moment,
    table,
)


def _bought(user_id: str | None, item_id: str, seconds: int, **extra: Any) -> dict[str, Any]:
    return {"user_id": user_id, "item_id": item_id, "timestamp": at(seconds), **extra}


def distinct_lines(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows by time, each item of an order once; see `recsys.data.orders`."""
    seen: set[Any] = set()
    lines = []
    for number, row in enumerate(sorted(rows, key=lambda row: row["timestamp"])):
        key = (row["basket_id"], row["user_id"], row["item_id"]) if row["basket_id"] else number
        if key not in seen:
            lines.append(row)
        seen.add(key)
    return lines


def test_events_are_columns_in_order_of_time() -> None:
    rows = [
        _bought("乙", "b", moment(1, 9)),
        _bought("甲", "a", moment(0, 23), value=4.0, event="view_item"),
    ]
    dataset = dataset_of(rows)
    assert dataset.users.ids == ("乙", "甲")
    assert dataset.items.ids == ("a", "b")
    assert dataset.events.user_idx.tolist() == [1, 0]
    assert dataset.events.item_idx.tolist() == [0, 1]
    assert dataset.events.timestamp.tolist() == [moment(0, 23), moment(1, 9)]
    assert dataset.events.hour.tolist() == [23, 9]
    assert [EVENT_NAMES[kind] for kind in dataset.events.event_type] == ["view_item", "purchase"]
    assert dataset.events.rating_weight.tolist() == [1.0, 1.0]
    assert (dataset.end, dataset.has_hours) == (moment(1, 9), True)


def test_ratings_weigh_relative_to_their_mean_and_no_rating_weighs_one() -> None:
    rows = [_bought("甲", "a", moment(n), value=value) for n, value in enumerate((1.0, 3.0, None, 8.0))]
    assert dataset_of(rows).events.rating_weight.tolist() == [0.25, 0.75, 1.0, 2.0]


@given(events())
def test_every_event_is_kept_with_its_own_ids_and_orders_once(rows: list[dict[str, Any]]) -> None:
    dataset = dataset_of(rows, CATALOG)
    found = sorted(
        (dataset.users.ids[user] if user >= 0 else "", dataset.items.ids[item], int(seconds))
        for user, item, seconds in zip(
            dataset.events.user_idx, dataset.events.item_idx, dataset.events.timestamp, strict=True
        )
    )
    expected = [
        (row["user_id"] or "", row["item_id"], int(row["timestamp"].timestamp())) for row in distinct_lines(rows)
    ]
    assert found == sorted(expected), "an order has one line per item"


@given(events())
def test_a_basket_is_the_named_one_else_the_local_day_of_the_user(rows: list[dict[str, Any]]) -> None:
    """The reference groups the rows by name or day; the numbers themselves mean nothing."""
    dataset = dataset_of(rows, CATALOG)
    ordered = distinct_lines(rows)
    names = [
        row["basket_id"] or (row["user_id"], (int(row["timestamp"].timestamp()) - moment(0)) // DAY_S)
        for row in ordered
    ]
    pairs = set(zip(names, dataset.events.basket_idx.tolist(), strict=True))
    assert len(pairs) == len(set(names)) == len(set(dataset.events.basket_idx.tolist()))


def test_a_basket_is_the_basket_else_the_session_else_the_day() -> None:
    same_day = moment(3, 1)
    rows = [
        _bought("u", "a", same_day, basket_id="1"),
        _bought("v", "b", same_day + 60, basket_id="1", session_id="s"),
        _bought("u", "a", same_day + 120, session_id="1"),
        _bought("u", "a", same_day + 180),
        _bought("u", "b", moment(3, 23)),
        _bought("u", "c", moment(4, 0)),
        _bought(None, "c", moment(4, 1), visitor_id="w"),
    ]
    basket = dataset_of(rows).events.basket_idx.tolist()
    assert basket[0] == basket[1]
    assert basket[3] == basket[4]
    assert len({basket[0], basket[2], basket[3], basket[5], basket[6]}) == 5


def test_the_local_hour_is_in_the_zone_of_the_user() -> None:
    users = [{"user_id": "纽约", "timezone": "America/New_York"}, {"user_id": "上海"}]
    rows = [_bought(user_id, "a", moment(0, 8)) for user_id in ("纽约", "上海", "stranger")]
    assert dataset_of(rows, users=users).events.hour.tolist() == [19, 8, 8]


def test_a_duplicate_user_is_one_user() -> None:
    users = [{"user_id": "u", "timezone": zone} for zone in ("America/New_York", "Asia/Tokyo")]
    dataset = dataset_of([_bought("u", "a", moment(0, 8))], users=users)
    assert dataset.events.hour.tolist() == [9]
    assert dataset.profiles["timezone"].to_list() == ["Asia/Tokyo"]


def test_dates_without_times_have_no_hour() -> None:
    rows = [_bought("u", "a", moment(day)) for day in (1, 2)]
    dataset = dataset_of(rows)
    assert dataset.events.hour.tolist() == [NO_HOUR, NO_HOUR]
    assert not dataset.has_hours


def test_dates_without_times_have_no_hour_in_any_zone() -> None:
    users = [{"user_id": "纽约", "timezone": "America/New_York"}]
    dataset = dataset_of([_bought("纽约", "a", moment(1)), _bought("u", "a", moment(2))], users=users)
    assert not dataset.has_hours


def test_success_is_a_purchase_or_the_strongest_signal_there_is() -> None:
    viewed = [_bought("u", "a", moment(day), event="view_item") for day in range(3)]
    carted = [_bought("u", "b", moment(9), event="add_to_cart")]
    assert EVENT_NAMES[dataset_of(viewed).target_event] == "view_item"
    assert EVENT_NAMES[dataset_of(viewed + carted).target_event] == "add_to_cart"
    dataset = dataset_of([*viewed, *carted, _bought("u", "c", moment(10))])
    assert EVENT_NAMES[dataset.target_event] == "purchase"
    assert dataset.target_events.item_idx.tolist() == [2]
    assert EVENT_NAMES[dataset_of([], CATALOG).target_event] == "purchase"


def test_the_last_of_two_rows_of_an_item_counts() -> None:
    items = [{"item_id": "a", "title": "old"}, {"item_id": "b"}, {"item_id": "a", "title": "new"}]
    assert dataset_of([], items).catalog["title"].to_list() == ["new", None]


def test_the_dataset_has_all_users_and_items(shop_dataset: Dataset, shop_tables: ShopTables) -> None:
    items, users = shop_dataset.items, shop_dataset.users
    assert {*ORPHANS, *NEVER_BOUGHT} <= set(items.ids)
    assert {VISITOR, SILENT_USER, NEW_YORKER} <= set(users.ids)
    assert shop_dataset.catalog["item_id"].to_list() == list(items.ids)
    assert shop_dataset.profiles["user_id"].to_list() == list(users.ids)
    assert shop_dataset.catalog["color"].null_count() < len(items)
    assert shop_dataset.catalog.row(items.row(ORPHANS[1]), named=True)["title"] is None
    assert len(shop_dataset.events) == len(shop_tables.events.filter(pl.col("user_id").ne_missing(OPTED_OUT)))
    assert any((shop_dataset.events.user_idx == users.row(user_id)).any() for user_id in BROWSERS)


def test_nothing_is_kept_of_who_opted_out(shop_dataset: Dataset) -> None:
    row = shop_dataset.users.row(OPTED_OUT)
    assert row >= 0
    assert not (shop_dataset.events.user_idx == row).any()


@given(st.integers(-1, 65))
def test_a_cut_keeps_what_came_before_and_nothing_else(day: int) -> None:
    rows = [_bought(f"u{n % 3}", f"i{n % 4}", moment(n, 12)) for n in range(60)]
    dataset = dataset_of(rows)
    cut = dataset.until(moment(day, 12))
    assert len(cut.events) == min(max(day, 0), 60)
    assert (cut.events.timestamp < moment(day, 12)).all()
    assert (cut.users, cut.items) == (dataset.users, dataset.items)
    assert len(dataset.events) == 60
    assert len(cut.target_events) == len(cut.events)


def test_target_events_of_a_cut_are_not_those_of_the_whole(shop_dataset: Dataset) -> None:
    assert len(shop_dataset.target_events) > len(shop_dataset.until(moment(30)).target_events) > 0


def test_building_changes_no_table(shop_tables: ShopTables) -> None:
    before = [frame.clone() for frame in (shop_tables.events, shop_tables.items, shop_tables.users)]
    shop_tables.dataset()
    after = (shop_tables.events, shop_tables.items, shop_tables.users)
    assert all(old.equals(new) for old, new in zip(before, after, strict=True))


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="Mars"):
        dataset_of([_bought("u", "a", moment(0))], timezone="Mars/Olympus")


@pytest.fixture
def folder(tmp_path: Path, shop_tables: ShopTables) -> Path:
    shop_tables.events.write_parquet(tmp_path / "events.parquet")
    shop_tables.items.write_parquet(tmp_path / "items.parquet")
    shop_tables.users.write_parquet(tmp_path / "users.parquet")
    _write_info(tmp_path, DatasetInfo(DATASET_SCHEMA_VERSION, TIMEZONE, "shop", {}))
    return tmp_path


def _write_info(folder: Path, info: DatasetInfo) -> None:
    (folder / "dataset.json").write_text(json.dumps(asdict(info)), encoding="utf-8")


def test_a_folder_of_tables_is_the_same_shop(folder: Path, shop_dataset: Dataset) -> None:
    loaded = load_dataset(folder)
    assert (loaded.users, loaded.items, loaded.timezone) == (shop_dataset.users, shop_dataset.items, TIMEZONE)
    assert loaded.fingerprint == "shop"
    for name, column in vars(shop_dataset.events).items():
        np.testing.assert_array_equal(getattr(loaded.events, name), column)
    assert loaded.catalog.equals(shop_dataset.catalog)


def test_the_name_of_a_folder_is_no_pattern(folder: Path, shop_dataset: Dataset) -> None:
    loaded = load_dataset(folder.rename(folder.with_name("shop [1] {a} *")))
    assert len(loaded.events) == len(shop_dataset.events)


@pytest.mark.parametrize("missing", ["events", "items", "users"])
def test_a_folder_may_lack_a_table(folder: Path, missing: str) -> None:
    (folder / f"{missing}.parquet").unlink()
    dataset = load_dataset(folder)
    assert len(dataset.items) > 0
    assert (len(dataset.events) > 0) == (missing != "events")


def test_a_table_may_have_its_needed_columns_only(folder: Path, shop_tables: ShopTables) -> None:
    slim = shop_tables.events.select("item_id", "event", "timestamp", "user_id").drop_nulls()
    slim.write_parquet(folder / "events.parquet")
    assert len(load_dataset(folder).events) > 0


def test_an_unreadable_folder_is_refused_with_the_reason(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "events.parquet").read_bytes()
    (folder / "events.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"events\.parquet cannot be read"):
        load_dataset(folder)
    (folder / "events.parquet").unlink()
    (folder / "items.parquet").unlink()
    with pytest.raises(DataError, match="neither events nor items"):
        load_dataset(folder)
    _write_info(folder, DatasetInfo(99, TIMEZONE, "", {}))
    with pytest.raises(DataError, match="schema version 99"):
        load_dataset(folder)
    (folder / "dataset.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"dataset\.json cannot be read"):
        load_dataset(folder)
    (folder / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"dataset\.json is missing"):
        load_dataset(folder)


def test_an_empty_shop_is_a_dataset() -> None:
    empty = build_dataset(table((), EVENTS), table((), ITEMS), table((), USERS), timezone=TIMEZONE)
    assert (len(empty.users), len(empty.items), len(empty.events), empty.end) == (0, 0, 0, 0)
    assert not empty.has_hours
    assert replace(empty, target_event=0).target_events.item_idx.tolist() == []
