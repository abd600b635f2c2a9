"""The call that returns a map of the catalog."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from recsys.pipeline.catalog_map import MAX_PLACED, CatalogMap, name_categories
from recsys.pipeline.recommender import Recommender
from serving.http.fields import Parameters
from serving.http.operation import Operation
from serving.responses import encode
from serving.runtime.app_context import AppContext

DECIMALS: Final = 4


class MapQuery(Parameters, frozen=True):
    """How much of the catalog.

    Attributes:
        limit: number of items.
    """

    limit: Annotated[int, Meta(ge=1, le=MAX_PLACED)] = 500


class PlacedItem(msgspec.Struct, frozen=True):
    """An item on the map.

    Attributes:
        item_id: the shop's id.
        title: its title, else its id.
        x: from 0 to 1.
        y: from 0 to 1.
        category: one of the most frequent categories, null for any other and where it is unknown.
        n_buyers: number of its buyers.
    """

    item_id: str
    title: str
    x: float
    y: float
    category: str | None
    n_buyers: int


class PlacedItems(msgspec.Struct, frozen=True):
    """Items in the plane: those whose embeddings are similar are near each other.

    Attributes:
        items: best sellers and items drawn from all others, in turn; items that lists cannot contain are left out.
        n_items: number of items of the catalog.
    """

    items: tuple[PlacedItem, ...]
    n_items: int


async def get_map(app_context: AppContext, call: MapQuery) -> bytes:
    """Place items in the plane by what is bought together and by their content, for a picture of the catalog.

    Positions are computed once for each bundle; which items are listed is that of now.
    """
    snapshot = app_context.watcher.snapshot()
    placed = await asyncio.to_thread(app_context.catalog_map, snapshot)
    return await app_context.lists.run(
        lambda: encode(_shown(app_context.watcher.up_to_date(snapshot).recommender, placed, call.limit))
    )


def _shown(recommender: Recommender, placed: CatalogMap, limit: int) -> PlacedItems:
    engine = recommender.current
    listable = engine.listable["all"]
    is_listed = slice(None) if listable is None else listable[placed.item_idx]
    chosen, position = (
        placed.item_idx[is_listed][:limit],
        placed.position[is_listed][:limit].astype(float).round(DECIMALS),
    )
    names = name_categories(engine.catalog, chosen)
    buyers = engine.popularity.n_buyers[chosen].tolist()
    items = (
        PlacedItem(engine.items.ids[row], engine.titles[row], x, y, name, n_buyers)
        for row, (x, y), name, n_buyers in zip(chosen.tolist(), position.tolist(), names, buyers, strict=True)
    )
    return PlacedItems(tuple(items), engine.n_items)


OPERATIONS: Final = (
    Operation("GET", "/v1/catalog/map", MapQuery, get_map, "console", (PlacedItems,), failures=(503,), scope="view"),
)
