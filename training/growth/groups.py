"""The figures of a window by group: channel, life cycle, placement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from recsys.core.metrics import Interval
from recsys.evaluation.attribution import wilson
from training.growth.history import ShopHistory
from training.growth.periods import Observation
from training.growth.sales import ratio

MAX_GROUPS: Final = 12
LIFE_CYCLE: Final = "life_cycle"
CHANNEL: Final = "channel"
PLACEMENT: Final = "placement"
NO_NAME: Final = ""


@dataclass(frozen=True)
class GroupFigures:
    """One group's figures of a window.

    Attributes:
        name: of the group; "" for people or events without one.
        people: people with an event in the window; in several channels they count in each.
        buyers: people with an order in the window.
        conversion: `buyers ÷ people`.
        orders: number of orders.
        revenue: sum of price × quantity; None where no price is known.
        returned: share of those who ordered in the window before who ordered in this one; None without such a window.
    """

    name: str
    people: int
    buyers: int
    conversion: Interval
    orders: int
    revenue: float | None
    returned: Interval | None

    @property
    def arpu(self) -> float | None:
        """Revenue ÷ people."""
        return ratio(self.revenue, self.people)

    @property
    def order_value(self) -> float | None:
        """Revenue ÷ orders."""
        return ratio(self.revenue, self.orders)


def by_channel(history: ShopHistory, window: Observation) -> tuple[GroupFigures, ...]:
    """Return the figures by the channel of the events; none where no event has one.

    Events without a channel are a group if there are orders among them; clicks in messages, for one, have none.
    """
    found = _figures(history, window, history.during(window), history.lines.lazy(), CHANNEL)
    return tuple(group for group in found if group.name or group.orders) if any(group.name for group in found) else ()


def by_placement(history: ShopHistory, window: Observation) -> tuple[GroupFigures, ...]:
    """Return the figures by the placement of the list that led to each event; none where no event names one."""
    is_known = pl.col(PLACEMENT).is_not_null()
    events, lines = (frame.filter(is_known) for frame in (history.during(window), history.lines.lazy()))
    return _figures(history, window, events, lines, PLACEMENT)


def by_life_cycle(history: ShopHistory, window: Observation, segments: pl.DataFrame) -> tuple[GroupFigures, ...]:
    """Return the figures by the segment of the people.

    Args:
        history: the shop.
        window: days of the figures.
        segments: `person` as `history.person_of` numbers them, and `life_cycle`.
    """
    table = segments.lazy().select("person", LIFE_CYCLE).unique("person")
    frames = (history.during(window), history.lines.lazy())
    events, lines = (frame.join(table, on="person", how="left") for frame in frames)
    return _figures(history, window, events, lines, LIFE_CYCLE)


def _figures(
    history: ShopHistory, window: Observation, events: pl.LazyFrame, lines: pl.LazyFrame, column: str
) -> tuple[GroupFigures, ...]:
    group = pl.col(column).cast(pl.String).fill_null(NO_NAME).alias("group")
    known = pl.col("person").is_not_null()
    seen = events.filter(known).select(group, "person").unique()
    people = seen.group_by("group").agg(pl.len().alias("people")).collect(engine="streaming")
    inside = lines.with_columns(group).filter(window.contains())
    sold = inside.group_by("group").agg(
        pl.col("person").drop_nulls().n_unique().alias("buyers"),
        pl.col("order").n_unique().alias("orders"),
        pl.col("amount").sum().alias("revenue"),
    )
    found = people.join(sold.collect(), on="group", how="full", coalesce=True)
    found = found.join(_returned(history, window, lines.with_columns(group)), on="group", how="left").fill_null(0)
    ordered = found.sort("people", "group", descending=[True, False]).head(MAX_GROUPS)
    has_before = history.observed.before(window) is not None
    return tuple(
        GroupFigures(
            name,
            n_people,
            buyers,
            wilson(min(buyers, n_people), n_people),
            orders,
            revenue if history.has_prices else None,
            wilson(back, before) if has_before and before else None,
        )
        for name, n_people, buyers, orders, revenue, before, back in ordered.iter_rows()
    )


def _returned(history: ShopHistory, window: Observation, lines: pl.LazyFrame) -> pl.DataFrame:
    """Count who ordered in the window before, by group, and who of them ordered again in this one."""
    earlier = history.observed.before(window)
    if earlier is None:
        return pl.DataFrame(schema={"group": pl.String, "before": pl.UInt32, "back": pl.UInt32})
    known = lines.filter(pl.col("person").is_not_null())
    before = known.filter(earlier.contains()).select("group", "person").unique()
    again = history.lines.lazy().filter(window.contains()).select("person", is_back=pl.lit(True)).unique()
    joined = before.join(again, on="person", how="left")
    return (
        joined.group_by("group")
        .agg(pl.len().alias("before"), pl.col("is_back").fill_null(False).sum().alias("back"))
        .collect()
    )
