"""The funnel from a view to a repeat order, and the carts that nobody paid for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from recsys.core.metrics import Interval
from recsys.evaluation.attribution import wilson
from training.growth.history import ShopHistory
from training.growth.periods import Observation, complete_periods, next_start, start_of

BROWSING: Final = {"view": ("view_item", "select_item"), "cart": ("add_to_cart",), "checkout": ("begin_checkout",)}
ORDER: Final = "order"
REPEAT: Final = "repeat"
MAX_WEEKS: Final = 26


@dataclass(frozen=True)
class FunnelStep:
    """One step of the funnel.

    Attributes:
        name: `view`, `cart`, `checkout`, `order` or `repeat`; steps that the shop does not record are left out.
        people: people who took this step or a later one in the window. `repeat`: those of `order` who had ordered on
            another day before the window's end.
        rate: share of the people of the step before; None for the first step.
        rate_before: the same in the window before; None where there is none.
    """

    name: str
    people: int
    rate: Interval | None
    rate_before: Interval | None


@dataclass(frozen=True)
class CartWeek:
    """Carts of one week, or of any other span.

    Attributes:
        start: first day.
        carts: a person's cart of a day.
        loss: share of carts without an order of the person in the hours after the first item.
    """

    start: date
    carts: int
    loss: Interval


@dataclass(frozen=True)
class CartLoss:
    """Carts without payment.

    Attributes:
        window: carts of the window that could be paid for before the end of the data; None without any.
        weeks: the same by complete week.
    """

    window: CartWeek | None
    weeks: tuple[CartWeek, ...]


def funnel(history: ShopHistory, window: Observation) -> tuple[FunnelStep, ...]:
    """Count the people of each step of the funnel in a window.

    A person who took a step counts in all steps before it, so the funnel narrows even where single events are missing.

    Args:
        history: the shop.
        window: days of the funnel.

    Returns:
        The steps that the shop records.
    """
    names = [name for name, events in BROWSING.items() if any(history.counts.get(each) for each in events)]
    names += [ORDER, REPEAT] if history.has_orders else []
    now = _people(history, window, names)
    earlier = history.observed.before(window)
    before = _people(history, earlier, names) if earlier is not None else None
    return tuple(
        FunnelStep(
            name,
            now[name],
            wilson(now[name], now[previous]) if previous else None,
            wilson(before[name], before[previous]) if previous and before else None,
        )
        for previous, name in zip([None, *names], names, strict=False)
    )


def cart_loss(history: ShopHistory, window: Observation, payment_hours: float) -> CartLoss:
    """Count the carts without an order in the hours after their first item.

    A cart is what a person puts into it on one local day. Carts whose hours end after the data do not count yet.

    Args:
        history: the shop.
        window: days of the carts.
        payment_hours: hours for an order.
    """
    carts = _carts(history, payment_hours)
    shown = complete_periods(history.observed, "week")[-MAX_WEEKS:]
    by_week = carts.group_by(start_of("week").alias("start")).agg(pl.len(), pl.col("is_lost").sum()).sort("start")
    weeks = tuple(
        CartWeek(start, n, wilson(lost, n))
        for start, n, lost in by_week.iter_rows()
        if start in shown and next_start(start, "week") <= _settled_until(history, payment_hours)
    )
    inside = carts.filter(window.contains())
    n_lost = int(inside["is_lost"].sum())
    return CartLoss(CartWeek(window.first, len(inside), wilson(n_lost, len(inside))) if len(inside) else None, weeks)


def _people(history: ShopHistory, window: Observation, names: list[str]) -> dict[str, int]:
    """Count the people who took each step or a later one."""
    events = history.during(window).filter(pl.col("person").is_not_null())
    flags = [pl.col("event").is_in(BROWSING[name]).any().alias(name) for name in names if name in BROWSING]
    browsed = events.group_by("person").agg(flags).collect(engine="streaming")
    lines = history.lines.filter(pl.col("day") < window.end, pl.col("person").is_not_null())
    ordered = lines.group_by("person").agg(
        pl.col("day").max().ge(window.first).alias(ORDER), (pl.col("day").n_unique() > 1).alias(REPEAT)
    )
    ordered = ordered.filter(ORDER)
    joined = browsed.join(ordered, on="person", how="full", coalesce=True).fill_null(False)
    reached = [pl.any_horizontal(names[place:]).sum().alias(name) for place, name in enumerate(names)]
    return joined.select(reached).row(0, named=True) if names else {}


def _carts(history: ShopHistory, payment_hours: float) -> pl.DataFrame:
    since = complete_periods(history.observed, "week")[-MAX_WEEKS:][:1] or [history.observed.first]
    recent = history.during(Observation(since[0], history.observed.end))
    put = recent.filter(pl.col("event").is_in(BROWSING["cart"]), pl.col("person").is_not_null())
    carts = put.group_by("person", "day").agg(pl.col("timestamp").min()).collect(engine="streaming")
    allowed = timedelta(hours=payment_hours)
    carts = carts.filter(pl.col("timestamp") + allowed <= history.moment(history.observed.end)).sort("timestamp")
    paid = history.lines.filter(pl.col("person").is_not_null()).select("person", "timestamp", paid_at="timestamp")
    joined = carts.join_asof(
        paid.sort("timestamp"),
        on="timestamp",
        by="person",
        strategy="forward",
        tolerance=allowed,
        check_sortedness=False,
    )
    return joined.select("day", pl.col("paid_at").is_null().alias("is_lost"))


def _settled_until(history: ShopHistory, payment_hours: float) -> date:
    """Return the day before which every cart had its hours."""
    until = history.moment(history.observed.end) - timedelta(hours=payment_hours)
    return until.astimezone(ZoneInfo(history.timezone)).date()
