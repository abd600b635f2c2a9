"""Visits and purchase histories for the tests of the segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.schema import EVENTS, ITEMS, USERS
from recsys.data.dataset import DAY_S, Dataset, build_dataset
from recsys.segments.order_stats import OrderStats
from recsys.segments.visits import Lines, Visits, group_visits

NOW = 1_700_000_000 // DAY_S * DAY_S


def visits_of(
    order_ages: Sequence[Sequence[float]],
    view_ages: Sequence[Sequence[float]] = (),
    prices: Sequence[Sequence[float]] = (),
    *,
    list_price: float = np.nan,
) -> Visits:
    """The visits of users, by the days before `NOW` of their orders and of their visits without one."""
    views = [*view_ages, *([] for _ in range(len(order_ages) - len(view_ages)))]
    rows = []
    for user, (orders, seen) in enumerate(zip(order_ages, views, strict=True)):
        paid = prices[user] if prices else [np.nan] * len(orders)
        rows += [(user, age, True, price) for age, price in zip(orders, paid, strict=True)]
        rows += [(user, age, False, np.nan) for age in seen]
    rows.sort(key=lambda row: -row[1])
    n = len(rows)
    user_idx, age, bought, price = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    at = (NOW - np.array(age, np.float64) * DAY_S).astype(np.int64)
    lines = Lines(
        user_idx=np.array(user_idx, np.int32),
        basket_idx=np.arange(n, dtype=np.int32),
        at=at,
        hour=(at // 3600 % 24).astype(np.int8),
        weekday=((at // DAY_S + 3) % 7 + 1).astype(np.int8),
        channel=np.full(n, -1, np.int16),
        is_purchase=np.array(bought, np.bool_),
        paid=np.array(price, np.float32),
        quantity=np.full(n, np.nan, np.float32),
        list_price=np.full(n, list_price, np.float32),
    )
    return group_visits(lines, len(order_ages), 0.05)


def stats_of(
    order_ages: Sequence[Sequence[float]],
    view_ages: Sequence[Sequence[float]] = (),
    prices: Sequence[Sequence[float]] = (),
    created_ages: Sequence[float] = (),
) -> OrderStats:
    """The sums over the same visits at `NOW`."""
    created = NOW - np.array(created_ages or [np.nan] * len(order_ages), np.float64) * DAY_S
    return OrderStats(visits_of(order_ages, view_ages, prices), created, NOW)


def poisson_ages(
    n_users: int, rate_per_day: npt.NDArray[np.float64], days: float, rng: np.random.Generator
) -> list[npt.NDArray[np.float64]]:
    """Ages in days of the orders of users who order at a constant rate, the oldest first."""
    counts = rng.poisson(rate_per_day * days, n_users)
    return [np.sort(rng.uniform(0, days, count))[::-1] for count in counts]


def shop_of(
    order_ages: Sequence[Sequence[float] | npt.NDArray[np.float64]],
    *,
    with_prices: bool = True,
    list_price: float | None = 12.0,
    event: str = "purchase",
    users: Sequence[dict[str, object]] = (),
    channel: str | None = None,
) -> Dataset:
    """A shop of one item whose users order at these ages in days before `NOW`, and one order at `NOW` of "clock"."""
    rows = [(f"u{user}", NOW - round(float(age) * DAY_S)) for user, ages in enumerate(order_ages) for age in ages]
    rows.append(("clock", NOW))
    names, seconds = (list(column) for column in zip(*rows, strict=True))
    events = pl.DataFrame(
        {
            "item_id": ["tea"] * len(rows),
            "event": [event] * len(rows),
            "timestamp": pl.from_epoch(pl.Series(seconds), "s").dt.replace_time_zone("UTC"),
            "user_id": names,
            "session_id": [f"{name} {second}" for name, second in rows],
            "price": [10.0 if with_prices else None] * len(rows),
            "channel": [channel] * len(rows),
        },
        schema_overrides={"price": pl.Float64, "channel": pl.String},
    )
    items = pl.DataFrame(
        {"item_id": ["tea"], "category": [["Drinks", "Tea", "Green tea"]], "price": [12.0], "list_price": [list_price]},
        schema_overrides={"list_price": pl.Float64},
    )
    people = pl.DataFrame(list(users), schema_overrides={"user_id": pl.String}) if users else pl.DataFrame()
    whole = [_whole(each, columns) for each, columns in ((events, EVENTS), (items, ITEMS), (people, USERS))]
    return build_dataset(*whole, timezone="UTC")


def _whole(frame: pl.DataFrame, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    if not frame.width:
        return pl.DataFrame(schema=columns)
    return frame.with_columns(
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in columns.items()
    )
