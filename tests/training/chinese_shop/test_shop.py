"""The shop as files: the same for a seed, accepted by ingest without a reject, and its sets are found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.fitting.engine import Engine
from training.chinese_shop.catalog import N_OUTFITS, N_PHONES, build_goods
from training.chinese_shop.shop import ChineseShopConfig, build_chinese_shop, chinese_tables

SMALL = ChineseShopConfig(60, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cn") / "cn"
    assert build_chinese_shop(out, SMALL) is True
    return out


def test_a_seed_gives_the_same_tables_and_another_seed_others() -> None:
    one, same, other = (chinese_tables(each) for each in (SMALL, SMALL, replace(SMALL, seed=4)))
    for name, frame in one.items():
        assert frame.equals(same[name]), name
    assert not one["events"].equals(other["events"])
    assert one["items"].drop("price").equals(other["items"].drop("price")), "the goods are the same"


def test_ingest_accepts_every_row(folder: Path) -> None:
    tables = chinese_tables(SMALL)
    for name, frame in tables.items():
        n_clicks = tables["messages"].filter(event="message_clicked").height if name == "events" else 0
        assert pl.read_parquet(folder / f"{name}.parquet").height == frame.height + n_clicks, name
    assert pl.read_parquet(folder / "rejects.parquet").is_empty()
    users = pl.read_parquet(folder / "users.parquet")
    assert {"child_birth_date", "consent_push", "consent_wechat"} <= set(users.columns)


def test_a_second_build_is_skipped_and_another_size_is_not(folder: Path) -> None:
    assert build_chinese_shop(folder, SMALL) is False
    assert json.loads((folder / "demo.json").read_text())["n_users"] == 60
    assert build_chinese_shop(folder, replace(SMALL, n_users=61)) is True


@pytest.mark.parametrize(("n_users", "seed", "message"), [(9, 0, "--users is 9"), (60, -1, "--seed is -1")])
def test_sizes_are_bounded(n_users: int, seed: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ChineseShopConfig(n_users, seed)


def test_events_tell_how_a_purchase_came_about(chinese_tables: dict[str, pl.DataFrame]) -> None:
    events = chinese_tables["events"]
    assert set(events["event"]) == {"view_item", "add_to_wishlist", "add_to_cart", "purchase"}
    bought = events.filter(event="purchase")
    assert bought["basket_id"].null_count() == 0
    assert (
        bought.group_by("basket_id")
        .agg(pl.col("user_id", "channel", "timestamp").n_unique() == 1)
        .drop("basket_id")
        .select(pl.all_horizontal(pl.all().all()))
        .item()
    )
    assert events.filter(event="add_to_wishlist")["basket_id"].null_count() > 0
    in_store = events.filter(channel="门店")
    assert in_store["store"].null_count() == 0
    listed = chinese_tables["items"].select("item_id", "list_price")
    prices = events.join(listed, on="item_id")
    assert prices.select((pl.col("price") <= pl.col("list_price")).all()).item()
    assert 0.05 < prices.select((pl.col("price") < pl.col("list_price")).mean()).item() < 0.5


def test_some_carts_are_lost(chinese_tables: dict[str, pl.DataFrame]) -> None:
    events = chinese_tables["events"]
    put = events.filter(event="add_to_cart")
    paid = events.filter(event="purchase")["session_id"].unique()
    lost = put.filter(~pl.col("session_id").is_in(paid.implode()))
    assert 0.1 < lost.height / put.height < 0.4
    assert lost["basket_id"].null_count() == lost.height


def test_planted_sets_are_found_and_household_goods_are_in_none(chinese_engine: Engine) -> None:
    goods, sets = build_goods(), chinese_engine.item_sets
    ids = chinese_engine.items.ids
    found = {frozenset(ids[row] for row in items if row >= 0) for items in sets.item_idx.tolist()}
    by_group = {name: [goods.ids[row] for row in rows] for name, rows in goods.of_group.items()}
    outfits = [frozenset(by_group[name][n] for name in ("top", "bottom", "accessory")) for n in range(N_OUTFITS)]
    kits = [frozenset(by_group[name][n] for name in ("phone", "case", "film")) for n in range(N_PHONES)]
    assert set(outfits) <= found
    assert len(set(kits) & found) >= N_PHONES - 1, "of the rarest phone there may be too few"
    home = set(by_group["home"])
    assert not any(len(items & home) for items in found)
