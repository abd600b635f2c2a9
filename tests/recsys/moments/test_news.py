"""New arrivals and trends: what is planted is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl

from tests.recsys.moments.moment_shop import NOW, LiveShop, asked, event, fitted, shop
from tests.shop import DAY_S

TREND = [event(f"t{user}", "vase", user / 10, "purchase") for user in range(30)]
STEADY = [event(f"s{user}", "soap", 3 * user, "purchase") for user in range(60)]
ENGINE = fitted(shop([*TREND, *STEADY, event("fan", "lamp", 5), event("fan", "lamp", 2)]))


def test_new_items_of_a_liked_brand_are_found_and_old_ones_and_others_are_not() -> None:
    (item,) = asked(ENGINE, "new_arrivals", "fan")
    assert item.item_id == "new-lamp"
    assert item.reasons[0].code == "new_arrival"
    assert item.reasons[0].text == "new from Lux, which you like"
    assert item.reasons[0].text_zh == "您喜欢的“Lux”有新品"
    assert datetime.fromisoformat(str(item.expires_at)).timestamp() == NOW + 27 * DAY_S
    assert asked(ENGINE, "new_arrivals", "fan", as_of=NOW + 27 * DAY_S) == ()
    assert asked(ENGINE, "new_arrivals", "nobody") == ()


def test_a_series_comes_before_a_brand() -> None:
    series = {"lamp": "Night", "new-rug": "Night"}
    column = pl.Series("series", [series.get(each) for each in ENGINE.items.ids])
    engine = replace(ENGINE, items_table=ENGINE.items_table.with_columns(column))
    texts = {item.item_id: item.reasons[0].text for item in asked(engine, "new_arrivals", "fan")}
    assert texts == {"new-lamp": "new from Lux, which you like", "new-rug": "new from Night, which you like"}


def test_a_new_item_of_the_live_catalog_is_found_at_the_next_request() -> None:
    live = LiveShop(ENGINE)
    live.add("item_put", "fresh", 1, brand="Lux", category=["Home", "Clocks"], created_at="2024-05-31T00:00:00Z")
    assert set(live.ids("new_arrivals", "fan")) == {"new-lamp", "fresh"}
    live.event("fan", "fresh", 0.1)
    assert live.ids("new_arrivals", "fan") == ["new-lamp"], "it was looked at"


def test_a_planted_trend_leads_and_a_steady_item_is_none() -> None:
    items = asked(ENGINE, "trending", None)
    assert [item.item_id for item in items] == ["vase"]
    assert items[0].reasons[0].code == "trending"
    assert float(items[0].reasons[0].values["trend"]) > 1.3
    assert "times as often as usual" in items[0].reasons[0].text


def test_without_sales_nothing_trends() -> None:
    engine = replace(ENGINE, popularity=replace(ENGINE.popularity, momentum=np.ones_like(ENGINE.popularity.momentum)))
    assert asked(engine, "trending", None) == ()
