"""What the events of a whole shop decide together, by which any part of them is numbered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.ids import IdMap
from recsys.core.schema import EVENT_NAMES
from recsys.data.channels import frequent_channels

VIEW_ITEM_LIST: Final = EVENT_NAMES.index("view_item_list")

TARGET_EVENTS: Final = tuple(
    EVENT_NAMES.index(name)
    for name in ("purchase", "begin_checkout", "add_to_cart", "add_to_wishlist", "select_item", "view_item")
)
"""Events that can count as success, the strongest first."""

MIN_TARGET_SHARE: Final = 0.001


@dataclass(frozen=True)
class ShopFacts:
    """Facts about all events of a shop.

    Attributes:
        items: ids of the catalog and of the events.
        variant_of: the item that each product id of an event stands for.
        receipt_scope: what receipt numbers are unique within, see `recsys.data.orders.find_scope`.
        has_users: whether any event has a user or a visitor; else a session stands for a user.
        has_hours: whether times are finer than a day.
        target_event: code of the event that counts as success.
        mean_rating: mean of all ratings, 0 without ratings.
        channels: names of the sales channels, the most frequent first.
    """

    items: IdMap
    variant_of: Mapping[str, str]
    receipt_scope: tuple[str, ...]
    has_users: bool
    has_hours: bool
    target_event: int
    mean_rating: float
    channels: tuple[str, ...]


def gather_facts(
    events: pl.DataFrame,
    items: pl.DataFrame,
    timezone: str,
    receipt_scope: tuple[str, ...],
    variant_of: Mapping[str, str],
) -> ShopFacts:
    """Read the facts from all events of a shop.

    Args:
        events: the columns of `schema.EVENTS`, with orders settled and products resolved.
        items: the column `item_id`.
        timezone: IANA zone of the shop.
        receipt_scope: as found when the orders were settled.
        variant_of: as found when the products were resolved.
    """
    codes = events["event"].cast(pl.Enum(EVENT_NAMES)).to_physical().to_numpy()
    rating = events["value"].mean()
    return ShopFacts(
        items=IdMap.of([*events["item_id"].unique(), *items["item_id"]]),
        variant_of=variant_of,
        receipt_scope=receipt_scope,
        has_users=bool(events.select(pl.coalesce("user_id", "visitor_id").is_not_null().any()).item()),
        has_hours=_is_finer_than_days(events, timezone),
        target_event=choose_target(np.bincount(codes, minlength=len(EVENT_NAMES))),
        mean_rating=rating if isinstance(rating, float) else 0.0,
        channels=frequent_channels(events["channel"]),
    )


def choose_target(counts: npt.NDArray[np.integer]) -> int:
    """Return the code of the event that counts as success: `purchase` if there are enough of them.

    Args:
        counts: (n_event_types,), number of events by code.
    """
    acts = np.array(counts, np.int64)
    acts[VIEW_ITEM_LIST] = 0  # impressions are not acts of users, and there may be many
    enough = max(1.0, MIN_TARGET_SHARE * acts.sum())
    return next((target for target in TARGET_EVENTS if acts[target] >= enough), TARGET_EVENTS[0])


def _is_finer_than_days(events: pl.DataFrame, timezone: str) -> bool:
    """Return whether any time is not midnight in the shop's zone, as dates without a time are."""
    wall = pl.col("timestamp").dt.convert_time_zone(timezone).dt.time()
    return bool(events.select((wall != pl.time(0, 0, 0)).any()).item())
