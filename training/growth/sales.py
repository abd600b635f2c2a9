"""Sales by period: active people, buyers, orders, revenue, and what each person brings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

import polars as pl

from training.growth.cohorts import WARM_UP_DAYS
from training.growth.history import ShopHistory
from training.growth.periods import Observation, Unit, complete_periods, start_of

MAX_PERIODS: Final[dict[Unit, int]] = {"day": 42, "week": 53, "month": 24}
COUNTS: Final = ("people", "buyers", "new_buyers", "orders")
MONEY: Final = ("revenue", "known_revenue", "new_revenue")


@dataclass(frozen=True)
class SalesPeriod:
    """What a shop sold in one period.

    Attributes:
        start: first day of the period.
        people: people with any event.
        buyers: people with an order.
        new_buyers: those with their first order; None in the first `WARM_UP_DAYS` of the data, where nobody knows.
        orders: number of orders, also of unknown people.
        revenue: sum of price × quantity; None where no price is known.
        known_revenue: the part of known people.
        new_revenue: the part of new buyers.
    """

    start: date
    people: int
    buyers: int
    new_buyers: int | None
    orders: int
    revenue: float | None
    known_revenue: float | None
    new_revenue: float | None

    @property
    def arpu(self) -> float | None:
        """Revenue of known people ÷ people."""
        return ratio(self.known_revenue, self.people)

    @property
    def arppu(self) -> float | None:
        """Revenue of known people ÷ buyers."""
        return ratio(self.known_revenue, self.buyers)

    @property
    def order_value(self) -> float | None:
        """Revenue ÷ orders."""
        return ratio(self.revenue, self.orders)


def sales_by_period(history: ShopHistory, unit: Unit) -> tuple[SalesPeriod, ...]:
    """Sum the events and orders of each complete period; only the latest periods are returned."""
    starts = complete_periods(history.observed, unit)[-MAX_PERIODS[unit] :]
    frame = pl.DataFrame({"start": starts}, {"start": pl.Date})
    if not starts:
        return ()
    for found in (_people(history, unit, starts[0]), _orders(history, unit)):
        frame = frame.join(found, on="start", how="left", maintain_order="left")
    frame = frame.with_columns(pl.col(COUNTS).fill_null(0))
    if history.has_prices:
        frame = frame.with_columns(pl.col(MONEY).fill_null(0.0))
    periods = (SalesPeriod(*row) for row in frame.select("start", *COUNTS, *MONEY).iter_rows())
    return tuple(_without_guesses(each, history) for each in periods)


def sales_of(history: ShopHistory, window: Observation) -> SalesPeriod:
    """Sum the events and orders of a window; new buyers have their first order in it."""
    inside = window.contains()
    people = history.during(window).filter(pl.col("person").is_not_null()).select("person").unique()
    n_people = people.select(pl.len()).collect(engine="streaming").item()
    lines = history.lines.lazy().filter(pl.col("day") < window.end)
    first = lines.filter(pl.col("person").is_not_null()).group_by("person").agg(pl.col("day").min().alias("first"))
    dated = lines.filter(inside).join(first, on="person", how="left")
    found = _summed(dated.with_columns(start=pl.lit(window.first)), pl.col("first") >= window.first, history)
    row: tuple[Any, ...] = (0, 0, 0, *[0.0 if history.has_prices else None] * len(MONEY))
    row = found.drop("start").row(0) if len(found) else row
    return _without_guesses(SalesPeriod(window.first, n_people, *row), history)


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return `part ÷ whole`; None where the part is unknown or the whole is nothing."""
    return None if part is None or not whole else part / whole


def _without_guesses(period: SalesPeriod, history: ShopHistory) -> SalesPeriod:
    is_early = (period.start - history.observed.first).days < WARM_UP_DAYS
    return replace(period, new_buyers=None, new_revenue=None) if is_early else period


def _people(history: ShopHistory, unit: Unit, since: date) -> pl.DataFrame:
    shown = Observation(since, history.observed.end)
    known = history.during(shown).filter(pl.col("person").is_not_null())
    distinct = known.select(start_of(unit).alias("start"), "person").unique()
    return distinct.group_by("start").agg(pl.len().alias("people")).collect(engine="streaming")


def _orders(history: ShopHistory, unit: Unit) -> pl.DataFrame:
    lines = history.lines.lazy().with_columns(start_of(unit).alias("start"))
    first = lines.filter(pl.col("person").is_not_null()).group_by("person").agg(pl.col("start").min().alias("first"))
    dated = lines.join(first, on="person", how="left")
    return _summed(dated, pl.col("start") == pl.col("first"), history)


def _summed(lines: pl.LazyFrame, is_new: pl.Expr, history: ShopHistory) -> pl.DataFrame:
    """Sum order lines by `start`: buyers, new buyers, orders and `MONEY`."""
    is_first, amount = is_new.fill_null(False), pl.col("amount")
    sums = (amount.sum(), amount.filter(pl.col("person").is_not_null()).sum(), amount.filter(is_first).sum())
    unknown = pl.lit(None, pl.Float64)
    return (
        lines.group_by("start")
        .agg(
            pl.col("person").drop_nulls().n_unique().alias("buyers"),
            pl.col("person").filter(is_first).n_unique().alias("new_buyers"),
            pl.col("order").n_unique().alias("orders"),
            *((each if history.has_prices else unknown).alias(name) for name, each in zip(MONEY, sums, strict=True)),
        )
        .collect()
    )
