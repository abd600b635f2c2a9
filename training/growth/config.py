"""The settings of the growth reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from recsys.core.config.ranges import PositiveFloat, PositiveInt, Share

Fraction = Annotated[float, Meta(gt=0, lt=1)]


@dataclass(frozen=True)
class GrowthConfig:
    """Settings of `recsys report`.

    Attributes:
        window_days: length in days of the window that a report is about, and of the one before it that it is compared
            with.
        payment_hours: hours after the first item of a cart within which an order pays for it.
        active_days: days after an order for which a person is an active customer.
        new_item_days: age in days up to which an item is new.
        head_share: share of all purchases that defines the head where no bundle does: the fewest items that make it.
        attribution_days: days after a list in which an event counts for it.
        max_cart_loss: share of carts without payment above which there is an alert.
        max_fall: alert where a rate is worse than its mean over the periods before by more than this share of it.
        min_cases: fewer carts, people or impressions than this raise no alert.
    """

    window_days: PositiveInt = 28
    payment_hours: PositiveFloat = 24.0
    active_days: PositiveInt = 90
    new_item_days: PositiveInt = 30
    head_share: Fraction = 0.5
    attribution_days: PositiveFloat = 7.0
    max_cart_loss: Share = 0.3
    max_fall: Share = 0.2
    min_cases: PositiveInt = 30
