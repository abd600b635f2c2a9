"""The shop's tables as arrays, on which every model is fitted.

Training on more than one machine starts here: models accept any producer of a `Dataset`.
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
from recsys.core.ids import SESSION, IdMap
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
from recsys.data.channels import channel_codes, frequent_channels
from recsys.data.offers import NO_OFFERS, OfferTable, read_offers
from recsys.data.orders import OrderCounts, basket_number, receipt, settle_orders
from recsys.data.variants import resolve_products

DAY_S = 86_400
PURCHASE = EVENT_NAMES.index("purchase")
REFUND = EVENT_NAMES.index("refund")
VIEW_ITEM_LIST = EVENT_NAMES.index("view_item_list")
NO_INTEREST = (VIEW_ITEM_LIST, REFUND)
"""Events that are no step of a user towards an item."""

TARGET_EVENTS = tuple(
    EVENT_NAMES.index(name)
    for name in ("purchase", "begin_checkout", "add_to_cart", "add_to_wishlist", "select_item", "view_item")
)
"""Events that can count as success, the strongest first."""

MIN_TARGET_SHARE = 0.001
USER_KEY = "user_key"
NO_HOUR = -1
MAX_RATING_WEIGHT = 2.0


@dataclass(frozen=True)
class Events:
    """Events as columns, sorted by time; every array has one entry per event.

    Attributes:
        user_idx: int32, row of the user, -1 for an anonymous event.
        item_idx: int32, row of the item.
        basket_idx: int32, the basket, else the session, else the user's local day.
        event_type: int8, index in `schema.EVENT_NAMES`.
        timestamp: int64, seconds since 1970 UTC.
        hour: int8, the user's local hour 0-23, -1 if times are not finer than a day.
        weekday: int8, the user's local day of the week, 1 Monday to 7 Sunday.
        rating_weight: float32, a rating ÷ the mean of the shop's ratings, 0 to 2; 1 without a rating.
        price: float32, price of one piece in the item's currency, NaN for unknown.
        quantity: float32, number of pieces, NaN for unknown.
        channel: int16, index in `Dataset.channels`, -1 for unknown.
    """

    user_idx: npt.NDArray[np.int32]
    item_idx: npt.NDArray[np.int32]
    basket_idx: npt.NDArray[np.int32]
    event_type: npt.NDArray[np.int8]
    timestamp: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int8]
    weekday: npt.NDArray[np.int8]
    rating_weight: npt.NDArray[np.float32]
    price: npt.NDArray[np.float32]
    quantity: npt.NDArray[np.float32]
    channel: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.item_idx)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> Events:
        """Return the chosen events, in the given order."""
        return Events(**{name: column[rows] for name, column in vars(self).items()})


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
        data_dir: contains `dataset.json` and `events.parquet`, `items.parquet` or both.

    Raises:
        DataError: the folder has no usable table or another schema version.
    """
    info = read_info(data_dir)
    events = _read_table(data_dir / "events.parquet", EVENTS)
    items = _read_table(data_dir / "items.parquet", ITEMS)
    users = _read_table(data_dir / "users.parquet", USERS)
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
    table = _read_table(data_dir / "offers.parquet", OFFERS)
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
) -> Dataset:
    """Number users, items and baskets, and turn validated tables into arrays.

    Args:
        events: the columns of `schema.EVENTS`; zero rows are fine.
        items: the columns of `schema.ITEMS` and any others; zero rows are fine.
        users: the columns of `schema.USERS` and any others; zero rows are fine.
        timezone: the shop's IANA zone, for users without a zone.
        fingerprint: digest that identifies the input.
        is_catalog_complete: whether items of the events that are not in `items` are unavailable.
    """
    items = items.unique("item_id", keep="last", maintain_order=True)
    events = _sorted_by_time(_without_opted_out(events, users))
    events, n_product_events = resolve_products(events, items)
    try:
        events, orders = settle_orders(events, timezone)
    except pl.exceptions.ComputeError as error:
        raise ConfigError(f"timezone: {error}; expected an IANA name such as 'Asia/Shanghai'") from error
    events = events.with_columns(_user_key(events).alias(USER_KEY))
    keys = events.select(pl.col(USER_KEY).alias("user_id")).drop_nulls().unique()
    user_ids = IdMap.of([*keys["user_id"], *users["user_id"]])
    item_ids = IdMap.of([*events["item_id"].unique(), *items["item_id"]])
    profiles = _aligned(users, "user_id", user_ids)
    zones = profiles.select("user_id", "timezone").drop_nulls()
    events = comparable_prices(events, items)
    channels = frequent_channels(events["channel"])
    columns, basket_keys = _event_columns(events, zones, user_ids, item_ids, timezone, orders.scope, channels)
    return Dataset(
        users=user_ids,
        items=item_ids,
        events=columns,
        catalog=_catalog(items, item_ids, is_complete=is_catalog_complete),
        profiles=profiles,
        timezone=timezone,
        fingerprint=fingerprint,
        target_event=_target_event(columns.event_type),
        mean_rating=_mean(events["value"]),
        orders=orders,
        is_catalog_complete=is_catalog_complete,
        n_product_events=n_product_events,
        basket_keys=basket_keys,
        channels=channels,
    )


def _event_columns(
    events: pl.DataFrame,
    zones: pl.DataFrame,
    user_ids: IdMap,
    item_ids: IdMap,
    timezone: str,
    receipt_scope: tuple[str, ...],
    channels: tuple[str, ...],
) -> tuple[Events, npt.NDArray[np.int32]]:
    """Return the events as columns, and the number of each basket by its name."""
    day = pl.col("local").dt.date().cast(pl.String)
    user_key = pl.col(USER_KEY)
    basket = pl.coalesce(
        pl.lit("basket ") + receipt(receipt_scope, timezone),
        pl.concat_str(pl.lit("session "), "session_id"),
        pl.concat_str(pl.lit("day "), day, pl.lit(" "), user_key),
    )
    local = _with_local_time(events, zones, timezone)
    names = local.select(basket.alias("basket"))["basket"]
    numbered = local.with_columns(names.rank("dense").cast(pl.Int32).fill_null(0).alias("basket"))
    hour = numbered["local"].dt.hour()
    if not _is_finer_than_days(events, timezone):
        hour = pl.repeat(NO_HOUR, len(numbered), eager=True)
    kinds = pl.Enum(EVENT_NAMES)
    keys = np.fromiter(map(basket_number, names.drop_nulls().unique().sort()), np.int32)
    columns = Events(
        user_idx=user_ids.encode(local.select(user_key.alias("id"))["id"]),
        item_idx=item_ids.encode(local["item_id"]),
        basket_idx=(numbered["basket"] - 1).cast(pl.Int32).to_numpy(),
        event_type=local["event"].cast(kinds).to_physical().cast(pl.Int8).to_numpy(),
        timestamp=(local["timestamp"].dt.epoch("s")).cast(pl.Int64).to_numpy(),
        hour=hour.cast(pl.Int8).to_numpy(),
        weekday=local["local"].dt.weekday().cast(pl.Int8).to_numpy(),
        rating_weight=_rating_weights(local["value"]),
        price=local["price"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
        quantity=local["quantity"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
        channel=channel_codes(local["channel"], channels),
    )
    return columns, keys


def _user_key(events: pl.DataFrame) -> pl.Expr:
    """Return the key of each event's user; where no event of the shop has one, a session stands for a user."""
    key = pl.coalesce("user_id", "visitor_id")
    if events.select(key.is_not_null().any()).item():
        return key
    return pl.concat_str(pl.lit(SESSION), "session_id")


def _is_finer_than_days(events: pl.DataFrame, timezone: str) -> bool:
    """Return whether any time is not midnight in the shop's zone, as dates without a time are."""
    wall = pl.col("timestamp").dt.convert_time_zone(timezone).dt.time()
    return bool(events.select((wall != pl.time(0, 0, 0)).any()).item())


def _rating_weights(ratings: pl.Series) -> npt.NDArray[np.float32]:
    """Return the weights of events by their ratings: a low rating weighs less than no rating."""
    mean = _mean(ratings)
    if mean <= 0:
        return np.ones(len(ratings), np.float32)
    return (ratings / mean).clip(0, MAX_RATING_WEIGHT).fill_null(1.0).cast(pl.Float32).to_numpy()


def _mean(ratings: pl.Series) -> float:
    mean = ratings.mean()
    return mean if isinstance(mean, float) else 0.0


def _with_local_time(events: pl.DataFrame, zones: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """Add `local`: the local time of the user, without a zone."""

    def wall(zone: str) -> pl.Expr:
        return pl.col("timestamp").dt.convert_time_zone(zone).dt.replace_time_zone(None)

    try:
        if not (zones["timezone"] != timezone).any():
            return events.with_columns(wall(timezone).alias("local"))
        zoned = events.join(zones, on="user_id", how="left", maintain_order="left")
        local = pl.coalesce(
            *(pl.when(pl.col("timezone") == zone).then(wall(zone)) for zone in sorted(zones["timezone"].unique())),
            wall(timezone),
        )
        return zoned.with_columns(local.alias("local")).drop("timezone")
    except pl.exceptions.ComputeError as error:
        raise ConfigError(f"timezone: {error}; expected an IANA name such as 'Asia/Shanghai'") from error


def _sorted_by_time(events: pl.DataFrame) -> pl.DataFrame:
    """Return the events by time, those of one moment in their order; a copy only where they are not sorted already."""
    return events if events["timestamp"].is_sorted() else events.sort("timestamp", maintain_order=True)


def _without_opted_out(events: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    opted_out = users.filter(pl.col(PERSONALIZATION).eq_missing(False)).select("user_id")
    if not len(opted_out):
        return events
    return events.join(opted_out, on="user_id", how="anti", maintain_order="left")


def _target_event(event_type: npt.NDArray[np.int8]) -> int:
    counts = np.bincount(event_type, minlength=len(EVENT_NAMES))
    counts[VIEW_ITEM_LIST] = 0  # impressions are not acts of users, and there may be many
    enough = max(1.0, MIN_TARGET_SHARE * counts.sum())
    return next((target for target in TARGET_EVENTS if counts[target] >= enough), PURCHASE)


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


def _read_table(path: Path, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    if not path.is_file():
        return pl.DataFrame(schema=columns)
    try:
        table = pl.read_parquet(path)
        return table.with_columns(
            pl.col(name).cast(dtype) if name in table.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in columns.items()
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}): run `recsys ingest` again") from error
