"""The message catalog: the texts of reasons and explanations, by locale."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Locale = Literal["en", "zh"]
LOCALES: Final[tuple[Locale, ...]] = ("en", "zh")
DEFAULT_LOCALE: Final[Locale] = "en"

MESSAGES: Final[Mapping[Locale, Mapping[str, str]]] = MappingProxyType(
    {
        "en": {
            "bought_before": "you {did} it {n_baskets:times}, last {last_days_ago:ago}",
            "due_again": (
                "{did} {n_baskets:times}, {interval_days:every}; last {last_days_ago:ago}, due {due_at:date}"
            ),
            "due_a_second_time": (
                "{did} {n_baskets:times}, usually again after about {interval_days:days}; last "
                "{last_days_ago:ago}, due {due_at:date}"
            ),
            "shoppers_alike": "{did} by shoppers with a taste like yours (by {n_buyers:takers} in all)",
            "bought_together": (
                "{did} together with {title} {by} {n_together} of its {n_baskets} {unit}, {lift:tenths} times chance"
            ),
            "often_bought_together": "{did} together with {title} {by} {n_together} of its {n_baskets} {unit}",
            "item_set": "{did} together {by} {support} {unit}, at least {lift:times_chance} times chance",
            "bought_by_same_users": "{did} by the same shoppers as {title}",
            "goes_with_type": "often {did} with {type}",
            "types_go_together": "{own_type} is often {did} with {type}",
            "first_of_type_you_buy": "among the first in {type}, which you buy",
            "type_you_buy": "from {type}, which you buy",
            "first_of_type_you_view": "among the first in {type}, which you look at",
            "type_you_view": "from {type}, which you look at",
            "similar": "like {title}",
            "goes_with_own": "{did} by shoppers of {title}",
            "touched": "you {event:did_it} {last_days_ago:ago}",
            "viewed_together": "shoppers who turn to {title} also turn to it",
            "follows": "often {did} after {title}",
            "new": "not {did} by anybody yet",
            "popular": "{did} by {n_buyers:takers}",
            "hour": "{did} {lift:hundredths} times as often as usual from {from_hour} to {to_hour} h",
            "niche": "outside the bestsellers: {did} by {buyer_share:percent} of shoppers",
            "close_to_yours": "close to your {type}",
            "price_drop": (
                "{drop:whole_percent} less than when you {event:did_it} {last_days_ago:ago}: "
                "{price:amount} instead of {reference_price:amount}"
            ),
            "back_in_stock": "back in stock since {returned_days_ago:ago}; you {event:did_it} {last_days_ago:ago}",
            "replenishment_due": (
                "due in {due_in_days} ± {spread_days:days}: {did} {n_baskets:times}, {interval_days:every}, "
                "last {last_days_ago:ago}"
            ),
            "replenishment_overdue": (
                "due {overdue_days} ± {spread_days:days} ago: {did} {n_baskets:times}, {interval_days:every}, "
                "last {last_days_ago:ago}"
            ),
            "replenishment_due_about": (
                "due about {due_in_days:in_days}: {did} {n_baskets:times}, {interval_days:every}, "
                "last {last_days_ago:ago}"
            ),
            "replenishment_overdue_about": (
                "due about {overdue_days:days} ago: {did} {n_baskets:times}, {interval_days:every}, "
                "last {last_days_ago:ago}"
            ),
            "cart_left": "put in your cart {last_days_ago:ago}",
            "lapsed_favorite": "you {did} it {n_baskets:times}, {interval_days:every}, but last {last_days_ago:ago}",
            "new_arrival": "new from {name}, which you like",
            "new_in_type": "new in {name}, which you like",
            "trending": "{did} {trend:tenths} times as often as usual in the last days",
            "occasion": "for {occasion:occasion}",
            "festival": "for {occasion:occasion}, {days:in_days}",
            "festival_sold": (
                "for {occasion:occasion}, {days:in_days}: {did} {lift:tenths} times as often before the last one"
            ),
            "first_order": "in {share:percent} of first orders",
            "new_category": "your first from {type}",
            "pinned": "chosen by the shop",
            "promoted": "promoted by the shop",
            "stage.listed": "it is in the list, in place {rank} of {limit}",
            "stage.closed": "the list is closed at this moment, by its dates, weekdays or hours",
            "stage.sold_out": "it is not available",
            "stage.sold_out_here": "an offer says that it is not available in {where:scope}",
            "stage.filtered": "a filter, an exclusion or the pool of the list keeps it out",
            "stage.no_candidate": "none of the list's sources brought it among its best: {sources}",
            "stage.removed": "the rule {rule:quoted} took it out",
            "stage.too_low": (
                "it is in place {rank} with a score of {score:score}; the last of the {limit} listed has "
                "{last_score:score}"
            ),
            "stage.arranged_out": "it was a candidate, and the list's arrangement left no place for it",
        },
        "zh": {
            "bought_before": "您{do}过{n_baskets:times}，最近一次是{last_days_ago:ago}",
            "due_again": (
                "您{do}过{n_baskets:times}，{interval_days:every}；"
                "上次是{last_days_ago:ago}，按规律应在{due_at:date}再{do}"
            ),
            "due_a_second_time": (
                "您{do}过{n_baskets:times}，通常约{interval_days:days}后会再{do}；"
                "上次是{last_days_ago:ago}，按规律应在{due_at:date}再{do}"
            ),
            "shoppers_alike": "与您喜好相近的顾客{do}过它（共{n_buyers:takers}）",
            "bought_together": (
                "{do}了“{title}”的{n_baskets}{unit}中，有{n_together}{measure}也{do}了它，是随机情况的{lift:tenths}倍"
            ),
            "often_bought_together": "{do}了“{title}”的{n_baskets}{unit}中，有{n_together}{measure}也{do}了它",
            "item_set": "有{support}{unit}一起{do}了它们，至少是随机情况的{lift:times_chance}倍",
            "bought_by_same_users": "{do}过“{title}”的顾客也{do}过它",
            "goes_with_type": "常与“{type}”一起{do}",
            "types_go_together": "“{own_type}”类商品常与“{type}”类商品一起{do}",
            "first_of_type_you_buy": "您买过的“{type}”类商品中的热门款",
            "type_you_buy": "属于您买过的“{type}”类商品",
            "first_of_type_you_view": "您看过的“{type}”类商品中的热门款",
            "type_you_view": "属于您看过的“{type}”类商品",
            "similar": "与“{title}”相似",
            "goes_with_own": "{do}过“{title}”的顾客也{do}了它",
            "touched": "您{last_days_ago:ago}{event:do}过它",
            "viewed_together": "关注“{title}”的顾客也关注它",
            "follows": "常在“{title}”之后被{do}",
            "new": "还没有人{do}过",
            "popular": "已有{n_buyers:takers}",
            "hour": "{from_hour}点到{to_hour}点，大家{do}它的频率是平时的{lift:hundredths}倍",
            "niche": "小众之选：只有{buyer_share:percent}的顾客{do}过",
            "close_to_yours": "与您{do}过的“{type}”相近",
            "price_drop": (
                "比您{last_days_ago:ago}{event:do}它时便宜{drop:whole_percent}：现价{price:amount}，当时{reference_price:amount}"
            ),
            "back_in_stock": "{returned_days_ago:ago}已到货；您{last_days_ago:ago}{event:do}过它",
            "replenishment_due": (
                "预计{due_in_days}±{spread_days:days}后用完：您{do}过{n_baskets:times}，{interval_days:every}，"
                "上次是{last_days_ago:ago}"
            ),
            "replenishment_overdue": (
                "按规律{overdue_days}±{spread_days:days}前就该补货：您{do}过{n_baskets:times}，{interval_days:every}，"
                "上次是{last_days_ago:ago}"
            ),
            "replenishment_due_about": (
                "大约{due_in_days:in_days}用完：您{do}过{n_baskets:times}，{interval_days:every}，上次是{last_days_ago:ago}"
            ),
            "replenishment_overdue_about": (
                "大约{overdue_days:days}前就该补货：您{do}过{n_baskets:times}，{interval_days:every}，上次是{last_days_ago:ago}"
            ),
            "cart_left": "{last_days_ago:ago}加入购物车，还没有结算",
            "lapsed_favorite": "您{do}过{n_baskets:times}，{interval_days:every}，但上次已是{last_days_ago:ago}",
            "new_arrival": "您喜欢的“{name}”有新品",
            "new_in_type": "您喜欢的“{name}”类有新品",
            "trending": "最近{do}它的人是平时的{trend:tenths}倍",
            "occasion": "适合{occasion:occasion}",
            "festival": "{days:in_days}就是{occasion:occasion}",
            "festival_sold": "{days:in_days}就是{occasion:occasion}：上次节前{do}它的频率是平时的{lift:tenths}倍",
            "first_order": "{share:percent}的首单都有它",
            "new_category": "您还没有{do}过的“{type}”",
            "pinned": "店铺精选",
            "promoted": "店铺推广",
            "stage.listed": "该商品在列表中，排在第{rank}位（共{limit}位）",
            "stage.closed": "此刻不在该列表的有效日期、星期或时段之内",
            "stage.sold_out": "该商品已下架或售罄",
            "stage.sold_out_here": "该商品在{where:scope}已售罄（报价所示）",
            "stage.filtered": "该商品被筛选条件、排除项或列表的商品范围挡在外面",
            "stage.no_candidate": "列表的各个来源都没有把它选入候选：{sources}",
            "stage.removed": "规则“{rule}”把它移出了列表",
            "stage.too_low": "它排在第{rank}位，得分{score:score}；列表共{limit}位，最后一位得分{last_score:score}",
            "stage.arranged_out": "它进入了候选，但列表的编排没有给它留位置",
        },
    }
)
"""By locale and name. `{name:form}` is a value in a form of `templates.FORMS`, or a word of the shop."""

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "due_a_second_time": "due_again",
        "replenishment_overdue": "replenishment_due",
        "replenishment_due_about": "replenishment_due",
        "replenishment_overdue_about": "replenishment_due",
        "new_in_type": "new_arrival",
        "festival_sold": "festival",
        "often_bought_together": "bought_together",
        "first_of_type_you_buy": "type_you_buy",
        "first_of_type_you_view": "type_you_view",
    }
)
"""By name of the message, the code of the reasons that state it, where it is not the name."""
