"""Items of the user's own habits: due again, left in the cart, not bought any more."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import DAY_S
from recsys.models.moments.replenishment import ReplenishmentModel, is_candidate
from recsys.models.temporal.repeat import PurchaseStats, RepeatModel
from recsys.moments.found import MomentItems, MomentQuery, Values

QUIET_DAYS: Final = 1.0
"""Days since the last purchase before which an item is not listed; half an interval, where that is shorter."""

LATEST_DUE: Final = 3.0
"""Intervals since the last purchase after which an item is no longer due."""

_ADDED: Final = (EVENT_NAMES.index("add_to_cart"), EVENT_NAMES.index("begin_checkout"))
_OF_CART: Final = (*_ADDED, EVENT_NAMES.index("remove_from_cart"), EVENT_NAMES.index("purchase"))
_FAVORITE_HALF_LIFE_DAYS: Final = 180.0
_LONGEST_LAPSE_DAYS: Final = 365.0


def replenishment_due(query: MomentQuery) -> MomentItems:
    """Items that the user will probably buy again within the horizon, by that probability.

    Due is the last purchase plus the user's interval, which is shrunk to those of the item and its type; the spread is
    that of `ReplenishmentModel.spread_days`. An item is listed from the horizon before it is due on, until `LATEST_DUE`
    intervals since the last purchase, but not within `QUIET_DAYS` of it. The reason expires two spreads
    after the item was due.
    """
    own, model = query.own, query.engine.replenishment
    probability = model.probability(query.engine.repeat, own, query.now) if len(own.item_idx) else np.empty(0)
    interval, spread = own.interval_days.astype(np.float64), model.spread_days(own)
    due_in = interval - (query.now - own.last) / DAY_S
    chosen = is_due(query.engine.repeat, model, own, probability, query.now)
    due_at = own.last + interval * DAY_S
    whole = np.rint(due_in).astype(np.int64)
    values: Values = {
        "due_in_days": whole,
        "overdue_days": -whole,
        "spread_days": np.maximum(np.rint(spread), 1).astype(np.int64),
        "interval_days": np.round(interval, 1),
        "n_baskets": own.n_baskets,
        "last_days_ago": (query.now - own.last) // DAY_S,
        "probability": np.round(probability, 3),
    }
    message = np.empty(len(whole), np.object_)
    message[:] = [due_message(*each) for each in zip(whole.tolist(), values["spread_days"].tolist(), strict=True)]
    expires_at = due_at + np.maximum(2 * spread, 1) * DAY_S
    expires_at = np.maximum(expires_at, query.now + DAY_S)
    items = MomentItems.of(own.item_idx, probability, message, values, due_at, expires_at)
    return items.take(chosen).best(query.allowed)


def due_message(due_in_days: int, spread_days: int) -> str:
    """Return the message of an item that is due in some days, or was so long ago, with the spread of the rhythm.

    A spread that is at least as long as the time is not stated: the item is due about then.
    """
    name = "replenishment_overdue" if due_in_days < 0 else "replenishment_due"
    return name if spread_days < abs(due_in_days) else f"{name}_about"


def is_due(
    repeat: RepeatModel,
    model: ReplenishmentModel,
    own: PurchaseStats,
    probability: npt.NDArray[np.float64],
    now: int,
) -> npt.NDArray[np.bool_]:
    """Return the items that `replenishment_due` lists, bool (n,).

    Args:
        repeat: rates and intervals of all users.
        model: settings and spread.
        own: the user's purchases.
        probability: of a purchase within the horizon, one per item.
        now: seconds since 1970.
    """
    interval, elapsed = own.interval_days.astype(np.float64), (now - own.last) / DAY_S
    chosen = is_candidate(repeat, own) & (probability >= model.config.min_probability)
    chosen &= interval - elapsed <= model.config.horizon_days
    return chosen & (elapsed >= np.minimum(QUIET_DAYS, interval / 2)) & (elapsed <= LATEST_DUE * interval)


def cart_left(query: MomentQuery) -> MomentItems:
    """Items that the user put into the cart and neither took out nor bought since, the latest first.

    They are listed from `cart_quiet_hours` after the last event of the cart on, for `cart_days`.
    """
    config, history = query.config, query.history
    events = history.take(np.isin(history.event_type, _OF_CART))
    _, from_end = np.unique(events.item_idx[::-1], return_index=True)
    latest = events.take(len(events) - 1 - from_end)
    latest = latest.take(np.isin(latest.event_type, _ADDED))
    last_event = int(events.timestamp.max(initial=0))
    is_quiet = query.now - last_event >= config.cart_quiet_hours * 3600
    age_days = (query.now - latest.timestamp) / DAY_S
    until = latest.timestamp + config.cart_days * DAY_S
    values: Values = {"last_days_ago": (query.now - latest.timestamp) // DAY_S}
    items = MomentItems.of(latest.item_idx, np.exp2(-age_days / 7.0), "cart_left", values, expires_at=until)
    return items.take((age_days < config.cart_days) & is_quiet).best(query.allowed)


def lapsed_favorites(query: MomentQuery) -> MomentItems:
    """Items that the user bought in several orders, and for long no more: past `LATEST_DUE` intervals.

    The score is `orders · 2^(−days / 180)`.
    """
    own, config = query.own, query.config
    elapsed = (query.now - own.last) / DAY_S
    is_lapsed = (elapsed > LATEST_DUE * own.interval_days) & (elapsed > config.lapsed_days)
    is_lapsed &= (own.n_baskets >= config.favorite_orders) & (elapsed <= _LONGEST_LAPSE_DAYS)
    values: Values = {
        "n_baskets": own.n_baskets,
        "interval_days": np.round(own.interval_days.astype(np.float64), 1),
        "last_days_ago": (query.now - own.last) // DAY_S,
    }
    score = own.n_baskets * np.exp2(-elapsed / _FAVORITE_HALF_LIFE_DAYS)
    return MomentItems.of(own.item_idx, score, "lapsed_favorite", values).take(is_lapsed).best(query.allowed)
