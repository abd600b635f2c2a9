"""Service items: rows of an order that are no products, such as postage, fees, discounts and samples."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Meta

from recsys.core.config.ranges import PositiveShare, Share
from recsys.data.dataset import Dataset
from recsys.data.incidence import incidence

_WORDS: Final = (
    "postage carriage shipping freight delivery handling surcharge fee fees charge charges commission discount rebate "
    "voucher adjust adjustment correction deposit sample samples manual tip donation insurance tax vat "
    "versand versandkosten porto frais livraison spedizione envio gastos"
)
_WORDS_ZH: Final = "运费 邮费 快递费 配送费 手续费 服务费 包装费 折扣 补差价 差价 押金 保险费"
SERVICE_WORDS: Final = frozenset(_WORDS.split())
SERVICE_WORDS_ZH: Final = tuple(_WORDS_ZH.split())

MAX_WORDS: Final = 3
"""A title of more words is that of a product."""

MIN_PRICED: Final = 10
"""Purchases with a price from which on the spread of an item's prices is known."""


@dataclass(frozen=True)
class ServiceItemConfig:
    """Settings of the search for service items, which no list contains.

    Attributes:
        detect: whether to search for them.
        always: ids that are service items without any sign.
        never: ids that are none.
        min_basket_share: share of baskets from which on an item is in baskets of every kind.
        min_price_ratio: 90th ÷ 10th percentile of an item's prices from which on they look like fees.
        min_categorized: share of purchases with a category from which on the lack of one is a sign.
    """

    detect: bool = True
    always: tuple[str, ...] = field(default=())
    never: tuple[str, ...] = field(default=())
    min_basket_share: PositiveShare = 0.02
    min_price_ratio: Annotated[float, Meta(ge=1)] = 3.0
    min_categorized: Share = 0.5


@dataclass(frozen=True)
class ServiceItem:
    """A service item and its signs.

    Attributes:
        item_id: the item.
        basket_share: share of all baskets that contain it.
        price_ratio: 90th ÷ 10th percentile of its prices; None where too few are known.
        named: whether its title or id names a service.
        uncategorized: whether it lacks a category in a shop that has them.
    """

    item_id: str
    basket_share: float
    price_ratio: float | None
    named: bool
    uncategorized: bool


def find_service_items(dataset: Dataset, config: ServiceItemConfig) -> tuple[ServiceItem, ...]:
    """Find the items that are no products.

    An item with a category is a product, however often it is bought: the bananas of a grocer are. Of the others, one is
    a service if its name says so and one more sign agrees (it is in many baskets, its prices vary as fees do, or it
    lacks the category that the others have); or, with any name, if it lacks that category, is in many baskets and
    its prices vary. A best seller of a shop without categories needs the name.

    Args:
        dataset: the shop.
        config: settings.

    Returns:
        The items, those in most baskets first.
    """
    ids = np.array(dataset.items.ids, np.str_)
    share, ratio = _basket_share(dataset), _price_ratio(dataset)
    category = dataset.catalog["category"].list.drop_nulls().list.len().fill_null(0).to_numpy() > 0
    bought = dataset.target_events.item_idx
    has_categories = len(bought) > 0 and float(category[bought].mean()) >= config.min_categorized
    forced = np.isin(ids, np.array(config.always, np.str_))
    is_open = (~category & (share > 0)) | forced
    names = dataset.catalog.select(pl.coalesce("title", "item_id")).to_series().filter(pl.Series(is_open))
    named = np.zeros(len(ids), np.bool_)
    named[is_open] = [_is_named(name) for name in names]
    common, varies = share >= config.min_basket_share, np.nan_to_num(ratio) >= config.min_price_ratio
    uncategorized = ~category & has_categories
    found = ~category & (share > 0) & config.detect
    found &= (named & (common | varies | uncategorized)) | (uncategorized & common & varies)
    found = (found & ~np.isin(ids, np.array(config.never, np.str_))) | forced
    order = np.flatnonzero(found)[np.argsort(-share[found], kind="stable")]
    return tuple(
        ServiceItem(
            item_id=str(ids[row]),
            basket_share=float(share[row]),
            price_ratio=None if np.isnan(ratio[row]) else float(ratio[row]),
            named=bool(named[row]),
            uncategorized=bool(uncategorized[row]),
        )
        for row in order.tolist()
    )


def _is_named(text: str) -> bool:
    """Whether a short title, or an id, names a service."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    if any(word in text for word in SERVICE_WORDS_ZH):
        return len(text) <= 2 * MAX_WORDS + 2
    return 0 < len(words) <= MAX_WORDS and not SERVICE_WORDS.isdisjoint(words)


def _basket_share(dataset: Dataset) -> npt.NDArray[np.float64]:
    bought = dataset.target_events
    baskets, row = np.unique(bought.basket_idx, return_inverse=True)
    n_baskets = incidence(row, bought.item_idx, (len(baskets), len(dataset.items))).sum(axis=0)
    return np.asarray(n_baskets, np.float64).ravel() / max(len(baskets), 1)


def _price_ratio(dataset: Dataset) -> npt.NDArray[np.float64]:
    """The 90th ÷ the 10th percentile of each item's prices, float64 (n_items,), NaN for fewer than `MIN_PRICED`."""
    bought = dataset.target_events
    price: Any = pl.col("price")
    spread = (
        pl.DataFrame({"item": bought.item_idx, "price": bought.price})
        .filter(price.is_not_nan() & (price > 0))
        .group_by("item")
        .agg(n=pl.len(), low=price.quantile(0.1), high=price.quantile(0.9))
        .filter(pl.col("n") >= MIN_PRICED)
    )
    ratio = np.full(len(dataset.items), np.nan)
    ratio[spread["item"].to_numpy()] = (spread["high"] / spread["low"]).to_numpy()
    return ratio
