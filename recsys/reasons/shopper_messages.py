"""The texts of reasons in messages to shoppers, where the catalog's own one is for those who run the shop."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from recsys.reasons.messages import Locale

SHOPPER_MESSAGES: Final[Mapping[Locale, Mapping[str, str]]] = MappingProxyType(
    {
        "en": {
            "due_again": "you {did} it {n_baskets:times}; due {due_at:date}",
            "due_a_second_time": "you {did} it {n_baskets:times}; due {due_at:date}",
            "shoppers_alike": "{did} by shoppers with a taste like yours",
            "bought_together": "often {did} together with {title}",
            "often_bought_together": "often {did} together with {title}",
            "item_set": "often {did} together",
            "popular": "a bestseller of the shop",
            "hour": "popular from {from_hour} to {to_hour} h",
            "niche": "off the beaten track",
            "replenishment_due": "you {did} it {last_days_ago:ago}; due {due_in_days:in_days}",
            "replenishment_due_about": "you {did} it {last_days_ago:ago}; due about {due_in_days:in_days}",
            "replenishment_overdue": "you {did} it {last_days_ago:ago}; it may have run out",
            "replenishment_overdue_about": "you {did} it {last_days_ago:ago}; it may have run out",
            "lapsed_favorite": "you {did} it {n_baskets:times}, last {last_days_ago:ago}",
            "trending": "trending these days",
            "festival_sold": "popular for {occasion:occasion}, {days:in_days}",
            "first_order": "popular for a first order",
        },
        "zh": {
            "due_again": "您{do}过{n_baskets:times}，{due_at:date}左右该再{do}了",
            "due_a_second_time": "您{do}过{n_baskets:times}，{due_at:date}左右该再{do}了",
            "shoppers_alike": "与您喜好相近的顾客{do}过它",
            "bought_together": "常与“{title}”一起{do}",
            "often_bought_together": "常与“{title}”一起{do}",
            "item_set": "常一起{do}",
            "popular": "店铺热门",
            "hour": "{from_hour}点到{to_hour}点的热门",
            "niche": "小众之选",
            "replenishment_due": "您{last_days_ago:ago}{do}过它，预计{due_in_days:in_days}用完",
            "replenishment_due_about": "您{last_days_ago:ago}{do}过它，大约{due_in_days:in_days}用完",
            "replenishment_overdue": "您{last_days_ago:ago}{do}过它，可能已经用完",
            "replenishment_overdue_about": "您{last_days_ago:ago}{do}过它，可能已经用完",
            "lapsed_favorite": "您{do}过{n_baskets:times}，上次是{last_days_ago:ago}",
            "trending": "最近很热门",
            "festival_sold": "{days:in_days}就是{occasion:occasion}，节前热门",
            "first_order": "很多人的首单之选",
        },
    }
)
"""By locale and name of the message, with some of its values."""
