from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import polars as pl

from recsys.fitting.engine import Engine
from serving.console.pages.catalog_map import N_POINTS, _points
from tests.recorded import SCRIPT
from tests.serving.conftest import client_of
from tests.serving.console.conftest import Browser
from tests.serving.runtime.test_bundle_watcher import write_another


def test_each_point_leads_to_its_item_and_is_in_the_table(browser: Browser) -> None:
    text = browser.get("/map?lang=en").text
    svg = re.search(r'<svg class="map".*?</svg>', text, re.DOTALL)
    assert svg is not None
    points = re.findall(r'<a href="/console/items/([^"]+)" tabindex="(-1|0)"><title>', svg[0])
    assert 0 < len(points) <= N_POINTS
    assert [tab for _, tab in points].count("0") == 1
    rows = re.findall(r'<tr><td><a href="/console/items/([^"]+)">', text)
    assert sorted(rows) == sorted(path for path, _ in points)
    assert 'class="c0"' in svg[0]
    assert "half are the best sellers" in text, "items that cannot be listed are left out"


def test_a_title_is_never_markup(shop_engine: Engine, tmp_path: Path) -> None:
    titles = shop_engine.items_table.with_columns(title=pl.lit(SCRIPT))
    write_another(replace(shop_engine, items_table=titles), tmp_path)
    with client_of(tmp_path) as client:
        n_items = len(client.get("/v1/catalog/map").json()["items"])
        text = Browser(client).get("/map").text
    assert SCRIPT not in text
    assert text.count("&lt;script&gt;alert(1)") == 2 * n_items > 0


def test_the_largest_point_is_drawn_first() -> None:
    items = [
        {"item_id": name, "title": name, "x": 0.0, "y": 1.0, "category": None, "n_buyers": n}
        for name, n in (("a/b", 0), ("c", 9))
    ]
    points = _points(items, {})
    assert [(each.path, each.radius, each.color) for each in points] == [("items/c", 9.0, 8), ("items/a%2Fb", 2.5, 8)]
