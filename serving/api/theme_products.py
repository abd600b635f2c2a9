"""The call with the address and the answer of Shopify's product recommendations, for themes that are written for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlencode

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from recsys.core.errors import UnknownItemError
from recsys.core.ids import UNKNOWN
from recsys.fitting.engine import Engine
from serving.api.lists import new_recommendation_id
from serving.api.request_models import ListParameters, as_of_or_now, has_no_filter
from serving.api.user_variants import answering
from serving.http.fields import MAX_EXACT_INTEGER, Id, Parameters
from serving.http.operation import Operation
from serving.responses import Time, encode
from serving.runtime.app_context import AppContext
from serving.runtime.auth import BROWSE

Intent = Literal["related", "complementary"]

PLACEMENTS: Final[Mapping[Intent, str]] = {"related": "similar", "complementary": "complementary"}
MAX_PRODUCTS: Final = 10
CENTS: Final = 100

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "handle": ("handle", "url_key"),
    "url": ("url", "link", "product_url"),
    "image": ("featured_image", "image", "image_url", "image_link"),
    "description": ("description", "body_html"),
}
"""Attributes of the shop that a field of a product is read from, the first that is filled."""


class ThemeCall(Parameters, frozen=True):
    """Which products are asked for.

    Attributes:
        product_id: the product of the page: an item, or a group of variants.
        limit: number of products.
        intent: `related` lists what could replace the product, `complementary` what goes with it.
        user_id: the user, if known; it leaves out what the user owns.
        log: whether the list is shown, and recorded as an impression; false for previews and tests.
    """

    product_id: Id
    limit: Annotated[int, Meta(ge=1, le=MAX_PRODUCTS)] = MAX_PRODUCTS
    intent: Intent = "related"
    user_id: Id | None = None
    log: bool = True


class ThemeVariant(msgspec.Struct, frozen=True):
    """A variant of a product.

    Attributes:
        id: the item; a number if it consists of digits.
        title: its title.
        price: in hundredths of the currency's unit, null if unknown.
        compare_at_price: the price before a reduction, null if there is none.
        available: whether it can be bought.
    """

    id: int | str
    title: str
    price: int | None
    compare_at_price: int | None
    available: bool


class ThemeProduct(msgspec.Struct, frozen=True):
    """A product, with the fields of Shopify's that the catalog has.

    Attributes:
        id: the group of variants, else the item; a number if it consists of digits.
        title: the title of the listed variant.
        handle: the attribute `handle`, null if the catalog has none.
        description: the attribute `description`, null if the catalog has none.
        created_at: when the item was created.
        vendor: the brand.
        type: the last level of the category.
        tags: the tags.
        price: of the listed variant, in hundredths of the currency's unit; null if unknown.
        price_min: the lowest price of the variants.
        price_max: the highest price of the variants.
        price_varies: whether they differ.
        compare_at_price: the price before a reduction, null if there is none.
        available: whether the listed variant can be bought.
        variants: all variants.
        featured_image: the attribute `image`, null if the catalog has none.
        images: the same as a list.
        url: the product's page, with parameters that say where a visit comes from; null if neither an address nor a
            handle is known.
    """

    id: int | str
    title: str
    handle: str | None
    description: str | None
    created_at: Time | None
    vendor: str | None
    type: str | None
    tags: list[str]
    price: int | None
    price_min: int | None
    price_max: int | None
    price_varies: bool
    compare_at_price: int | None
    available: bool
    variants: list[ThemeVariant]
    featured_image: str | None
    images: list[str]
    url: str | None


class ThemeProducts(msgspec.Struct, frozen=True):
    """The products that are recommended.

    Attributes:
        intent: as asked.
        products: the list, one variant of a product.
        recommendation_id: identifies the list; send it with the events that follow.
    """

    intent: Intent
    products: list[ThemeProduct]
    recommendation_id: str


def theme_products(app_context: AppContext, call: ThemeCall) -> bytes:
    """List products like Shopify's product recommendations, with at most 10 products.

    `related` is the placement `similar`, `complementary` the placement of that name. An unknown product is a 404.
    Prices are those of the catalog, without offers.
    """
    snapshot = answering(app_context, app_context.watcher.snapshot(), (call.user_id, None, None))
    recommender, engine = snapshot.recommender, snapshot.recommender.current
    anchor = _item_of(engine, call.product_id)
    as_of = as_of_or_now(app_context, None)
    parameters = ListParameters(placement=PLACEMENTS[call.intent], user_id=call.user_id, limit=call.limit)
    request = parameters.request(snapshot, as_of, (anchor,))
    found = recommender.recommend_for(request)
    recommendation_id = new_recommendation_id(app_context, snapshot, request, found, as_of, log=call.log)
    rows = engine.items.rows([item.item_id for item in found.items])
    products = [
        _product(engine, int(row), _tracking(call, recommendation_id, position))
        for position, row in enumerate(rows, start=1)
    ]
    return encode(ThemeProducts(call.intent, products, recommendation_id))


def _item_of(engine: Engine, product_id: str) -> str:
    """Return the item of a product: itself, else a variant of the group that can be bought."""
    row = engine.item_row(product_id)
    if row == UNKNOWN:
        raise UnknownItemError(product_id)
    return engine.items.ids[row]


def _product(engine: Engine, row: int, tracking: Mapping[str, str]) -> ThemeProduct:
    item = engine.items_table.row(row, named=True)
    variants = [_variant(each) for each in _variants(engine, row)]
    prices = [each.price for each in variants if each.price is not None]
    image = _attribute(item, "image")
    own = _variant(item)
    category: Sequence[str] = item["category"] or ()
    product_id = item["item_group_id"] or item["item_id"]
    return ThemeProduct(
        id=number_or_text(product_id),
        title=own.title,
        handle=_attribute(item, "handle"),
        description=_attribute(item, "description"),
        created_at=item["created_at"],
        vendor=item["brand"],
        type=category[-1] if category else None,
        tags=list(item["tags"] or ()),
        price=own.price,
        price_min=min(prices, default=None),
        price_max=max(prices, default=None),
        price_varies=len(set(prices)) > 1,
        compare_at_price=own.compare_at_price,
        available=own.available,
        variants=variants,
        featured_image=image,
        images=[] if image is None else [image],
        url=_url(item, {**tracking, "pr_rec_pid": str(product_id)}),
    )


def _variants(engine: Engine, row: int) -> list[dict[str, Any]]:
    groups: npt.NDArray[np.int32] = engine.catalog.group
    rows = np.flatnonzero(groups == groups[row]) if groups[row] >= 0 else np.array([row])
    return engine.items_table[rows].to_dicts()


def _variant(item: Mapping[str, Any]) -> ThemeVariant:
    price, listed = _cents(item["price"]), _cents(item["list_price"])
    is_reduced = listed is not None and price is not None and listed > price
    return ThemeVariant(
        id=number_or_text(item["item_id"]),
        title=item["title"] or item["item_id"],
        price=price,
        compare_at_price=listed if is_reduced else None,
        available=item["available"] is not False,
    )


def _attribute(item: Mapping[str, Any], field: str) -> str | None:
    found = (item.get(name) for name in FIELDS[field])
    return next((value for value in found if isinstance(value, str) and value), None)


def _url(item: Mapping[str, Any], tracking: Mapping[str, str]) -> str | None:
    url, handle = _attribute(item, "url"), _attribute(item, "handle")
    if url is None and handle is None:
        return None
    page = f"/products/{quote(str(handle), safe='')}" if url is None else url
    return f"{page}{'&' if '?' in page else '?'}{urlencode(tracking)}"


def _tracking(call: ThemeCall, recommendation_id: str, position: int) -> dict[str, str]:
    """Return Shopify's parameters of a link, which say which list a visit comes from."""
    return {
        "pr_prod_strat": PLACEMENTS[call.intent],
        "pr_rec_id": recommendation_id,
        "pr_ref_pid": call.product_id,
        "pr_seq": str(position),
    }


def _cents(price: float | None) -> int | None:
    return None if price is None else round(price * CENTS)


def number_or_text(item_id: str) -> int | str:
    """Return an id as the number that themes expect, if it is one that every parser of JSON reads exactly."""
    is_number = item_id.isascii() and item_id.isdigit() and len(item_id) <= len(str(MAX_EXACT_INTEGER))
    is_exact = is_number and str(int(item_id)) == item_id and int(item_id) <= MAX_EXACT_INTEGER
    return int(item_id) if is_exact else item_id


OPERATIONS: Final = (
    Operation(
        "GET",
        "/recommendations/products.json",
        ThemeCall,
        theme_products,
        "recommendations",
        (ThemeProducts,),
        failures=(404, 503),
        scope="recommend",
        also=(BROWSE,),
        is_short=has_no_filter,
    ),
)
