"""What a purchase of each item is worth to the shop."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.schema import MAX_AMOUNT
from recsys.fitting.engine import Engine
from recsys.planner.config import ValueName

MARGIN = "margin"
"""The shop's own column of items with the margin of a piece, in the currency of the prices."""


def item_values(engine: Engine, name: ValueName) -> tuple[npt.NDArray[np.float64], ValueName]:
    """Return the value of each item, float64 (n_items,), >= 0, and what it is.

    An item whose margin or price is not known, or beyond `MAX_AMOUNT`, has the mean of the others.

    Args:
        engine: the models over the current catalog.
        name: as in `PlanConfig`.

    Raises:
        ConfigError: the catalog has no such values.
    """
    n_items = engine.n_items
    margin = _margins(engine)
    price = np.asarray(engine.catalog.price, np.float64)
    for kind, values in ((MARGIN, margin), ("price", price)):
        if name in (kind, "auto"):
            known = np.abs(values) <= MAX_AMOUNT
            if known.any():
                return np.maximum(np.where(known, values, values[known].mean()), 0), kind  # type: ignore[return-value]
            if name == kind:
                raise ConfigError(f"value is {kind!r}, and no item has a {kind}: choose 'orders', or add the column")
    return np.ones(n_items), "orders"


def relative_prices(engine: Engine) -> npt.NDArray[np.float64]:
    """Return the price of each item ÷ the median price, float64 (n_items,); 1 where it is not known or not above 0."""
    price = np.asarray(engine.catalog.price, np.float64)
    known = np.isfinite(price) & (price > 0)
    return np.where(known, price / np.median(price[known]), 1.0) if known.any() else np.ones(len(price))


def _margins(engine: Engine) -> npt.NDArray[np.float64]:
    table = engine.items_table
    if MARGIN not in table.columns or not (table[MARGIN].dtype.is_numeric() or table[MARGIN].dtype == pl.Null):
        return np.full(engine.n_items, np.nan)
    return table[MARGIN].cast(pl.Float64).fill_null(np.nan).to_numpy()
