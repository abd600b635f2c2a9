"""All models of one shop, fitted together at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.core.ids import IdMap
from recsys.data.catalog import Catalog, read_catalog
from recsys.data.dataset import Dataset
from recsys.data.history import History, HistoryConfig, build_history
from recsys.data.offers import NOTHING_OFFERED, Held, Offers
from recsys.models.collaborative.affinity import AffinityConfig, AffinityModel, fit_affinity
from recsys.models.collaborative.als import ALSConfig, ALSModel, fit_als, weigh_events
from recsys.models.collaborative.ease import EASEConfig, EASEModel, fit_ease
from recsys.models.content.content import ContentConfig, ContentModel, fit_content
from recsys.models.content.hybrid import HybridConfig, HybridModel, fit_hybrid
from recsys.models.pairs.copurchase import CopurchaseConfig, CopurchaseModel, fit_copurchase
from recsys.models.temporal.popularity import PopularityConfig, PopularityModel, fit_popularity
from recsys.models.temporal.repeat import RepeatConfig, RepeatModel, fit_repeat
from recsys.models.temporal.timeofday import TimeOfDayConfig, TimeOfDayModel, fit_timeofday
from recsys.ranking.ranker import NO_RANKER, Ranker, RankerConfig
from recsys.search.vector_index import FlatIndex

OFFERED_BYTES: Final = 256 * 2**20
"""Memory for catalogues with the prices and availability of offers in place."""

OFFERED_ITEM_BYTES: Final = 24
"""What one of them takes an item: price and availability, as arrays and as columns, and the masks of pools."""


@dataclass(frozen=True)
class EngineConfig:
    """Settings of every model; a training job's TOML has one table an attribute.

    Attributes:
        seed: start of all randomness, >= 0.
        replaceable_cosine: items of unknown type whose content is at least this alike can replace each other.
    """

    seed: int = 0
    replaceable_cosine: float = 0.6
    history: HistoryConfig = field(default_factory=HistoryConfig)
    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    repeat: RepeatConfig = field(default_factory=RepeatConfig)
    als: ALSConfig = field(default_factory=ALSConfig)
    content: ContentConfig = field(default_factory=ContentConfig)
    hybrid: HybridConfig = field(default_factory=HybridConfig)
    affinity: AffinityConfig = field(default_factory=AffinityConfig)
    ease: EASEConfig = field(default_factory=EASEConfig)
    copurchase: CopurchaseConfig = field(default_factory=CopurchaseConfig)
    timeofday: TimeOfDayConfig = field(default_factory=TimeOfDayConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)


@dataclass(frozen=True)
class Shop:
    """What the models were fitted on, beside the arrays.

    Attributes:
        timezone: the shop's IANA zone.
        goal: code of the event that counts as a purchase.
        end: seconds since 1970 of the last event, 0 with no events.
        has_hours: whether its times are finer than a day; True with no events.
        mean_rating: of all ratings, 0 with none.
        store_seq: number of the live log up to which its events and changes were in the tables.
        merged: ids that the tables had joined to others by then.
        merged_into: of each of these, the id that it was joined to.
    """

    timezone: str
    goal: int
    end: int
    has_hours: bool = True
    mean_rating: float = 0.0
    store_seq: int = 0
    merged: tuple[str, ...] = ()
    merged_into: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> Shop:
        """What a dataset says of its shop."""
        return cls(
            timezone=dataset.timezone,
            goal=dataset.goal,
            end=dataset.end,
            has_hours=dataset.has_hours or not len(dataset.events),
            mean_rating=dataset.mean_rating,
            store_seq=dataset.store_seq,
            merged=tuple(dataset.merges),
            merged_into=tuple(dataset.merges.values()),
        )


@dataclass(frozen=True)
class Rankers:
    """What orders the candidates of a list, each trained on its own question; empty where the blend serves.

    Attributes:
        next: what a shopper takes next, bought before or not.
        new: what a shopper takes for the first time.
        pairs: what is in a basket beside an item; it has ordered the lists of `copurchase` already.
    """

    next: Ranker = NO_RANKER
    new: Ranker = NO_RANKER
    pairs: Ranker = NO_RANKER


@dataclass(frozen=True)
class Engine:
    """Frozen models over one shop's items and users; rows of every array are rows of these tables.

    Attributes:
        items_table: one row an item: the columns of `schema.ITEMS` and the shop's own.
        users_table: one row a user: the columns of `schema.USERS` and the shop's own.
        index: the hybrid embedding, searchable.
        offers: prices and availability by region, store and channel; see `recsys.offered`.
    """

    config: EngineConfig
    shop: Shop
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
    timeofday: TimeOfDayModel
    index: FlatIndex
    rankers: Rankers = field(default_factory=Rankers)
    offers: Offers = NOTHING_OFFERED

    @cached_property
    def items(self) -> IdMap:
        """Items' ids and rows."""
        return IdMap(tuple(self.items_table["item_id"]))

    @cached_property
    def users(self) -> IdMap:
        """Users' ids and rows."""
        return IdMap(tuple(self.users_table["user_id"]))

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """What to call each item: its title, else its id."""
        return tuple(self.items_table.select(pl.coalesce("title", "item_id")).to_series())

    @cached_property
    def is_tail(self) -> npt.NDArray[np.bool_]:
        """Items outside the head that makes half of all purchases, bool (n_items,)."""
        return ~self.popularity.is_head

    @cached_property
    def listable(self) -> Mapping[str, npt.NDArray[np.bool_] | None]:
        """By pool of a placement, the items that may be listed, bool (n_items,); None for all."""
        available = self.catalog.available
        return {"all": None if available.all() else available, "tail": available & self.is_tail}

    @cached_property
    def share_in_type(self) -> npt.NDArray[np.float32]:
        """Each item's part of its type's sales, float32 (n_items,), in [0, 1]; of all sales where it has no type."""
        types, share = self.catalog.item_type, self.popularity.share
        of_type = np.bincount(types + 1, share, minlength=1)
        return (share / np.maximum(np.where(types >= 0, of_type[types + 1], 1), 1e-12)).astype(np.float32)

    @cached_property
    def by_popularity(self) -> npt.NDArray[np.int32]:
        """All items, best selling first, int32 (n_items,)."""
        share = self.popularity.share
        return np.lexsort((np.arange(len(share)), -share)).astype(np.int32)

    @cached_property
    def user_timezones(self) -> tuple[str | None, ...]:
        """Each user's own zone, None for the shop's."""
        return tuple(self.users_table["timezone"])

    @cached_property
    def is_opted_out(self) -> npt.NDArray[np.bool_]:
        """Users who want only lists that need no history, bool (n_users,)."""
        return (~self.users_table["personalization"].fill_null(True)).to_numpy()

    @cached_property
    def state(self) -> object:
        """Names this state of the catalogue: no other engine has the same."""
        return object()

    @cached_property
    def general_state(self) -> object:
        """Names this state of all columns that no offer speaks of: `state`, but of a catalogue with offers in place."""
        return self.state

    @cached_property
    def offered(self) -> Held[Engine]:
        """This engine with offers in place, by their standing."""
        return Held(max(2, OFFERED_BYTES // (OFFERED_ITEM_BYTES * max(len(self.items_table), 1))))


Progress = Callable[[str], None]
"""Told the name of each stage as it begins."""


def fit_models(
    dataset: Dataset,
    config: EngineConfig,
    now: int | None = None,
    progress: Progress = lambda stage: None,
    *,
    for_shoppers_only: bool = False,
) -> Engine:
    """Fit every model on what is known of a shop; the candidates of its lists are then ordered by the blend.

    Args:
        dataset: the shop; cut it with `Dataset.until` to look at the past.
        config: settings.
        now: seconds since 1970 that ages count from; the end of the data if not given.
        progress: told the stages.
        for_shoppers_only: leave out the precomputed lists that no shopper's list needs, to save time.
    """
    now = dataset.end if now is None else now
    rng = np.random.default_rng(config.seed)
    progress("catalogue")
    catalog = read_catalog(dataset.catalog)
    progress("popularity")
    popularity = fit_popularity(dataset, config.popularity, now)
    progress("repeat purchases")
    repeat = fit_repeat(dataset, catalog, config.repeat)
    progress("time of day")
    timeofday = fit_timeofday(dataset, catalog, config.timeofday)
    progress("content")
    content = fit_content(dataset.catalog, config.content, rng)
    progress("collaborative filtering")
    als = _fit_als(dataset, config.als, now, rng)
    progress("hybrid embedding")
    hybrid = fit_hybrid(
        als.item_factors,
        content.embedding,
        popularity.n_buyers,
        catalog,
        config.hybrid,
        with_similar=not for_shoppers_only,
    )
    progress("co-purchase")
    copurchase = fit_copurchase(
        dataset,
        catalog,
        config.copurchase,
        now,
        _replaceable_by(content, config.replaceable_cosine),
        of_bought_only=for_shoppers_only,
    )
    progress("history and index")
    return Engine(
        config=config,
        shop=Shop.of(dataset),
        items_table=dataset.catalog,
        users_table=dataset.profiles,
        catalog=catalog,
        history=build_history(dataset, config.history),
        popularity=popularity,
        repeat=repeat,
        als=als,
        content=content,
        hybrid=hybrid,
        affinity=fit_affinity(catalog, popularity.share, config.affinity),
        ease=fit_ease(count_successes(dataset), config.ease),
        copurchase=copurchase,
        timeofday=timeofday,
        index=FlatIndex.build(hybrid.vectors),
        offers=Offers(dataset.offers),
    )


def _fit_als(dataset: Dataset, config: ALSConfig, now: int, rng: np.random.Generator) -> ALSModel:
    events = dataset.events
    age_s = np.maximum(now - events.timestamp, 0)
    shape = (len(dataset.users), len(dataset.items))
    user_items = weigh_events(events.user_idx, events.item_idx, events.kind, age_s, shape, config, events.strength)
    return fit_als(user_items, config, rng)


def count_successes(dataset: Dataset) -> sparse.csr_matrix:
    """How often each shopper took each item, float32 CSR (n_users, n_items)."""
    bought = dataset.successes
    bought = bought.take(bought.user_idx >= 0)
    shape = (len(dataset.users), len(dataset.items))
    return sparse.csr_matrix((np.ones(len(bought), np.float32), (bought.user_idx, bought.item_idx)), shape=shape)


def _replaceable_by(
    content: ContentModel, min_cosine: float
) -> Callable[[int, npt.NDArray[np.int32]], npt.NDArray[np.bool_]]:
    return lambda item, candidates: content.similarity(item, candidates) >= min_cosine
