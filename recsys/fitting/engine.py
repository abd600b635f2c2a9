"""The engine: all models of one shop, fitted together at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.config.ranges import NonNegativeInt, Share
from recsys.core.ids import SESSION, UNKNOWN, IdMap
from recsys.core.shared_cache import SharedCache
from recsys.data.catalog import Catalog
from recsys.data.dataset import Dataset
from recsys.data.history import History, HistoryConfig
from recsys.data.offers import NO_KNOWN_OFFERS, Offers, OffersKey
from recsys.data.past_terms import NO_PAST_TERMS, PastTermsOf
from recsys.data.service_items import ServiceItemConfig, find_service_items
from recsys.data.variants import ProductVariants, list_variants
from recsys.filters.cache import FilterCache
from recsys.fitting.blend import BlendConfig, Blends
from recsys.fitting.ranker import NO_RANKER, Ranker, RankerConfig
from recsys.models.collaborative.affinity import AffinityConfig, AffinityModel
from recsys.models.collaborative.als import ALSConfig, ALSModel
from recsys.models.collaborative.ease import EASEConfig, EASEModel
from recsys.models.content.content import ContentConfig, ContentModel
from recsys.models.content.hybrid import HybridConfig, HybridModel
from recsys.models.moments.config import MomentsConfig
from recsys.models.moments.festival_lifts import NO_FESTIVAL_LIFTS, FestivalLifts
from recsys.models.moments.first_orders import NO_FIRST_ORDERS, FirstOrders
from recsys.models.moments.replenishment import NO_REPLENISHMENT, ReplenishmentModel
from recsys.models.pairs.copurchase import CopurchaseConfig, CopurchaseModel
from recsys.models.pairs.item_sets import NO_ITEM_SETS, ItemSetConfig, ItemSetModel
from recsys.models.pairs.sequence import SequenceConfig, SequenceModel
from recsys.models.temporal.popularity import PopularityConfig, PopularityModel
from recsys.models.temporal.repeat import RepeatConfig, RepeatModel
from recsys.models.temporal.timeofday import SalesByBucket, TimeOfDayConfig, TimeOfDayModel
from recsys.search.vector_index import FlatIndex
from recsys.segments.config import SegmentConfig
from recsys.segments.table import NO_SEGMENTS, SegmentModel

TAG_MASK_BYTES: Final = 8 * 2**20
"""Memory for the masks of occasions."""

OFFERED_BYTES: Final = 256 * 2**20
"""Memory for catalogs with the prices and availability of offers in place."""

OFFERED_ITEM_BYTES: Final = 24
"""Bytes per item of such a catalog: price and availability, as arrays and as columns, and the masks of pools."""


@dataclass(frozen=True)
class EngineConfig:
    """Settings of all models; each attribute that is a config is a table of the TOML file.

    Attributes:
        seed: seed of all randomness.
        replaceable_cosine: cosine of the content from which on two items of unknown type can replace each other.
    """

    seed: NonNegativeInt = 0
    replaceable_cosine: Share = 0.6
    service_items: ServiceItemConfig = field(default_factory=ServiceItemConfig)
    history: HistoryConfig = field(default_factory=HistoryConfig)
    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    repeat: RepeatConfig = field(default_factory=RepeatConfig)
    als: ALSConfig = field(default_factory=ALSConfig)
    content: ContentConfig = field(default_factory=ContentConfig)
    hybrid: HybridConfig = field(default_factory=HybridConfig)
    affinity: AffinityConfig = field(default_factory=AffinityConfig)
    ease: EASEConfig = field(default_factory=EASEConfig)
    copurchase: CopurchaseConfig = field(default_factory=CopurchaseConfig)
    item_sets: ItemSetConfig = field(default_factory=ItemSetConfig)
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    timeofday: TimeOfDayConfig = field(default_factory=TimeOfDayConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    blend: BlendConfig = field(default_factory=BlendConfig)
    segments: SegmentConfig = field(default_factory=SegmentConfig)
    moments: MomentsConfig = field(default_factory=MomentsConfig)


@dataclass(frozen=True)
class FittedDataInfo:
    """Facts about the data that the models were fitted on.

    Attributes:
        timezone: the shop's IANA zone.
        target_event: code of the event that counts as a purchase.
        end: time of the last event, seconds since 1970; 0 without events.
        has_hours: whether times are finer than a day; True without events.
        mean_rating: mean of all ratings; 0 without ratings.
        store_seq: sequence number of the live log up to which the tables contain its events and changes.
        merged: ids that the tables had merged into others by then.
        merged_into: the id that each of these was merged into.
        service_items: ids of items that are no products; no list contains them.
        receipt_scope: what receipt numbers are unique within; see `recsys.data.orders.find_scope`.
        is_catalog_complete: whether an item that the catalog lacks is not listed.
        items_from, offers_from: moment that the rows of the files are from, seconds since 1970; 0 if unknown.
    """

    timezone: str
    target_event: int
    end: int
    has_hours: bool = True
    mean_rating: float = 0.0
    store_seq: int = 0
    merged: tuple[str, ...] = ()
    merged_into: tuple[str, ...] = ()
    service_items: tuple[str, ...] = ()
    receipt_scope: tuple[str, ...] = ()
    is_catalog_complete: bool = False
    items_from: float = 0.0
    offers_from: float = 0.0

    @classmethod
    def of(cls, dataset: Dataset, services: ServiceItemConfig | None = None) -> FittedDataInfo:
        """Read the facts from a dataset.

        Args:
            dataset: the shop.
            services: settings of the search for service items; None for the defaults.
        """
        return cls(
            timezone=dataset.timezone,
            target_event=dataset.target_event,
            end=dataset.end,
            has_hours=dataset.has_hours or not len(dataset.events),
            mean_rating=dataset.mean_rating,
            store_seq=dataset.store_seq,
            merged=tuple(dataset.merges),
            merged_into=tuple(dataset.merges.values()),
            service_items=tuple(
                found.item_id for found in find_service_items(dataset, services or ServiceItemConfig())
            ),
            receipt_scope=dataset.orders.scope,
            is_catalog_complete=dataset.is_catalog_complete,
            items_from=dataset.items_from,
            offers_from=dataset.offers_from,
        )


@dataclass(frozen=True)
class Rankers:
    """Learned rankers, each trained for its own task; unfitted where the blend of the sources orders a list.

    Attributes:
        next: what a user buys next, whether bought before or not.
        new: what a user buys for the first time.
        pairs: what is in a basket with an item; the lists of `copurchase` are ordered by it already.
    """

    next: Ranker = NO_RANKER
    new: Ranker = NO_RANKER
    pairs: Ranker = NO_RANKER


@dataclass(frozen=True)
class Engine:
    """Frozen models over one shop's items and users; rows of every array are rows of these tables.

    Attributes:
        items_table: one row per item: the columns of `schema.ITEMS` and the shop's own.
        users_table: one row per user: the columns of `schema.USERS` and the shop's own.
        index: the hybrid embedding, searchable.
        segments: what the segments of users are computed with.
        offers: prices and availability by region, store and channel; see `recsys.pipeline.offer_view`.
        is_visitor: bool (n_users,), as in `Dataset`.
    """

    config: EngineConfig
    dataset_info: FittedDataInfo
    items_table: pl.DataFrame
    users_table: pl.DataFrame
    catalog: Catalog
    history: History
    popularity: PopularityModel
    repeat: RepeatModel
    als: ALSModel
    content: ContentModel
    hybrid: HybridModel
    affinity: AffinityModel
    ease: EASEModel
    copurchase: CopurchaseModel
    sequence: SequenceModel
    timeofday: TimeOfDayModel
    index: FlatIndex
    rankers: Rankers = field(default_factory=Rankers)
    blends: Blends = field(default_factory=Blends)
    segments: SegmentModel = NO_SEGMENTS
    offers: Offers = NO_KNOWN_OFFERS
    item_sets: ItemSetModel = NO_ITEM_SETS
    replenishment: ReplenishmentModel = NO_REPLENISHMENT
    festival_lifts: FestivalLifts = NO_FESTIVAL_LIFTS
    first_orders: FirstOrders = NO_FIRST_ORDERS
    is_visitor: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    @cached_property
    def items(self) -> IdMap:
        """Map between item ids and rows."""
        return IdMap(tuple(self.items_table["item_id"]))

    @cached_property
    def variants(self) -> ProductVariants:
        """The variants of products, the best-selling ones first; the same for all states of the catalog."""
        names = ("item_id", "item_group_id")  # column by column, as a live table has no other way to be read
        return list_variants(pl.DataFrame({name: self.items_table[name] for name in names}), self.popularity.share)

    def item_row(self, item_id: str) -> int:
        """Return the row of an item, or of a variant of a product that can be bought; `UNKNOWN` for neither."""
        row = self.items.row(item_id)
        if row != UNKNOWN or not self.catalog.has_groups:
            return row
        return self.variants.row(item_id, self.catalog.available)

    def item_rows(self, item_ids: Iterable[str]) -> npt.NDArray[np.int32]:
        """Return the row of each id, int32 (n,); see `item_row`."""
        return np.fromiter(map(self.item_row, item_ids), np.int32)

    @cached_property
    def n_items(self) -> int:
        """Number of items of the catalog."""
        return len(self.items)

    @cached_property
    def has_offers(self) -> bool:
        """Whether any offer is known."""
        return len(self.offers) > 0

    @cached_property
    def users(self) -> IdMap:
        """Map between user ids and rows."""
        return IdMap(tuple(self.users_table["user_id"]))

    @cached_property
    def is_named(self) -> npt.NDArray[np.bool_]:
        """Users who are more than one session, bool (n_users,)."""
        return np.fromiter((not key.startswith(SESSION) for key in self.users.ids), np.bool_, len(self.users))

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """Display name of each item: its title, else its id."""
        return tuple(self.items_table.select(pl.coalesce("title", "item_id")).to_series())

    @cached_property
    def is_tail(self) -> npt.NDArray[np.bool_]:
        """Items outside the head that makes half of all purchases, bool (n_items,)."""
        return ~self.popularity.is_head

    @cached_property
    def listable(self) -> Mapping[str, npt.NDArray[np.bool_] | None]:
        """Items that may be listed, by the pool of a placement, bool (n_items,); None for all."""
        available = self.catalog.available
        if self.dataset_info.service_items:
            available = available.copy()
            rows = self.items.rows(self.dataset_info.service_items)
            available[rows[rows >= 0]] = False
        return {"all": None if available.all() else available, "tail": available & self.is_tail}

    @cached_property
    def share_in_type(self) -> npt.NDArray[np.float32]:
        """Each item's share of its type's sales, float32 (n_items,), in [0, 1]; of all sales for unknown types."""
        types, share = self.catalog.item_type, self.popularity.share
        of_type = np.bincount(types + 1, share, minlength=1)
        return (share / np.maximum(np.where(types >= 0, of_type[types + 1], 1), 1e-12)).astype(np.float32)

    @cached_property
    def created_at_s(self) -> npt.NDArray[np.int64]:
        """Time of each item's creation, int64 (n_items,), seconds since 1970; 0 where it is not known."""
        return self.items_table.select(pl.col("created_at").dt.epoch("s").fill_null(0)).to_series().to_numpy()

    @cached_property
    def list_price(self) -> npt.NDArray[np.float32]:
        """List price of each item, float32 (n_items,), NaN for unknown."""
        return self.items_table["list_price"].cast(pl.Float32).fill_null(float("nan")).to_numpy()

    @cached_property
    def newest(self) -> npt.NDArray[np.int32]:
        """Items whose creation is known, the newest first, int32."""
        created = self.created_at_s
        known = np.flatnonzero(created > 0)
        return known[np.lexsort((known, -created[known]))].astype(np.int32)

    @cached_property
    def by_popularity(self) -> npt.NDArray[np.int32]:
        """All items, best-selling first, int32 (n_items,)."""
        share = self.popularity.share
        return np.lexsort((np.arange(len(share)), -share)).astype(np.int32)

    @cached_property
    def sales_by_bucket(self) -> SalesByBucket:
        """The items that sell in each part of the day."""
        return SalesByBucket(self.popularity.share, self.timeofday.lift)

    @cached_property
    def user_timezones(self) -> tuple[str | None, ...]:
        """Each user's own zone, None for the shop's."""
        return tuple(self.users_table["timezone"])

    @cached_property
    def is_opted_out(self) -> npt.NDArray[np.bool_]:
        """Users who opted out of personalization, bool (n_users,)."""
        return (~self.users_table["personalization"].fill_null(True)).to_numpy()

    @cached_property
    def catalog_price(self) -> npt.NDArray[np.float32]:
        """Price of each item without offers, float32 (n_items,), NaN for unknown."""
        return self.catalog.price

    def known_from(self, row: int) -> float:
        """Return when the row of an item is from, seconds since 1970.

        It is the `updated_at` of the row, else the moment of the file of items, else the end of the data.
        """
        updated_at = self.items_table[np.array([row])]["updated_at"][0] if row < len(self.items_table) else None
        if isinstance(updated_at, datetime):
            return updated_at.timestamp()
        return self.dataset_info.items_from or float(self.dataset_info.end)

    @cached_property
    def tag_masks(self) -> FilterCache:
        """Masks of the items with the tags of occasions, kept until the catalog changes."""
        return FilterCache(TAG_MASK_BYTES)

    @cached_property
    def past_terms(self) -> PastTermsOf:
        """Earlier prices and availability of items that have changed since the training; none by itself."""
        return NO_PAST_TERMS

    @cached_property
    def state(self) -> object:
        """Key of this state of the catalog; no other engine has the same."""
        return object()

    @cached_property
    def general_state(self) -> object:
        """Key of this state of the columns that offers do not change; `state` of the engine without offers applied."""
        return self.state

    @cached_property
    def offered(self) -> SharedCache[OffersKey, Any]:
        """The catalog with offers applied (`recsys.pipeline.offer_view`), by what decides which offers apply."""
        return SharedCache(max(2, OFFERED_BYTES // (OFFERED_ITEM_BYTES * max(len(self.items_table), 1))))

    def with_computed(self, **values: Any) -> Engine:
        """Return a copy with the given values of cached properties, which are then not computed again.

        Args:
            **values: by name of the property.

        Raises:
            TypeError: a name is not that of a cached property.
        """
        for name in values:
            if not isinstance(vars(Engine).get(name), cached_property):
                raise TypeError(f"{name!r} is not a cached property of Engine")
        engine = replace(self)
        engine.__dict__.update(values)
        return engine
