"""Settings of the segments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from recsys.core.config.ranges import ASCENDING, PositiveFloat, PositiveInt, PositiveShare, Share

Limits = Annotated[tuple[PositiveFloat, ...], Meta(extra={ASCENDING: True})]


@dataclass(frozen=True)
class LifeCycleConfig:
    """Limits of the life cycle, in days.

    Attributes:
        away_days: days without any visit after which a user who comes back is returning.
        returning_days: days that a user stays returning after the first order since then.
        lost_days: days without any visit from which a user is lost.
        dormant_days: days without any visit from which a user is dormant.
        new_days: days that a user is new, since the first visit or the account's creation.
        first_days: days that a new buyer is in the first week.
        growing_days: days since the first order during which a user is growing.
    """

    away_days: PositiveFloat = 90.0
    returning_days: PositiveFloat = 30.0
    lost_days: PositiveFloat = 180.0
    dormant_days: PositiveFloat = 90.0
    new_days: PositiveFloat = 30.0
    first_days: PositiveFloat = 7.0
    growing_days: PositiveFloat = 90.0


@dataclass(frozen=True)
class RFMConfig:
    """Scores of recency, frequency and money.

    Attributes:
        window_days: days whose orders count for frequency and money.
        n_levels: number of scores, where the limits are quantiles of the buyers.
        recency_limits: days since the last order that separate the scores; empty for quantiles.
        frequency_limits: numbers of orders that separate the scores; empty for quantiles.
        monetary_limits: sums of money that separate the scores; empty for quantiles.
    """

    window_days: PositiveFloat = 365.0
    n_levels: Annotated[int, Meta(ge=2, le=100)] = 5
    recency_limits: Limits = ()
    frequency_limits: Limits = ()
    monetary_limits: Limits = ()


@dataclass(frozen=True)
class ValueConfig:
    """Users of high value: the top by money, and frequent buyers of large orders.

    Attributes:
        top_share: share of the buyers that are of high value by their money in the window of RFM.
        max_interval_days: longest mean interval between orders of a frequent buyer.
        min_order_ratio: smallest mean order of such a buyer, divided by the mean order of the shop.
        min_discount: share below the list price from which a line was bought at a discount.
    """

    top_share: Share = 0.2
    max_interval_days: PositiveFloat = 15.0
    min_order_ratio: PositiveFloat = 2.0
    min_discount: PositiveShare = 0.05


@dataclass(frozen=True)
class HabitConfig:
    """Habits and interests.

    Attributes:
        min_visits: visits without which a user has no habitual hour, weekday or channel.
        n_interests: largest number of categories per user.
        min_touches: purchases of a category without which it is no interest; four other events count as one purchase.
        shrinkage: number of purchases that the shop's shares of the categories count as.
    """

    min_visits: PositiveInt = 3
    n_interests: PositiveInt = 3
    min_touches: PositiveFloat = 2.0
    shrinkage: PositiveFloat = 5.0


@dataclass(frozen=True)
class SlowingConfig:
    """The alarm for users who order less often than before.

    Attributes:
        recent_days: days that are compared.
        before_days: days before them.
        max_ratio: orders per day in the recent days, divided by those before, up to which the alarm is raised.
        max_p_value: probability of so few recent orders at an unchanged rate, up to which the alarm is raised.
    """

    recent_days: PositiveFloat = 60.0
    before_days: PositiveFloat = 180.0
    max_ratio: PositiveShare = 0.5
    max_p_value: PositiveShare = 0.05


@dataclass(frozen=True)
class ChurnConfig:
    """Probability of the next order, and the value of a user's next orders.

    Attributes:
        horizon_days: a user who does not order within this number of days churns.
        n_cutoffs: past moments whose buyers the models learn from; the latest one chooses the model.
        min_buyers: buyers without which nothing is learned from past moments.
        max_users: users that are learned from, a random sample of all.
        lifetime_days: days whose expected orders make the lifetime value.
    """

    horizon_days: PositiveFloat = 28.0
    n_cutoffs: Annotated[int, Meta(ge=2, le=50)] = 6
    min_buyers: PositiveInt = 50
    max_users: PositiveInt = 100_000
    lifetime_days: PositiveFloat = 365.0


@dataclass(frozen=True)
class SegmentConfig:
    """Settings of the segments of users.

    Attributes:
        enabled: whether training fits segments.
    """

    enabled: bool = True
    life_cycle: LifeCycleConfig = field(default_factory=LifeCycleConfig)
    rfm: RFMConfig = field(default_factory=RFMConfig)
    value: ValueConfig = field(default_factory=ValueConfig)
    habits: HabitConfig = field(default_factory=HabitConfig)
    slowing: SlowingConfig = field(default_factory=SlowingConfig)
    churn: ChurnConfig = field(default_factory=ChurnConfig)
