"""All segments of users as one table: the same code for everybody and for one user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

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
    touches = Touches(events.user_idx, events.item_idx, events.event_type)
    return SegmentModel(
        config=config,
        visits=visits,
        channels=dataset.channels,
        limits=fit_value_limits(stats, config.rfm, config.value, has_discounts=has_discounts),
        interests=fit_interests(touches, catalog),
        churn=fit_churn(visits, created_at, dataset.end, config.churn, rng),
        is_fitted=True,
    )


def segment_table(model: SegmentModel, shoppers: Shoppers, channels: Sequence[str] = ()) -> pl.DataFrame:
    """Compute the segments of users.

    Args:
        model: the shop's.
        shoppers: the users.
        channels: names of the channels of the visits; those of the model if empty.

    Returns:
        One row per user: `user_id` and the columns of `schema.SEGMENTS`; null for what is not known.
    """
    config, stats = model.config, OrderStats(shoppers.visits.until(shoppers.now), shoppers.created_at, shoppers.now)
    rfm = measure_rfm(stats, config.rfm.window_days)
    scores = rfm_scores(rfm, model.limits)
    repeat = model.churn.repeat_probability(stats)
    stage = life_cycle(stats, config.life_cycle)
    visits, min_visits = stats.visits, config.habits.min_visits
    columns: dict[str, pl.Series] = {
        "life_cycle": _named(stage, STAGES),
        "is_high_value": _floats(is_high_value(stats, rfm, model.limits, config.value)),
        "n_orders": pl.Series(stats.n_orders),
        "average_order": _floats(stats.mean_order),
        "rfm_recency": _floats(scores[0]),
        "rfm_frequency": _floats(scores[1]),
        "rfm_monetary": _floats(scores[2]),
        "discount_share": _floats(discount_share(stats, model.limits)),
        "interests": _interests(model, shoppers),
        "habitual_hour": _codes(habitual(visits, visits.hour, N_HOURS, min_visits, circular=True)),
        "habitual_weekday": _codes(habitual(visits, visits.weekday - 1, N_WEEKDAYS, min_visits), first=1),
        "habitual_channel": _named(
            habitual(visits, visits.channel, max(len(channels or model.channels), 1), min_visits),
            tuple(channels or model.channels),
        ),
        "repeat_probability": _floats(repeat),
        "churn_probability": _floats(1 - repeat),
        "lifetime_value": _floats(model.churn.lifetime_value(stats)),
        "is_slowing": _floats(is_slowing(stats, config.slowing)),
    }
    ids = pl.Series("user_id", shoppers.user_ids, dtype=pl.String)
    return pl.DataFrame([ids, *(columns[name].cast(dtype).alias(name) for name, dtype in SEGMENTS.items())])


def created_seconds(created_at: pl.Series) -> Numbers:
    """Return times as seconds since 1970, float64 (n,), NaN for null."""
    return created_at.dt.epoch("s").cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _interests(model: SegmentModel, shoppers: Shoppers) -> pl.Series:
    """Return the list of categories of each user; null for a user without any event."""
    touches, n_users = shoppers.touches, len(shoppers.user_ids)
    user, category = top_interests(touches, model.interests, model.config.habits, n_users)
    names = pl.Series(model.interests.names, dtype=pl.String).gather(pl.Series(category, dtype=pl.UInt32))
    lists = pl.DataFrame({"user": user, "name": names}).group_by("user", maintain_order=True).agg("name")
    rows = pl.DataFrame({"user": np.arange(n_users, dtype=np.int64)})
    found = rows.join(lists, on="user", how="left", maintain_order="left")["name"]
    active = np.bincount(touches.user_idx, minlength=n_users) > 0
    empty = pl.Series([[]], dtype=pl.List(pl.String))
    return pl.select(pl.when(pl.Series(active)).then(pl.coalesce(found, empty))).to_series()


def _floats(values: Numbers) -> pl.Series:
    return pl.Series(values.astype(np.float64)).fill_nan(None)


def _codes(values: npt.NDArray[np.int64], first: int = 0) -> pl.Series:
    """Return codes from 0 as numbers from `first`; null for -1."""
    return pl.select(pl.when(pl.Series(values) >= 0).then(pl.Series(values) + first)).to_series()


def _named(values: npt.NDArray[np.integer], names: Sequence[str]) -> pl.Series:
    """Return the name of each code; null for -1."""
    return pl.Series([*names, None], dtype=pl.String).gather(
        pl.Series(np.where(values >= 0, values, len(names)), dtype=pl.UInt32)
    )
