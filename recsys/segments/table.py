"""All segments of users as one table: the same code for everybody and for one user."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import UNKNOWN
from recsys.core.schema import SEGMENTS
from recsys.data.catalog import Catalog
from recsys.data.dataset import Dataset
from recsys.segments.churn import ChurnModel, fit_churn
from recsys.segments.config import SegmentConfig
from recsys.segments.habits import N_HOURS, N_WEEKDAYS, InterestModel, Touches, fit_interests, habitual, top_interests
from recsys.segments.life_cycle import STAGES, life_cycle
from recsys.segments.order_stats import OrderStats
from recsys.segments.slowing import is_slowing
from recsys.segments.value import (
    RFM,
    ValueLimits,
    discount_share,
    fit_value_limits,
    is_high_value,
    measure_rfm,
    rfm_scores,
)
from recsys.segments.visits import Visits, dataset_visits, no_visits

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SegmentModel:
    """What the segments of one shop are computed with.

    Attributes:
        config: limits.
        visits: visits of all users of the bundle.
        channels: names of the channels of the visits.
        limits: limits of value, fitted on the buyers.
        interests: categories.
        churn: the next order.
        is_fitted: whether training fitted segments.
    """

    config: SegmentConfig = field(default_factory=SegmentConfig)
    visits: Visits = field(default_factory=lambda: no_visits(0))
    channels: tuple[str, ...] = ()
    limits: ValueLimits = field(default_factory=ValueLimits)
    interests: InterestModel = field(default_factory=InterestModel)
    churn: ChurnModel = field(default_factory=ChurnModel)
    is_fitted: bool = False


NO_SEGMENTS: Final = SegmentModel()


@dataclass(frozen=True)
class Shoppers:
    """What is known about some users up to a moment.

    Attributes:
        user_ids: the shop's ids.
        visits: their visits, in the order of `user_ids`.
        touches: their events with items; rows of users as in `user_ids`.
        created_at: float64 (n_users,), creation of each account, seconds since 1970, NaN for unknown.
        now: seconds since 1970.
    """

    user_ids: Sequence[str]
    visits: Visits
    touches: Touches
    created_at: Numbers
    now: int


def fit_segments(dataset: Dataset, catalog: Catalog, config: SegmentConfig, rng: np.random.Generator) -> SegmentModel:
    """Fit the segments of a shop; the unfitted model where they are turned off.

    Args:
        dataset: the shop.
        catalog: its categories.
        config: settings.
        rng: draws samples.
    """
    if not config.enabled:
        return NO_SEGMENTS
    visits = dataset_visits(dataset, config.value.min_discount)
    created_at = created_seconds(dataset.profiles["created_at"])
    stats = OrderStats(visits, created_at, dataset.end)
    has_discounts = bool(dataset.catalog["list_price"].is_not_null().any())
    events = dataset.events
    touches = Touches(events.user_idx, catalog.item_type[events.item_idx], events.event_type)
    return SegmentModel(
        config=config,
        visits=visits,
        channels=dataset.channels,
        limits=fit_value_limits(stats, config.rfm, config.value, has_discounts=has_discounts),
        interests=fit_interests(touches, catalog),
        churn=fit_churn(visits, created_at, dataset.end, config.churn, rng),
        is_fitted=True,
    )


def segment_table(
    model: SegmentModel, shoppers: Shoppers, channels: Sequence[str] = (), names: Collection[str] = tuple(SEGMENTS)
) -> pl.DataFrame:
    """Compute the segments of users.

    Args:
        model: the shop's.
        shoppers: the users.
        channels: names of the channels of the visits; those of the model if empty.
        names: the segments to compute, of `schema.SEGMENTS`.

    Returns:
        One row per user: `user_id` and the segments; null for what is not known.
    """
    values = SegmentValues(model, shoppers, tuple(channels or model.channels))
    ids = pl.Series("user_id", shoppers.user_ids, dtype=pl.String)
    return pl.DataFrame([ids, *(values.column(name).cast(SEGMENTS[name]).alias(name) for name in names)])


@dataclass(frozen=True)
class SegmentValues:
    """The segments of some users, each computed when it is asked for.

    Attributes:
        model: the shop's.
        shoppers: the users.
        channels: names of the channels of the visits.
    """

    model: SegmentModel
    shoppers: Shoppers
    channels: tuple[str, ...]

    def column(self, name: str) -> pl.Series:
        """Return one segment of all users."""
        return COLUMNS[name](self)

    @cached_property
    def stats(self) -> OrderStats:
        """Visits and orders up to the moment."""
        return OrderStats(self.shoppers.visits.until(self.shoppers.now), self.shoppers.created_at, self.shoppers.now)

    @cached_property
    def rfm(self) -> RFM:
        """Recency, frequency and money."""
        return measure_rfm(self.stats, self.model.config.rfm.window_days)

    @cached_property
    def scores(self) -> tuple[Numbers, Numbers, Numbers]:
        """Scores of recency, frequency and money."""
        return rfm_scores(self.rfm, self.model.limits)

    @cached_property
    def repeat_probability(self) -> Numbers:
        """Probability of an order within the horizon."""
        return self.model.churn.repeat_probability(self.stats)

    def habit(self, values: npt.NDArray[np.integer], n_values: int, *, circular: bool = False) -> npt.NDArray[np.int64]:
        """Return the most frequent value of each user's visits, -1 without a habit."""
        return habitual(self.stats.visits, values, n_values, self.model.config.habits.min_visits, circular=circular)


COLUMNS: Final[Mapping[str, Callable[[SegmentValues], pl.Series]]] = {
    "life_cycle": lambda of: _named(life_cycle(of.stats, of.model.config.life_cycle), STAGES),
    "is_high_value": lambda of: _floats(is_high_value(of.stats, of.rfm, of.model.limits, of.model.config.value)),
    "n_orders": lambda of: pl.Series(of.stats.n_orders),
    "average_order": lambda of: _floats(of.stats.mean_order),
    "rfm_recency": lambda of: _floats(of.scores[0]),
    "rfm_frequency": lambda of: _floats(of.scores[1]),
    "rfm_monetary": lambda of: _floats(of.scores[2]),
    "discount_share": lambda of: _floats(discount_share(of.stats, of.model.limits)),
    "interests": lambda of: _interests(of.model, of.shoppers),
    "habitual_hour": lambda of: _codes(of.habit(of.stats.visits.hour, N_HOURS, circular=True)),
    "habitual_weekday": lambda of: _codes(of.habit(of.stats.visits.weekday - 1, N_WEEKDAYS), first=1),
    "habitual_channel": lambda of: _named(of.habit(of.stats.visits.channel, max(len(of.channels), 1)), of.channels),
    "repeat_probability": lambda of: _floats(of.repeat_probability),
    "churn_probability": lambda of: _floats(1 - of.repeat_probability),
    "lifetime_value": lambda of: _floats(of.model.churn.lifetime_value(of.stats)),
    "is_slowing": lambda of: _floats(is_slowing(of.stats, of.model.config.slowing)),
}
"""How each segment is computed, by its name."""


def created_seconds(created_at: pl.Series) -> Numbers:
    """Return times as seconds since 1970, float64 (n,), NaN for null."""
    return created_at.dt.epoch("s").cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _interests(model: SegmentModel, shoppers: Shoppers) -> pl.Series:
    """Return the list of categories of each user; null for a user without any event."""
    touches, n_users, config = shoppers.touches, len(shoppers.user_ids), model.config.habits
    user, category = top_interests(touches, model.interests, config, n_users)
    rank = np.arange(len(user)) - np.searchsorted(user, user, side="left")
    ranked = np.full((config.n_interests, n_users), UNKNOWN, np.int64)
    ranked[rank, user] = category
    names = pl.DataFrame([_named(row, model.interests.names).alias(str(n)) for n, row in enumerate(ranked)])
    is_active = pl.Series(np.bincount(touches.user_idx, minlength=n_users) > 0)
    return names.select(pl.when(is_active).then(pl.concat_list(pl.all()).list.drop_nulls())).to_series()


def _floats(values: Numbers) -> pl.Series:
    return pl.Series(values.astype(np.float64), nan_to_null=True)


def _codes(values: npt.NDArray[np.int64], first: int = 0) -> pl.Series:
    """Return codes from 0 as numbers from `first`; null for -1."""
    return _floats(np.where(values >= 0, values + first, np.nan))


def _named(values: npt.NDArray[np.integer], names: Sequence[str]) -> pl.Series:
    """Return the name of each code; null for -1."""
    return pl.Series([*names, None], dtype=pl.String)[np.where(values >= 0, values, len(names))]
