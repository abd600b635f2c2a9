from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from recsys.core.errors import ConfigError, DataError
from tests.training.exports.test_feed_xml import RSS
from training.exports.formats import FORMATS, as_items, format_of
from training.ingest.ingest import IngestConfig
from training.ingest.raw_table import numbered
from training.ingest.reports import IngestReport

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
EXAMPLE: Final = re.compile(
    r"^### (\S+)[^\n]*\n.*?```(csv|xml)\n(.*?)```\n.*?```json\n(.*?)```\n", re.MULTILINE | re.DOTALL
)
TODAY = date(2024, 6, 15)
Run = Callable[..., tuple[IngestReport, Path]]

EXAMPLES = {name: (kind, text, json.loads(items)) for name, kind, text, items in EXAMPLE.findall(PAGE)}


def test_every_format_has_an_example() -> None:
    assert set(EXAMPLES) == {"Shopify", "WooCommerce", "Magento", "Google"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_page_are_read_as_documented(run: Run, tmp_path: Path, name: str) -> None:
    kind, text, expected = EXAMPLES[name]
    path = tmp_path / f"products.{kind}"
    path.write_text(text, encoding="utf-8")
    report, out = run(IngestConfig(), items=path)
    assert report.tables["items"].rejected == 0
    assert "recognized by its columns" in report.tables["items"].notes[0]
    items = pl.read_parquet(out / "items.parquet").to_dicts()
    found = [
        {column: value for column, value in item.items() if value is not None and column != "updated_at"}
        for item in items
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (["item_id", "handle", "title", "variant price", "variant sku"], "plain"),
        (["Handle", "Title", "Variant Price", "Variant SKU"], "shopify"),
        (["URL handle", "Title", "Price", "Option1 name"], "shopify"),
        (["ID", "Type", "SKU", "Name", "Regular price"], "woocommerce"),
        (["sku", "product_type", "attribute_set_code", "name"], "magento"),
        (["g:id", "title", "link", "g:price", "g:availability"], "merchant"),
        (["id", "title", "price"], "plain"),
        ([], "plain"),
    ],
)
def test_formats_are_recognized_by_their_columns(columns: list[str], name: str) -> None:
    assert format_of(columns) == name


def test_bad_rows_of_an_export_are_rejected_with_their_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    rows = "".join(f"P{n},Type {n},simple,Default,{n}\n" for n in range(30))
    path.write_text(
        f"sku,name,product_type,attribute_set_code,price\n{rows},No id,simple,Default,3\n", encoding="utf-8"
    )
    report, out = run(IngestConfig(), items=path)
    table = report.tables["items"]
    assert (table.rows, table.kept, table.rejected) == (31, 30, 1)
    (reject,) = pl.read_parquet(out / "rejects.parquet").to_dicts()
    assert reject["row"] == 31
    assert "item_id" in reject["reason"]


def test_a_mapped_item_id_means_that_the_columns_are_the_shops_own(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("Handle,Title,Variant Price,Variant SKU\ntea,Tea,3,T-1\n", encoding="utf-8")
    columns = {"Handle": "item_id", "Title": "title"}
    _, out = run(IngestConfig(columns=columns), items=path)
    items = pl.read_parquet(out / "items.parquet")
    assert items["item_id"].to_list() == ["tea"]
    assert items["Variant SKU"].to_list() == ["T-1"]


def test_a_format_that_does_not_fit_is_refused_with_the_columns(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("id,title\n1,Tea\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"products.csv is not a product export of WooCommerce: it lacks type, sku"):
        run(IngestConfig(items_format="woocommerce"), items=path)
    with pytest.raises(ConfigError, match="items_format"):
        run(IngestConfig(items_format="shopware"), items=path)  # type: ignore[arg-type]


def test_a_feed_is_read_beside_a_table(run: Run, tmp_path: Path) -> None:
    feed = RSS.replace("<g:price>", "<g:availability>in stock</g:availability><link>x</link><g:price>")
    (tmp_path / "feed.xml").write_text(feed, encoding="utf-8")
    (tmp_path / "items.csv").write_text("item_id,title,tags\n9,Pot,a|b\n", encoding="utf-8")
    report, out = run(IngestConfig(), items=[tmp_path / "feed.xml", tmp_path / "items.csv"])
    assert report.tables["items"].kept == 3
    items = {row["item_id"]: row for row in pl.read_parquet(out / "items.parquet").to_dicts()}
    assert (items["1"]["price"], items["1"]["currency"], items["1"]["category"]) == (5.0, "EUR", ["Food", "Tea"])
    assert items["1"]["tags"] == ["Sale"]
    assert items["9"]["tags"] == ["a", "b"]


def test_columns_may_have_types(run: Run, tmp_path: Path) -> None:
    row = {
        "id": 7,
        "title": "Tea",
        "link": "x",
        "price": 3.5,
        "availability": "in_stock",
        "more": [{"a": 1}],
        "gtin": None,
    }
    (tmp_path / "products.jsonl").write_text(json.dumps(row), encoding="utf-8")
    _, out = run(IngestConfig(), items=tmp_path / "products.jsonl")
    (item,) = pl.read_parquet(out / "items.parquet").to_dicts()
    assert (item["item_id"], item["price"], item["available"]) == ("7", 3.5, True)


@pytest.mark.parametrize("name", FORMATS)
def test_any_texts_give_one_row_per_item(name: str) -> None:
    names = [column if isinstance(column, str) else column[0] for column in FORMATS[name].columns]
    odd: list[Any] = ["", " ", "a,b", "a=b|c", "茶>", "-1", "9" * 400, None, "\\,", "=", "id:1"]
    frame = pl.DataFrame(dict.fromkeys(names, odd))
    table, notes = as_items(numbered(frame), "auto", TODAY)
    assert table.frame.height == table.rows.len() <= len(odd)
    assert "item_id" in table.frame.columns
    assert notes
