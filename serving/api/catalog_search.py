"""Calls that look for items and users, and that describe one item, for a console."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from recsys.core.errors import UnknownItemError
from recsys.core.ids import UNKNOWN
from recsys.core.request import RecommendedItem, Request
from recsys.fitting.engine import Engine
from recsys.live.reachability import FOREVER, is_erased
from recsys.live.view import LiveView
from recsys.pipeline.catalog_search import ItemSearch, users_with_prefix
from recsys.pipeline.item_fields import item_fields
from recsys.pipeline.recommender import Recommender
from serving.api.request_models import as_of_or_now
from serving.http.fields import Id, Limit, Parameters, Timestamp, is_id
from serving.http.operation import Operation
from serving.responses import Time, encode, moment
from serving.runtime.app_context import AppContext

DEFAULT_FOUND: Final = 20
MAX_QUERY_CHARS: Final = 200
KINDS: Final = ("complementary", "bought_together", "similar", "viewed_together")
"""The lists of an item that its description has."""

SUMMARY: Final = ("brand", "category", "price", "list_price", "currency", "available")

Query = Annotated[str, Meta(max_length=MAX_QUERY_CHARS)]


class ItemQuery(Parameters, frozen=True):
    """Which items to look for.

    Attributes:
        q: words that the id, title or brand of an item contains, in any case; empty for the best sellers.
        limit: number of items.
    """

    q: Query = ""
    limit: Limit = DEFAULT_FOUND


class UserQuery(Parameters, frozen=True):
    """Which users to look for.

    Attributes:
        q: how their ids begin.
        limit: number of users.
    """

    q: Query = ""
    limit: Limit = DEFAULT_FOUND


class ItemAtMoment(Parameters, frozen=True):
    """One item at a moment.

    Attributes:
        item_id: the item.
        as_of: the moment of its lists; the server's clock if not given.
        limit: number of items of each list.
    """

    item_id: Id
    as_of: Timestamp | None = None
    limit: Limit = 10


class ItemSummary(msgspec.Struct, frozen=True):
    """One item that was found.

    Attributes:
        item_id: the shop's id.
        title: its title, else its id.
        n_buyers: number of its buyers.
        is_listed: whether lists may contain it: it is available and no service.
        fields: brand, category, price, list_price, currency and available; null where unknown.
    """

    item_id: str
    title: str
    n_buyers: int
    is_listed: bool
    fields: dict[str, Any]


class ItemMatches(msgspec.Struct, frozen=True):
    """The items that were found.

    Attributes:
        items: one with this very id first, then those that the live log has changed, then the best-selling ones.
        is_complete: whether all items of the catalog were compared, or `limit` were found; else a longer word helps.
    """

    items: tuple[ItemSummary, ...]
    is_complete: bool


class ItemDescription(msgspec.Struct, frozen=True):
    """What is known of an item.

    Attributes:
        item_id: the item; a variant that can be bought, if the id is that of a product.
        as_of: the moment of the lists.
        title: its title, else its id.
        n_buyers: number of its buyers.
        is_head: whether it is among the bestsellers that make half of all purchases.
        is_listed: whether lists may contain it.
        type: path of its product type, null if unknown.
        columns: every column of the catalog with its value now, changes of the live log included.
        neighbors: the first items of each list for an item, with their reasons.
    """

    item_id: str
    as_of: Time
    title: str
    n_buyers: int
    is_head: bool
    is_listed: bool
    type: str | None
    columns: dict[str, Any]
    neighbors: dict[str, tuple[RecommendedItem, ...]]


class UserSummary(msgspec.Struct, frozen=True):
    """One user that was found.

    Attributes:
        user_id: the shop's id.
        n_events: number of events that count.
        last_seen: time of the last of them, null without any.
    """

    user_id: str
    n_events: int
    last_seen: Time | None


class UserMatches(msgspec.Struct, frozen=True):
    """The users that were found.

    Attributes:
        users: by their ids; a user that only the live log knows is found by the whole id.
    """

    users: tuple[UserSummary, ...]


async def search_items(app_context: AppContext, call: ItemQuery) -> bytes:
    """Look for items by words of their id, title or brand, for a field that is searched while it is typed."""
    snapshot = app_context.watcher.snapshot()
    search = await asyncio.to_thread(app_context.item_search, snapshot)

    def find() -> bytes:
        return _items(app_context.watcher.up_to_date(snapshot).recommender, search, call)

    return await app_context.lists.run(find)


async def search_users(app_context: AppContext, call: UserQuery) -> bytes:
    """Look for users by the beginning of their id; those who were erased are not found."""
    snapshot = app_context.watcher.snapshot()
    return await app_context.lists.run(lambda: _users(app_context.watcher.up_to_date(snapshot).recommender, call))


def get_item(app_context: AppContext, call: ItemAtMoment) -> bytes:
    """Return what is known of an item: its columns now, and the first items of its lists with their evidence."""
    recommender = app_context.watcher.snapshot().recommender
    engine, as_of = recommender.current, as_of_or_now(app_context, call.as_of)
    row = engine.item_row(call.item_id)
    if row == UNKNOWN:
        raise UnknownItemError(call.item_id)
    (columns,) = item_fields(engine.items_table, engine.item_rows([call.item_id]), list(engine.items_table.schema))
    types, number = engine.catalog.type_names, int(engine.catalog.item_type[row])
    found = {}
    for kind in KINDS:
        request = Request(kind, as_of, call.limit, item_ids=(call.item_id,))
        if recommender.placements[kind].anchor == "item":
            found[kind] = recommender.recommend_for(request).items
    description = ItemDescription(
        engine.items.ids[row],
        moment(as_of),
        engine.titles[row],
        int(engine.popularity.n_buyers[row]),
        not bool(engine.is_tail[row]),
        _is_listed(engine, row),
        types[number] if number >= 0 else None,
        columns,
        found,
    )
    return encode(description)


def _items(recommender: Recommender, search: ItemSearch, call: ItemQuery) -> bytes:
    engine = recommender.current
    found = search.find(engine, call.q, call.limit)
    ids = [engine.items.ids[row] for row in found.item_idx]
    fields = item_fields(engine.items_table, engine.items.rows(ids), SUMMARY)
    items = (
        ItemSummary(item_id, engine.titles[row], int(engine.popularity.n_buyers[row]), _is_listed(engine, row), values)
        for item_id, row, values in zip(ids, found.item_idx, fields, strict=True)
    )
    return encode(ItemMatches(tuple(items), found.is_complete))


def _is_listed(engine: Engine, row: int) -> bool:
    listable = engine.listable["all"]
    return listable is None or bool(listable[row])


def _users(recommender: Recommender, call: UserQuery) -> bytes:
    engine, live = recommender.engine, recommender.live or LiveView(recommender.engine)
    ids = users_with_prefix(engine.users.ids, call.q, call.limit, lambda user_id: is_erased(live, user_id))
    if (
        call.q
        and call.q not in ids
        and is_id(call.q)
        and (len(live.history(call.q, FOREVER)) or live.profiles.of(call.q))
    ):
        ids = [call.q, *ids][: call.limit]
    return encode(UserMatches(tuple(_user(live, each) for each in ids)))


def _user(live: LiveView, user_id: str) -> UserSummary:
    history = live.history(live.identities.target(user_id), FOREVER)
    last = moment(int(history.timestamp[-1])) if len(history) else None
    return UserSummary(user_id, len(history), last)


OPERATIONS: Final = (
    Operation("GET", "/v1/items", ItemQuery, search_items, "console", (ItemMatches,), failures=(503,), scope="view"),
    Operation(
        "GET",
        "/v1/items/{item_id}",
        ItemAtMoment,
        get_item,
        "console",
        (ItemDescription,),
        failures=(404, 503),
        scope="view",
    ),
    Operation("GET", "/v1/users", UserQuery, search_users, "console", (UserMatches,), failures=(503,), scope="view"),
)
