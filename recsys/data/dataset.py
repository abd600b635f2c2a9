"""The shop's tables as arrays, on which every model is fitted.

Where the events are on several machines, each part of the users is such a dataset; see `recsys.fitting.parts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.errors import ConfigError, DataError
from recsys.core.ids import IdMap
from recsys.core.schema import (
    DATASET_SCHEMA_VERSION,
    EVENT_NAMES,
    EVENTS,
    ITEMS,
    OFFERS,
    PERSONALIZATION,
    USERS,
    DatasetInfo,
)
from recsys.data.catalog import comparable_prices
from recsys.data.event_columns import NO_HOUR, USER_KEY, Events, event_columns, user_key
from recsys.data.offers import NO_OFFERS, OfferTable, read_offers
from recsys.data.orders import OrderCounts, settle_orders
from recsys.data.shop_facts import ShopFacts, gather_facts
from recsys.data.variants import find_variants, resolve_products
from recsys.data.visitors import find_visitors, without

DAY_S = 86_400
PURCHASE = EVENT_NAMES.index("purchase")
REFUND = EVENT_NAMES.index("refund")
VIEW_ITEM_LIST = EVENT_NAMES.index("view_item_list")
NO_INTEREST = (VIEW_ITEM_LIST, REFUND)
"""Events that are no step of a user towards an item."""


@dataclass(frozen=True)
class Dataset:
    """All data of a shop up to a moment, with purchases as `recsys.data.orders` settles them.

    Attributes:
        users: user ids, and visitor ids of events without a user id; keys of sessions where no event has either.
        items: ids of the catalog and of the events.
        events: all events, sorted by time.
        catalog: one row per item in the order of `items`: the columns of `schema.ITEMS` and the shop's own.
        profiles: one row per user in the order of `users`: the columns of `schema.USERS` and the shop's own.
        timezone: the shop's IANA zone.
        fingerprint: digest of the tables.
        target_event: code of the event that counts as success: `purchase` if there are any.
        mean_rating: mean of all ratings, 0 without ratings.
        store_seq: number of the live log up to which its events and changes are in the tables.
        merges: the id that each merged id points at, under which its events are in the tables.
        offers: prices and availability by region, store and channel.
        n_unknown_offers: number of offers that were left out, as their items are unknown.
        orders: order lines that do not count, and the scope of receipt numbers.
        is_catalog_complete: whether an item of the events that the catalog lacks is not listed.
        n_product_events: number of events with the id of a product, which count for one of its variants.
        items_from, offers_from: moment that rows without `updated_at` are from, seconds since 1970; 0 if unknown.
        basket_keys: int32 (n_baskets,), `basket_number` of each basket.
        channels: names of the sales channels, at most 1,000, the most frequent first.
        is_visitor: bool (n_users,), ids that no event has as its `user_id`, no row of users has, and nothing is merged
            into; empty where it is not known.
    """

    users: IdMap
    items: IdMap
    events: Events
    catalog: pl.DataFrame
    profiles: pl.DataFrame
    timezone: str
    fingerprint: str
    target_event: int = field(default=PURCHASE)
    mean_rating: float = 0.0
    store_seq: int = 0
    merges: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    offers: OfferTable = NO_OFFERS
    n_unknown_offers: int = 0
    orders: OrderCounts = field(default_factory=OrderCounts)
    is_catalog_complete: bool = False
    n_product_events: int = 0
    items_from: float = 0.0
    offers_from: float = 0.0
    basket_keys: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    channels: tuple[str, ...] = ()
    is_visitor: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    @cached_property
    def target_events(self) -> Events:
        """Events of the target type: purchases, or the strongest signal that the shop records."""
        return self.events.take(self.events.event_type == self.target_event)

    @property
    def has_hours(self) -> bool:
        """Whether times are finer than a day."""
        return bool((self.events.hour != NO_HOUR).any())

    @property
    def end(self) -> int:
        """Time of the last event in seconds since 1970, 0 without events."""
        return int(self.events.timestamp[-1]) if len(self.events) else 0

    def until(self, cutoff: int) -> Dataset:
        """Return the data before `cutoff` (seconds since 1970, exclusive); rows of users and items stay."""
        n_known = int(np.searchsorted(self.events.timestamp, cutoff, side="left"))
        return replace(self, events=self.events.take(slice(0, n_known)))


def load_dataset(data_dir: Path) -> Dataset:
    """Read a folder of validated tables, as `recsys ingest` writes it.

    Args:
        data_dir: contains `dataset.json` and events, items or both. `events` and `users` may be folders of Parquet
            files, such as one per day; the paths of the files decide the order of their rows.

    Raises:
        DataError: the folder has no usable table or another schema version.
    """
    info = read_info(data_dir)
    events = read_table(find_table(data_dir, "events"), EVENTS)
    items = read_table(data_dir / "items.parquet", ITEMS)
    users = read_table(find_table(data_dir, "users"), USERS)
    if not len(events) and not len(items):
        raise DataError(f"{data_dir} contains neither events nor items: run `recsys ingest --out {data_dir}` first")
    dataset = build_dataset(
        events,
        items,
        users,
        timezone=info.timezone,
        fingerprint=info.fingerprint,
        is_catalog_complete=info.is_catalog_complete,
    )
    return with_info(dataset, info, read_table(data_dir / "offers.parquet", OFFERS))


def with_info(dataset: Dataset, info: DatasetInfo, table: pl.DataFrame) -> Dataset:
    """Return the data with the offers, and with what the ingest knew of its sources.

    Args:
        dataset: the shop.
        info: of the folder of its tables.
        table: the columns of `schema.OFFERS`.
    """
    offers = read_offers(table, dataset.items)
    merges, n_unknown = MappingProxyType(info.merges), len(table) - len(offers)
    return replace(
        dataset,
        store_seq=info.store_seq,
        merges=merges,
        offers=offers,
        n_unknown_offers=n_unknown,
        items_from=info.exported_at.get("items", 0.0),
        offers_from=info.exported_at.get("offers", 0.0),
        is_visitor=without(dataset.users, dataset.is_visitor, merges.values()),
    )


def read_info(data_dir: Path) -> DatasetInfo:
    """Read `dataset.json` of a folder of tables."""
    path = data_dir / "dataset.json"
    if not path.is_file():
        raise DataError(f"{path} is missing: `recsys ingest --out {data_dir}` writes it with the tables")
    try:
        info = DatasetInfo(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}): run `recsys ingest` again") from error
    if info.schema_version != DATASET_SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema version {info.schema_version}, this release reads {DATASET_SCHEMA_VERSION}: "
            "run `recsys ingest` again"
        )
    return info


def build_dataset(
    events: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame,
    *,
    timezone: str,
    fingerprint: str = "",
    is_catalog_complete: bool = False,
    facts: ShopFacts | None = None,
) -> Dataset:
    """Number users, items and baskets, and turn validated tables into arrays.

    Args:
        events: the columns of `schema.EVENTS`; zero rows are fine.
        items: the columns of `schema.ITEMS` and any others; zero rows are fine.
        users: the columns of `schema.USERS` and any others; zero rows are fine.
        timezone: the shop's IANA zone, for users without a zone.
        fingerprint: digest that identifies the input.
        is_catalog_complete: whether items of the events that are not in `items` are unavailable.
        facts: about the whole shop, where `events` are those of some of its users; None if they are all of them.
    """
    items = items.unique("item_id", keep="last", maintain_order=True)
    events = _sorted_by_time(_without_opted_out(events, users))
    variant_of = find_variants(events, items) if facts is None else facts.variant_of
    events, n_product_events = resolve_products(events, variant_of)
    try:
        events, orders = settle_orders(events, timezone, None if facts is None else facts.receipt_scope)
        facts = gather_facts(events, items, timezone, orders.scope, variant_of) if facts is None else facts
    except pl.exceptions.ComputeError as error:
        raise ConfigError(f"timezone: {error}; expected an IANA name such as 'Asia/Shanghai'") from error
    events = events.with_columns(user_key(has_users=facts.has_users).alias(USER_KEY))
    keys = events.select(pl.col(USER_KEY).alias("user_id")).drop_nulls().unique()
    user_ids = IdMap.of([*keys["user_id"], *users["user_id"]])
    profiles = _aligned(users, "user_id", user_ids)
    zones = profiles.select("user_id", "timezone").drop_nulls()
    events = comparable_prices(events, items)
    columns, basket_keys = event_columns(events, zones, user_ids, facts, timezone)
    return Dataset(
        users=user_ids,
        items=facts.items,
        events=columns,
        catalog=_catalog(items, facts.items, is_complete=is_catalog_complete),
        profiles=profiles,
        timezone=timezone,
        fingerprint=fingerprint,
        target_event=facts.target_event,
        mean_rating=facts.mean_rating,
        orders=orders,
        is_catalog_complete=is_catalog_complete,
        n_product_events=n_product_events,
        basket_keys=basket_keys,
        channels=facts.channels,
        is_visitor=find_visitors(user_ids, events, users),
    )


def _sorted_by_time(events: pl.DataFrame) -> pl.DataFrame:
    """Return the events by time, those of one moment in their order; a copy only where they are not sorted already."""
    return events if events["timestamp"].is_sorted() else events.sort("timestamp", maintain_order=True)


def _without_opted_out(events: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    opted_out = users.filter(pl.col(PERSONALIZATION).eq_missing(False)).select("user_id")
    if not len(opted_out):
        return events
    return events.join(opted_out, on="user_id", how="anti", maintain_order="left")


def _catalog(items: pl.DataFrame, item_ids: IdMap, *, is_complete: bool) -> pl.DataFrame:
    """Return one row per item id; an id that a complete catalog lacks is not available."""
    aligned = _aligned(items, "item_id", item_ids)
    if not is_complete:
        return aligned
    is_known = pl.col("item_id").is_in(items["item_id"].implode())
    return aligned.with_columns(pl.when(is_known).then("available").otherwise(False).alias("available"))


def _aligned(table: pl.DataFrame, key: str, ids: IdMap) -> pl.DataFrame:
    rows = pl.DataFrame({key: ids.ids}, {key: pl.String})
    return rows.join(table.unique(key, keep="last"), on=key, how="left", maintain_order="left")


def find_table(data_dir: Path, name: str) -> Path:
    """Return the folder of a table's files if there is one, else the path of its single file."""
    folder = data_dir / name
    return folder if folder.is_dir() else data_dir / f"{name}.parquet"


def read_table(path: Path, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """Read a validated table from a file or from a folder of files; one without rows if there is none.

    Raises:
        DataError: a file cannot be read.
    """
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        return pl.DataFrame(schema=columns)
    try:
        table = pl.concat([pl.read_parquet(file, glob=False) for file in files], how="diagonal_relaxed")
        return table.with_columns(
            pl.col(name).cast(dtype) if name in table.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in columns.items()
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}): run `recsys ingest` again") from error
