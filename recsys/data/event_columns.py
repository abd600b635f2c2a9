"""Events as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.ids import SESSION, IdMap
from recsys.core.schema import EVENT_NAMES
from recsys.data.channels import channel_codes
from recsys.data.orders import basket_number, receipt
from recsys.data.shop_facts import ShopFacts

USER_KEY: Final = "user_key"
NO_HOUR: Final = -1
MAX_RATING_WEIGHT: Final = 2.0


@dataclass(frozen=True)
class Events:
    """Events as columns, sorted by time; every array has one entry per event.

    Attributes:
        user_idx: int32, row of the user, -1 for an anonymous event.
        item_idx: int32, row of the item.
        basket_idx: int32, the basket, else the session, else the user's local day.
        event_type: int8, index in `schema.EVENT_NAMES`.
        timestamp: int64, seconds since 1970 UTC.
        hour: int8, the user's local hour 0-23, -1 if times are not finer than a day.
        weekday: int8, the user's local day of the week, 1 Monday to 7 Sunday.
        rating_weight: float32, a rating ÷ the mean of the shop's ratings, 0 to 2; 1 without a rating.
        price: float32, price of one piece in the item's currency, NaN for unknown.
        quantity: float32, number of pieces, NaN for unknown.
        channel: int16, index in `Dataset.channels`, -1 for unknown.
    """

    user_idx: npt.NDArray[np.int32]
    item_idx: npt.NDArray[np.int32]
    basket_idx: npt.NDArray[np.int32]
    event_type: npt.NDArray[np.int8]
    timestamp: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int8]
    weekday: npt.NDArray[np.int8]
    rating_weight: npt.NDArray[np.float32]
    price: npt.NDArray[np.float32]
    quantity: npt.NDArray[np.float32]
    channel: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.item_idx)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> Events:
        """Return the chosen events, in the given order."""
        return Events(**{name: column[rows] for name, column in vars(self).items()})


def user_key(*, has_users: bool) -> pl.Expr:
    """Return the key of each event's user; where no event of the shop has one, a session stands for a user."""
    if has_users:
        return pl.coalesce("user_id", "visitor_id")
    return pl.concat_str(pl.lit(SESSION), "session_id")


def event_columns(
    events: pl.DataFrame, zones: pl.DataFrame, user_ids: IdMap, facts: ShopFacts, timezone: str
) -> tuple[Events, npt.NDArray[np.int32]]:
    """Return the events as columns, and the number of each basket by its name.

    Args:
        events: the columns of `schema.EVENTS` and `USER_KEY`, sorted by time.
        zones: `user_id` and `timezone` of users with a zone of their own.
        user_ids: rows of the users.
        facts: about the whole shop.
        timezone: IANA zone of the shop.
    """
    day = pl.col("local").dt.date().cast(pl.String)
    user_key = pl.col(USER_KEY)
    basket = pl.coalesce(
        pl.lit("basket ") + receipt(facts.receipt_scope, timezone),
        pl.concat_str(pl.lit("session "), "session_id"),
        pl.concat_str(pl.lit("day "), day, pl.lit(" "), user_key),
    )
    local = _with_local_time(events, zones, timezone)
    names = local.select(basket.alias("basket"))["basket"]
    numbered = local.with_columns(names.rank("dense").cast(pl.Int32).fill_null(0).alias("basket"))
    hour = numbered["local"].dt.hour()
    if not facts.has_hours:
        hour = pl.repeat(NO_HOUR, len(numbered), eager=True)
    kinds = pl.Enum(EVENT_NAMES)
    keys = np.fromiter(map(basket_number, names.drop_nulls().unique().sort()), np.int32)
    columns = Events(
        user_idx=user_ids.encode(local.select(user_key.alias("id"))["id"]),
        item_idx=facts.items.encode(local["item_id"]),
        basket_idx=(numbered["basket"] - 1).cast(pl.Int32).to_numpy(),
        event_type=local["event"].cast(kinds).to_physical().cast(pl.Int8).to_numpy(),
        timestamp=(local["timestamp"].dt.epoch("s")).cast(pl.Int64).to_numpy(),
        hour=hour.cast(pl.Int8).to_numpy(),
        weekday=local["local"].dt.weekday().cast(pl.Int8).to_numpy(),
        rating_weight=_rating_weights(local["value"], facts.mean_rating),
        price=local["price"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
        quantity=local["quantity"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
        channel=channel_codes(local["channel"], facts.channels),
    )
    return columns, keys


def _rating_weights(ratings: pl.Series, mean: float) -> npt.NDArray[np.float32]:
    """Return the weights of events by their ratings: a low rating weighs less than no rating."""
    if mean <= 0:
        return np.ones(len(ratings), np.float32)
    return (ratings / mean).clip(0, MAX_RATING_WEIGHT).fill_null(1.0).cast(pl.Float32).to_numpy()


def _with_local_time(events: pl.DataFrame, zones: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """Add `local`: the local time of the user, without a zone."""

    def wall(zone: str) -> pl.Expr:
        return pl.col("timestamp").dt.convert_time_zone(zone).dt.replace_time_zone(None)

    try:
        if not (zones["timezone"] != timezone).any():
            return events.with_columns(wall(timezone).alias("local"))
        zoned = events.join(zones, on="user_id", how="left", maintain_order="left")
        local = pl.coalesce(
            *(pl.when(pl.col("timezone") == zone).then(wall(zone)) for zone in sorted(zones["timezone"].unique())),
            wall(timezone),
        )
        return zoned.with_columns(local.alias("local")).drop("timezone")
    except pl.exceptions.ComputeError as error:
        raise ConfigError(f"timezone: {error}; expected an IANA name such as 'Asia/Shanghai'") from error
