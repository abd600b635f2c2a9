"""The ledger of the long tail and of new items: what lists promise, what they showed, what sold, and what that cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from recsys.core.metrics import Interval
from recsys.core.placements import Placement
from recsys.data.dataset import DAY_S
from recsys.evaluation.attribution import wilson
from recsys.evaluation.exposure import Exposure, exposures
from recsys.eventlog.store import EventStore
from training.growth.config import GrowthConfig
from training.growth.history import ShopHistory
from training.growth.periods import Observation

Part = Literal["tail", "new"]
PARTS: Final[tuple[Part, ...]] = ("tail", "new")


@dataclass(frozen=True)
class PartLedger:
    """The ledger of one part of the catalog.

    Attributes:
        part: `tail`, items outside the head with half of all purchases; `new`, created lately.
        n_items: number of items in the part at the end of the window; None where nothing tells.
        n_catalog: number of all items.
        sold: share of the shop's order lines in the window that are of the part; None where nothing tells.
        sold_before: the same in the window before.
        promised: share of the positions by placement: at least this for the tail, at most this for new items.
        exposures: what the lists of each placement showed and sold; none without the live log.
    """

    part: Part
    n_items: int | None
    n_catalog: int
    sold: Interval | None
    sold_before: Interval | None
    promised: dict[str, float]
    exposures: tuple[Exposure, ...]


def ledger(
    history: ShopHistory,
    window: Observation,
    config: GrowthConfig,
    placements: Mapping[str, Placement],
    *,
    head: frozenset[str] | None = None,
    log: EventStore | None = None,
) -> tuple[PartLedger, ...]:
    """Fill the ledger for a window.

    Args:
        history: the shop.
        window: days of the lists and the orders.
        config: `head_share`, `new_item_days` and `attribution_days` apply.
        placements: the lists that promise something.
        head: items of the head; None for those of the orders before the window.
        log: the live log with the lists that were shown.
    """
    return tuple(_part(part, history, window, config, placements, head, log) for part in PARTS)


def head_items(lines: pl.DataFrame, head_share: float) -> frozenset[str]:
    """Return the fewest items that make a share of the order lines; ties break by id."""
    counted = (
        lines.group_by("item_id")
        .len()
        .with_columns(pl.col("item_id").cast(pl.String))
        .sort("len", "item_id", descending=[True, False])
    )
    before = pl.col("len").cum_sum() - pl.col("len")
    return frozenset(counted.filter(before < head_share * pl.col("len").sum())["item_id"])


def _part(
    part: Part,
    history: ShopHistory,
    window: Observation,
    config: GrowthConfig,
    placements: Mapping[str, Placement],
    head: frozenset[str] | None,
    log: EventStore | None,
) -> PartLedger:
    earlier = history.observed.before(window)
    ids = pl.concat([history.items["item_id"], history.lines["item_id"].unique().cast(pl.String)]).unique()
    created = _created(history) if part == "new" else {}
    is_known = bool(created) if part == "new" else history.has_orders

    def member(of: Observation) -> Callable[[str, float], bool]:
        return _is_new(created, config) if part == "new" else _is_tail(head or _head(history, of, config))

    shown: tuple[Exposure, ...] = ()
    if log is not None and is_known:
        span = (history.moment(window.first).timestamp(), history.moment(window.end).timestamp())
        days, zone = config.attribution_days, history.timezone
        shown = exposures(log, member(window), span, attribution_days=days, timezone=zone)
    return PartLedger(
        part=part,
        n_items=_count(ids, member(window), history.moment(window.end).timestamp()) if is_known else None,
        n_catalog=len(ids),
        sold=_sold(history, window, member(window)) if is_known else None,
        sold_before=_sold(history, earlier, member(earlier)) if is_known and earlier is not None else None,
        promised={name: share for name, each in placements.items() if (share := _promise(each, part)) > 0},
        exposures=shown,
    )


def _promise(placement: Placement, part: Part) -> float:
    if part == "new":
        return placement.new_share
    return 1.0 if placement.pool == "tail" else placement.tail_share


def _head(history: ShopHistory, window: Observation, config: GrowthConfig) -> frozenset[str]:
    """Return the head at the start of a window; of all orders where none is before it."""
    before = history.lines.filter(pl.col("day") < window.first)
    return head_items(before if len(before) else history.lines, config.head_share)


def _is_tail(head: frozenset[str]) -> Callable[[str, float], bool]:
    return lambda item, at: item not in head


def _is_new(created: Mapping[str, float], config: GrowthConfig) -> Callable[[str, float], bool]:
    age = config.new_item_days * DAY_S
    return lambda item, at: item in created and 0 <= at - created[item] <= age


def _created(history: ShopHistory) -> dict[str, float]:
    known = history.items.filter(pl.col("created_at").is_not_null())
    return dict(known.select("item_id", pl.col("created_at").dt.epoch("s").cast(pl.Float64)).iter_rows())


def _count(ids: pl.Series, is_part: Callable[[str, float], bool], at: float) -> int:
    return sum(is_part(item, at) for item in ids)


def _sold(history: ShopHistory, window: Observation, is_part: Callable[[str, float], bool]) -> Interval | None:
    inside = history.lines.filter(window.contains())
    by_day = inside.group_by("item_id", "day").len()
    if by_day.is_empty():
        return None
    middays = by_day["day"].cast(pl.Datetime("us", "UTC")).dt.epoch("s") + DAY_S // 2
    n_part = sum(n for item, n, at in zip(by_day["item_id"], by_day["len"], middays, strict=True) if is_part(item, at))
    return wilson(n_part, len(inside))
