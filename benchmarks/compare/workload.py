"""Seeded calls for a comparison: lists of every kind, and the changes that both servers get before them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import polars as pl

NEW_ITEM: Final = "new-item"
POST: Final = "/v1/recommendations"
STORES: Final = ("store-1", "store-2")
REGIONS: Final = ("north", "south")
N_SAMPLED: Final = 400
N_LIVE_USERS: Final = 40
HOURS_AGO: Final = (0, 0, 0, 1, 3, 7, 12, 18, 24 * 3, 24 * 30)

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call that both servers are sent.

    Attributes:
        group: row of the table that it counts in: the placement, mostly.
        kind: what is special about it.
        method: of HTTP.
        path: percent-encoded.
        params: of the query.
        body: JSON, None for a call without one.
        n_pages: how many pages are asked for at most.
    """

    group: str
    kind: str
    method: str
    path: str
    params: Json = field(default_factory=dict)
    body: Json | None = None
    n_pages: int = 1

    def with_token(self, token: str | None) -> tuple[Json, Json | None]:
        """Return query and body, with the token of the page before if there is one."""
        if token is None:
            return self.params, self.body
        if self.body is None:
            return self.params | {"page_token": token}, None
        return self.params, self.body | {"page_token": token}


@dataclass(frozen=True)
class Shop:
    """Ids and values of the tables that calls are made of.

    Attributes:
        end: time of the last event.
        user_ids: of users, active and rare ones alike.
        item_ids: of items, one in two by sales and the others evenly.
        brands: of these items.
        categories: of these items, from all levels.
        words: of these items' titles.
    """

    end: datetime
    user_ids: list[str]
    item_ids: list[str]
    brands: list[str]
    categories: list[str]
    words: list[str]

    @classmethod
    def read(cls, data: Path, seed: int) -> Shop:
        """Read the tables of a folder, as `recsys demo-data` and `recsys ingest` write it."""
        rng = random.Random(seed)
        events = pl.read_parquet(data / "events.parquet", columns=["user_id", "item_id", "timestamp"])
        items = pl.read_parquet(data / "items.parquet")
        users = events["user_id"].drop_nulls().unique().sort().to_list()
        rows = sorted(rng.sample(range(len(events)), min(N_SAMPLED, len(events))))
        sold = events["item_id"].gather(rows).to_list()
        some = rng.sample(items["item_id"].sort().to_list(), min(N_SAMPLED, len(items)))
        item_ids = sorted({*sold, *some})
        shown = items.filter(pl.col("item_id").is_in(item_ids))
        titles = " ".join(shown["title"].drop_nulls().to_list()).lower().split()
        return cls(
            end=events["timestamp"].max(),  # type: ignore[arg-type]
            user_ids=rng.sample(users, min(N_SAMPLED, len(users))),
            item_ids=item_ids,
            brands=shown["brand"].drop_nulls().unique().sort().to_list(),
            categories=shown["category"].explode().drop_nulls().unique().sort().to_list(),
            words=sorted({word for word in titles if word.isalpha() and len(word) > 3}),
        )


class Workload:
    """Makes calls from a seed: the same seed over the same tables gives the same calls.

    Args:
        shop: what the calls are made of.
        item_placements: placements for an item, which `GET /v1/items/…` takes.
        user_placements: placements for a user or an anonymous request, which `GET /v1/users/…` takes.
        seed: of the generator.
    """

    def __init__(self, shop: Shop, item_placements: Sequence[str], user_placements: Sequence[str], seed: int) -> None:
        self._shop = shop
        self._item_placements = tuple(item_placements)
        self._user_placements = tuple(user_placements)
        self._rng = random.Random(seed)
        self._live_users = [*self._rng.sample(shop.user_ids, min(N_LIVE_USERS, len(shop.user_ids))), "new-user"]
        self._live_items = self._rng.sample(shop.item_ids, min(30, len(shop.item_ids)))

    def calls(self, per_group: int, pages: Sequence[str]) -> list[Call]:
        """Return so many calls of every placement, of ranking, of explaining and of every page."""
        placements = tuple(dict.fromkeys((*self._item_placements, *self._user_placements)))
        made = [self._list(placement) for placement in placements for _ in range(per_group)]
        made += [self._rank() for _ in range(per_group)]
        made += [self._explain(placements[number % len(placements)]) for number in range(per_group)]
        return made + [self._page(page) for page in pages for _ in range(per_group)]

    def changes(self) -> Iterator[Call]:
        """Yield live events, then changes of items and users; offers and a new item among them."""
        rng, shop = self._rng, self._shop
        events = [self._event(number) for number in range(400)]
        for start in range(0, len(events), 100):
            yield Call("changes", "events", "POST", "/v1/events", body={"events": events[start : start + 100]})
        for item_id in self._live_items:
            yield Call("changes", "item", "PATCH", f"/v1/items/{quote(item_id, safe='')}", body=self._patch())
        category = rng.sample(shop.categories, min(2, len(shop.categories)))
        words = rng.sample(shop.words, min(4, len(shop.words)))  # of other items, so that some are similar to it
        new = {"title": " ".join(words) or "a new item", "category": category, "price": 1.5, "available": True}
        yield Call("changes", "new item", "PUT", f"/v1/items/{NEW_ITEM}", body=new)
        bought = {"event_id": "new-1", "item_id": NEW_ITEM, "event": "view_item", "user_id": self._live_users[0]}
        seen = [bought | {"timestamp": shop.end.isoformat()}]
        yield Call("changes", "events", "POST", "/v1/events", body={"events": seen})
        yield Call("changes", "deletion", "DELETE", f"/v1/items/{quote(rng.choice(shop.item_ids), safe='')}")
        first, second, third = (quote(user_id, safe="") for user_id in self._live_users[:3])
        yield Call("changes", "user", "PATCH", f"/v1/users/{first}", body={"region": REGIONS[0]})
        yield Call("changes", "user", "PATCH", f"/v1/users/{second}", body={"timezone": "Asia/Shanghai"})
        yield Call("changes", "user", "PATCH", f"/v1/users/{third}", body={"personalization": False})
        yield Call("changes", "merge", "POST", f"/v1/users/{first}/merge", body={"from": "visitor-0"})

    def _event(self, number: int) -> Json:
        rng = self._rng
        kind = rng.choice(("purchase", "purchase", "view_item", "view_item", "add_to_cart"))
        who = rng.choice(
            (
                {"user_id": rng.choice(self._live_users)},
                {"user_id": rng.choice(self._live_users)},
                {"visitor_id": f"visitor-{rng.randrange(10)}"},
                {"session_id": f"session-{rng.randrange(10)}"},
            )
        )
        at = self._shop.end - timedelta(seconds=rng.randrange(8 * 3600))
        made = {"event_id": f"e-{number}", "event": kind, "item_id": self._item(), "timestamp": at.isoformat(), **who}
        return made | ({"quantity": 1, "basket_id": f"b-{number // 4}"} if kind == "purchase" else {})

    def _patch(self) -> Json:
        rng = self._rng
        price = round(rng.uniform(0.5, 20), 2)
        offer = rng.choice(({"store": rng.choice(STORES)}, {"region": rng.choice(REGIONS)}))
        said = rng.choice(({"available": False}, {"price": price}))
        return rng.choice(
            (
                {"available": False},
                {"price": price},
                {"offers": [offer | said]},
                {"offers": [offer | said]},
                {"tags": ["x"]},
            )
        )

    def _list(self, placement: str) -> Call:
        kinds = (self._get, self._post, self._get, self._post, self._paged_get, self._paged_post)
        return self._rng.choice(kinds)(placement)

    def _get(self, placement: str) -> Call:
        rng, params = self._rng, {"placement": placement, "as_of": self._as_of()}
        if rng.random() < 0.7:
            params["limit"] = rng.choice((1, 5, 20, 50, 100))
        if rng.random() < 0.3:
            params["filter"] = self._filter()
        if rng.random() < 0.3:
            params |= self._place()
        if placement in self._item_placements:
            if rng.random() < 0.5:
                params["user_id"] = self._user()
            return Call(placement, "GET", "GET", f"/v1/items/{quote(self._item(), safe='')}/recommendations", params)
        return Call(placement, "GET", "GET", f"/v1/users/{quote(self._user(), safe='')}/recommendations", params)

    def _paged_get(self, placement: str) -> Call:
        call = self._get(placement)
        params = call.params | {"limit": self._rng.choice((3, 10))}
        return Call(placement, "GET, pages", "GET", call.path, params, n_pages=self._rng.choice((2, 4)))

    def _post(self, placement: str) -> Call:
        rng = self._rng
        body = {"placement": placement, **self._question()}
        if placement in self._item_placements and not body.get("item_ids"):
            body["item_ids"] = [self._item()]
        if rng.random() < 0.2:
            body["explain"] = True
        return Call(placement, "POST", "POST", POST, body=body)

    def _paged_post(self, placement: str) -> Call:
        body = (self._post(placement).body or {}) | {"limit": self._rng.choice((3, 10))}
        return Call(placement, "POST, pages", "POST", POST, body=body, n_pages=self._rng.choice((2, 4)))

    def _page(self, page: str) -> Call:
        body = self._question()
        if self._rng.random() < 0.7:
            body["item_ids"] = [self._item()]
        return Call(f"page {page}", "page", "POST", f"/v1/pages/{quote(page, safe='')}", body=body)

    def _rank(self) -> Call:
        rng = self._rng
        body = {
            "item_ids": [self._item() for _ in range(rng.choice((1, 10, 100)))],
            "as_of": self._as_of(),
        } | self._who()
        if rng.random() < 0.3:
            body["context"] = self._place()
        return Call("rank", "rank", "POST", "/v1/rank", body=body)

    def _explain(self, placement: str) -> Call:
        params = {"placement": placement, "item_id": self._item(), "user_id": self._user(), "as_of": self._as_of()}
        if placement in self._item_placements:
            params["seed_id"] = self._item()
        if self._rng.random() < 0.3:
            params |= self._place()
        if self._rng.random() < 0.3:
            params["filter"] = self._filter()
        return Call("explain", placement, "GET", "/v1/explain", params)

    def _question(self) -> Json:
        """Return the fields that a list and a page of lists share."""
        rng = self._rng
        body: Json = {"as_of": self._as_of()} | self._who()
        if rng.random() < 0.3:
            body["item_ids"] = [self._item() for _ in range(rng.randrange(1, 6))]
        if rng.random() < 0.3:
            body["filter"] = self._filter()
        if rng.random() < 0.4:
            body["context"] = self._place() | {"weather": "rain", "budget": 5}
        if rng.random() < 0.15:
            body["diversity"] = rng.choice((0.0, 0.3, 1.0))
        if rng.random() < 0.15:
            body["tail_share"] = rng.choice((0.0, 0.5))
        if rng.random() < 0.5:
            body["limit"] = rng.choice((1, 5, 20, 50, 100))
        return body

    def _who(self) -> Json:
        rng = self._rng
        draw = rng.random()
        if draw < 0.7:
            return {"user_id": self._user()}
        if draw < 0.8:
            return {"visitor_id": f"visitor-{rng.randrange(12)}"}
        return {"session_id": f"session-{rng.randrange(12)}"} if draw < 0.9 else {}

    def _user(self) -> str:
        draw = self._rng.random()
        if draw < 0.05:
            return "unknown/user"
        return self._rng.choice(self._live_users if draw < 0.35 else self._shop.user_ids)

    def _item(self) -> str:
        draw = self._rng.random()
        if draw < 0.02:
            return "unknown item"
        if draw < 0.04:
            return "new-item"
        return self._rng.choice(self._live_items if draw < 0.1 else self._shop.item_ids)

    def _place(self) -> Json:
        rng = self._rng
        named = {"region": rng.choice(REGIONS), "store": rng.choice(STORES)}
        return {name: named[name] for name in rng.choice((("region",), ("store",), ("region", "store")))}

    def _as_of(self) -> str:
        return (self._shop.end - timedelta(hours=self._rng.choice(HOURS_AGO))).isoformat()

    def _filter(self) -> str:
        rng, shop = self._rng, self._shop
        brand, category, word = (_text(rng.choice(values)) for values in (shop.brands, shop.categories, shop.words))
        price = rng.choice((0.5, 1, 2, 5, 20))
        return rng.choice(
            (
                f"price < {price}",
                f"brand = {brand}",
                f"category = {category}",
                f"NOT category = {category} AND price BETWEEN 1 AND {price}",
                f"brand IN ({brand}) OR title ILIKE '%{word[1:-1]}%'",
                "price / list_price <= 0.8",
                "available AND (context.weather IS NULL OR price < context.budget)",
                "has_any(tags, user.tags) OR length(title) < 20",
                "context.store = 'store-1' OR price > 3",
            )
        )


def _text(value: str) -> str:
    """Return a text as the language of filters quotes it."""
    return "'" + value.replace("'", "''") + "'"
