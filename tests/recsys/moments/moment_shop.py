"""A shop with planted moments: prices, stock, carts and rhythms whose messages can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.core.request import Recommendations, RecommendedItem, Request
from recsys.core.schema import OFFERS
from recsys.data.dataset import Dataset
from recsys.data.offers import read_offers
from recsys.eventlog.store import EntryType, LogEntry, StoredEntry
from recsys.fitting.engine import Engine
from recsys.fitting.fit import fit_models
from recsys.live.view import LiveView
from recsys.pipeline.recommend import recommend
from tests.shop import DAY_S, at, dataset_of, small_config, table

NOW: Final = 1_717_200_000
"""2024-06-01 08:00 in Shanghai."""

ITEMS: Final = tuple(
    {
        "item_id": item_id,
        "title": f"Item {item_id}",
        "category": ["Home", kind],
        "brand": brand,
        "price": price,
        "currency": "CNY",
        "available": item_id != "sold-out",
        "created_at": at(round(NOW - age * DAY_S)),
        "updated_at": at(NOW - 40 * DAY_S),
    }
    for item_id, kind, brand, price, age in (
        ("soap", "Soap", "Dew", 10.0, 400),
        ("lamp", "Lamps", "Lux", 80.0, 400),
        ("vase", "Vases", "Clay", 60.0, 400),
        ("sold-out", "Vases", "Clay", 70.0, 400),
        ("new-lamp", "Lamps", "Lux", 120.0, 3),
        ("old-lamp", "Lamps", "Lux", 110.0, 90),
        ("new-rug", "Rugs", "Loom", 200.0, 3),
    )
)


def event(user_id: str, item_id: str, days_ago: float, name: str = "view_item", **more: Any) -> dict[str, Any]:
    """One event, some days before `NOW`."""
    moment = at(round(NOW - days_ago * DAY_S))
    return {"user_id": user_id, "item_id": item_id, "timestamp": moment, "event": name, **more}


EVENTS: Final = (
    *(event(f"r{user}", "soap", 7 * week + 2, "purchase", price=10.0) for user in range(6) for week in range(10)),
    *(event(f"o{user}", "lamp", 30 * month + 40, "purchase", price=80.0) for user in range(4) for month in range(4)),
    event("last", "vase", 0.01, "purchase", price=60.0),
)


def shop(events: Sequence[Mapping[str, Any]] = (), items: Sequence[Mapping[str, Any]] = ITEMS) -> Dataset:
    """The shop with more events; it ends just before `NOW`."""
    return dataset_of([*EVENTS, *events], items)


def fitted(dataset: Dataset, offers: Sequence[Mapping[str, Any]] = ()) -> Engine:
    """The models of a shop, with offers."""
    if offers:
        dataset = replace(dataset, offers=read_offers(table(offers, OFFERS), dataset.items))
    return fit_models(dataset, small_config())


class LiveShop:
    """An engine, and a live log whose entries are applied as they are added."""

    def __init__(self, engine: Engine) -> None:
        self.live, self.n = LiveView(engine), 0

    def add(self, entry_type: EntryType, key: str | None, days_ago: float = 0.0, **body: Any) -> None:
        self.n += 1
        moment = NOW - days_ago * DAY_S
        self.live.apply([StoredEntry(self.n, LogEntry(entry_type, key, moment, moment, body))])

    def event(self, user_id: str, item_id: str, days_ago: float, name: str = "view_item", **more: Any) -> None:
        self.add("event", None, days_ago, user_id=user_id, item_id=item_id, event=name, **more)

    def ask(self, placement: str, user_id: str | None, **more: Any) -> Recommendations:
        request = Request(placement, **{"as_of": NOW, "user_id": user_id, **more})
        return recommend(self.live.engine, request, "", self.live)

    def one(self, placement: str, user_id: str | None, **more: Any) -> RecommendedItem:
        (item,) = self.ask(placement, user_id, **more).items
        return item

    def ids(self, placement: str, user_id: str | None, **more: Any) -> list[str]:
        return [item.item_id for item in self.ask(placement, user_id, **more).items]


def asked(engine: Engine, placement: str, user_id: str | None, **more: Any) -> tuple[RecommendedItem, ...]:
    """The items of a list at `NOW`, from the bundle alone."""
    return recommend(engine, Request(placement, **{"as_of": NOW, "user_id": user_id, **more})).items


def columns(engine: Engine) -> pl.DataFrame:
    """The items table."""
    return engine.items_table[np.arange(engine.n_items)]
