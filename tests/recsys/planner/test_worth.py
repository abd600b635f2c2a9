from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.fitting.engine import Engine
from recsys.planner.worth import item_values, relative_prices


def with_margin(engine: Engine, *margins: float | None) -> Engine:
    column = pl.Series("margin", [*margins, *[None] * (engine.n_items - len(margins))], pl.Float64)
    return replace(engine, items_table=engine.items_table.with_columns(column))


def test_the_margin_if_there_is_one_else_the_price(shop_engine: Engine) -> None:
    values, kind = item_values(shop_engine, "auto")
    assert kind == "price"
    known = np.isfinite(shop_engine.catalog.price)
    assert values[known].tolist() == shop_engine.catalog.price[known].astype(float).tolist()
    assert values[~known].tolist() == pytest.approx([values[known].mean()] * int((~known).sum()))
    values, kind = item_values(with_margin(shop_engine, 2.0, None, -1.0), "auto")
    assert (kind, values[:4].tolist()) == ("margin", [2.0, 0.5, 0.0, 0.5]), "a loss is worth nothing"


def test_a_purchase_may_just_count(shop_engine: Engine) -> None:
    values, kind = item_values(shop_engine, "orders")
    assert kind == "orders"
    assert (values == 1).all()


def test_values_that_do_not_exist_are_refused(shop_engine: Engine) -> None:
    with pytest.raises(ConfigError, match="no item has a margin: choose 'orders'"):
        item_values(shop_engine, "margin")
    nameless = replace(shop_engine, items_table=shop_engine.items_table.with_columns(margin=pl.lit("high")))
    assert item_values(nameless, "auto")[1] == "price"


def test_prices_relative_to_the_median(shop_engine: Engine) -> None:
    price = np.full(shop_engine.n_items, np.nan, np.float32)
    price[:4] = 1.0, 2.0, 8.0, 0.0
    found = relative_prices(replace(shop_engine, catalog=replace(shop_engine.catalog, price=price)))
    assert found[:5].tolist() == [0.5, 1.0, 4.0, 1.0, 1.0]
    nothing = replace(shop_engine.catalog, price=price * np.nan)
    assert (relative_prices(replace(shop_engine, catalog=nothing)) == 1).all()


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, 1e300])
def test_an_odd_margin_has_the_mean_of_the_others(shop_engine: Engine, odd: float) -> None:
    values, kind = item_values(with_margin(shop_engine, 2.0, odd, 4.0), "auto")
    assert (kind, values[:4].tolist()) == ("margin", [2.0, 3.0, 4.0, 3.0])
