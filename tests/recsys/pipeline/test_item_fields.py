from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from msgspec import structs

from recsys.core.request import Request
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.pipeline.item_fields import item_fields
from recsys.pipeline.recommend import recommend

NAMES = ("title", "price", "tags", "created_at", "no_such_column")


def test_rows_are_those_of_the_table(shop_engine: Engine) -> None:
    table = shop_engine.items_table
    rows = np.array([3, 0, 3, len(table) - 1], np.int32)
    expected = [{**table.row(row, named=True), "no_such_column": None} for row in rows.tolist()]
    assert item_fields(table, rows, NAMES) == [{name: row[name] for name in NAMES} for row in expected]


def test_there_may_be_no_rows_and_no_known_names(shop_engine: Engine) -> None:
    table = shop_engine.items_table
    assert item_fields(table, np.empty(0, np.int32), ("title",)) == []
    assert item_fields(table, np.array([0, 1], np.int32), ("a", "b")) == [{"a": None, "b": None}] * 2


@pytest.mark.parametrize("placement", ["for_you", "popular", "complementary"])
def test_a_list_has_the_fields_that_its_request_names(shop_engine: Engine, placement: str) -> None:
    plain = Request(placement, shop_engine.dataset_info.end, 6, "u010", item_ids=("phone-1",))
    found = recommend(shop_engine, replace(plain, fields=("title", "brand")))
    titles = dict(shop_engine.items_table.select("item_id", "title").iter_rows())
    assert [item.fields["title"] for item in found.items] == [titles[item.item_id] for item in found.items]
    assert all(list(item.fields) == ["title", "brand"] for item in found.items)
    bare = recommend(shop_engine, plain)
    assert [
        structs.replace(item, fields=other.fields) for item, other in zip(bare.items, found.items, strict=True)
    ] == list(found.items)


def test_live_changes_are_returned_at_once(shop_engine: Engine) -> None:
    now = shop_engine.dataset_info.end
    live = LiveView(shop_engine)
    body = {"title": "<b>新</b>", "attributes": {"image_link": "/x.png"}}
    live.apply([StoredEntry(1, LogEntry("item_patch", "phone-1", float(now), float(now), body))])
    row = shop_engine.items.rows(["phone-1"]).astype(np.int32)
    (found,) = item_fields(live.engine.items_table, row, ("title", "image_link", "price"))
    price = shop_engine.items_table.filter(pl.col("item_id") == "phone-1")["price"][0]
    assert found == {"title": "<b>新</b>", "image_link": "/x.png", "price": price}
