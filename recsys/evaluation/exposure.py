"""The exposure ledger: what lists showed and sold of a part of the catalog, and what that cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import polars as pl

from recsys.core.metrics import Interval
from recsys.evaluation.attribution import PAIR, Z_95, attributed_events, shown_lists, wilson
from recsys.eventlog.store import EventStore

BANDS: Final = (3, 10)
"""Last positions of the bands within which impressions are compared; a further band has the rest."""


@dataclass(frozen=True)
class Exposure:
    """What the lists of one placement showed and sold of a part of the catalog.

    Attributes:
        placement: of the lists.
        impressions: items that were shown.
        shown: share of them in the part.
        purchases: items that were bought from the lists.
        sold: share of them in the part.
        revenue: revenue of these purchases.
        revenue_share: share of it from the part; None without revenue.
        cost: purchases that the lists would have had beyond these, if impressions of the part had sold as those of
            other items at like positions; negative where the part sold better. None where nothing can be compared.
        revenue_cost: the same in revenue.
        compared: share of the part's impressions that had others to compare with.
    """

    placement: str
    impressions: int
    shown: Interval
    purchases: int
    sold: Interval
    revenue: float
    revenue_share: float | None
    cost: Interval | None
    revenue_cost: Interval | None
    compared: float


def exposures(
    store: EventStore,
    is_part: Callable[[str, float], bool],
    window: tuple[float, float],
    *,
    attribution_days: float = 7.0,
    timezone: str = "UTC",
) -> tuple[Exposure, ...]:
    """Measure the exposure of a part of the catalog by placement.

    `cost = Σ n_part,s · (r_other,s − r_part,s)` over the bands s of positions, with the number n of impressions and the
    rate r of purchases (or of revenue) per impression. The interval is normal, from the variances of the rates. It
    compares items that were ranked differently, so it bounds what the part costs from above: other items at the same
    positions might have sold less than those that were there.

    Args:
        store: the live log.
        is_part: whether an item (id) belongs to the part at a moment (seconds since 1970).
        window: the first moment of the lists, and the one after the last, in seconds since 1970.
        attribution_days: days after a list in which a purchase counts for it.
        timezone: IANA zone of the shop.

    Returns:
        One entry per placement with a list in the window, in their order by name.
    """
    until = store.last_seq()
    shown = _shown(store, is_part, window, until)
    events, _, _ = attributed_events(store, attribution_days, timezone, until)
    sold = _sold(events, is_part, window)
    joined = shown.join(sold, on=["placement", "band", "is_part"], how="left").fill_null(0)
    return tuple(
        _exposure(str(placement), rows)
        for (placement,), rows in joined.sort("placement", "band", "is_part").group_by("placement", maintain_order=True)
    )


def _band(position: int) -> int:
    return sum(position > last for last in BANDS)


def _shown(
    store: EventStore, is_part: Callable[[str, float], bool], window: tuple[float, float], up_to_seq: int
) -> pl.DataFrame:
    counts: Counter[tuple[str, int, bool]] = Counter()
    for placement, times, at, items in shown_lists(store, up_to_seq):
        if window[0] <= at < window[1]:
            for position, item in enumerate(items, 1):
                counts[placement, _band(position), is_part(item, at)] += times
    names = ("placement", "band", "is_part")
    rows = [(*key, n) for key, n in counts.items()]
    schema = dict(zip(names, (pl.String, pl.Int64, pl.Boolean), strict=True)) | {"n": pl.Int64}
    return pl.DataFrame(rows, schema, orient="row")


def _sold(events: pl.DataFrame, is_part: Callable[[str, float], bool], window: tuple[float, float]) -> pl.DataFrame:
    bought = events.filter(pl.col("event") == "purchase", pl.col("shown_at").is_between(*window, closed="left"))
    paid = (pl.col("price") * pl.col("quantity").fill_null(1)).fill_null(0.0)
    items = bought.group_by(PAIR).agg(pl.col("placement", "position", "shown_at").first(), paid.sum().alias("paid"))
    belongs = [is_part(item, at) for item, at in items.select("item_id", "shown_at").iter_rows()]
    band = sum(((pl.col("position") > last).cast(pl.Int64) for last in BANDS), start=pl.lit(0, pl.Int64))
    return (
        items.with_columns(
            pl.col("placement").fill_null(""), band.alias("band"), pl.Series("is_part", belongs, pl.Boolean)
        )
        .group_by("placement", "band", "is_part")
        .agg(pl.len().alias("bought"), pl.col("paid").sum(), (pl.col("paid") ** 2).sum().alias("squares"))
    )


def _exposure(placement: str, rows: pl.DataFrame) -> Exposure:
    part = rows.filter("is_part")
    impressions, purchases, revenue = (float(rows[name].sum()) for name in ("n", "bought", "paid"))
    wide = part.join(rows.filter(~pl.col("is_part")), on="band", suffix="_other")
    n_part = int(part["n"].sum())
    return Exposure(
        placement=placement,
        impressions=int(impressions),
        shown=wilson(n_part, int(impressions)),
        purchases=int(purchases),
        sold=wilson(int(part["bought"].sum()), int(purchases)),
        revenue=revenue,
        revenue_share=float(part["paid"].sum()) / revenue if revenue else None,
        cost=_cost(wide, "bought", "bought"),
        revenue_cost=_cost(wide, "paid", "squares") if revenue else None,
        compared=int(wide["n"].sum()) / n_part if n_part else 0.0,
    )


def _cost(wide: pl.DataFrame, value: str, square: str) -> Interval | None:
    """Compute the cost over the bands with both kinds of items; `square` is the sum of squares of the values."""
    if wide.is_empty():
        return None

    def moments(suffix: str) -> tuple[pl.Expr, pl.Expr]:
        n = pl.col(f"n{suffix}")
        mean = pl.col(f"{value}{suffix}") / n
        return mean, (pl.col(f"{square}{suffix}") / n - mean**2) / n

    (part, part_variance), (other, other_variance) = moments(""), moments("_other")
    n = pl.col("n")
    cost, variance = wide.select(
        (n * (other - part)).sum(), (n**2 * (part_variance + other_variance)).sum().alias("v")
    ).row(0)
    width = Z_95 * math.sqrt(max(variance, 0.0))
    return Interval(cost, cost - width, cost + width)
