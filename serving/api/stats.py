"""The call with the figures of the first page of a console."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from recsys.evaluation.list_days import MAX_DAYS, DayCounts, ListDay
from serving.http.fields import Parameters
from serving.http.operation import Operation
from serving.responses import Time, encode, moment
from serving.runtime.app_context import AppContext


class StatsQuery(Parameters, frozen=True):
    """Which figures.

    Attributes:
        days: number of local days up to today, by the server's clock.
    """

    days: Annotated[int, Meta(ge=1, le=MAX_DAYS)] = 14


class DayFigures(msgspec.Struct, frozen=True):
    """The lists of one placement on one day, and what became of them.

    Attributes:
        day: the shop's local day on which the lists were shown.
        placement: the list.
        lists: lists that were shown.
        impressions: their items.
        clicks: items that were viewed later.
        carts: items that were put in a cart.
        purchases: items that were purchased.
        ctr: clicks over impressions, null without impressions.
        revenue: price times quantity of the purchases, by currency; empty for events without one.
    """

    day: date
    placement: str
    lists: int
    impressions: int
    clicks: int
    carts: int
    purchases: int
    ctr: float | None
    revenue: dict[str, float]


class ShopStats(msgspec.Struct, frozen=True):
    """What a shop's first look needs.

    Attributes:
        now: the server's time.
        clock: `wall` or `data`.
        model_version: the bundle that is served.
        model_created_at: when it was trained.
        data_until: time of the last event that it was trained on.
        last_error: why the newest bundle, or file of placements, is not served; null if both are.
        n_items: number of items.
        n_users: number of users of the bundle.
        timezone: of the days.
        impression_sample: share of the lists that the log has.
        days: by day and placement; purchases that were returned later are not taken back.
        unmatched: events with the id of a list that the log does not have, or that is too old.
        is_complete: whether the whole log was counted; else call again.
    """

    now: Time
    clock: str
    model_version: str
    model_created_at: Time
    data_until: Time
    last_error: str | None
    n_items: int
    n_users: int
    timezone: str
    impression_sample: float
    days: tuple[DayFigures, ...]
    unmatched: int
    is_complete: bool


async def get_stats(app_context: AppContext, call: StatsQuery) -> bytes:
    """Return the age of data and models, and lists, clicks and revenue by day and placement from the live log.

    A call reads the new entries of the log for at most a second.
    """
    snapshot = app_context.watcher.snapshot()
    recommender, now = snapshot.recommender, app_context.clock.now()
    timezone = recommender.engine.dataset_info.timezone
    found, unmatched, is_complete = await asyncio.to_thread(app_context.stats.days, recommender, now, call.days)
    return encode(
        ShopStats(
            now=moment(now),
            clock=app_context.clock.kind,
            model_version=snapshot.version,
            model_created_at=datetime.fromisoformat(recommender.manifest.created_at),
            data_until=moment(recommender.data_end),
            last_error=app_context.watcher.last_error,
            n_items=recommender.current.n_items,
            n_users=len(recommender.engine.users),
            timezone=timezone,
            impression_sample=app_context.settings.impression_sample,
            days=tuple(_figures(key, counts) for key, counts in found.items()),
            unmatched=unmatched,
            is_complete=is_complete,
        )
    )


def _figures(key: ListDay, counts: DayCounts) -> DayFigures:
    return DayFigures(
        *key,
        counts.lists,
        counts.impressions,
        counts.clicks,
        counts.carts,
        counts.purchases,
        counts.clicks / counts.impressions if counts.impressions else None,
        dict(counts.revenue),
    )


OPERATIONS: Final = (
    Operation("GET", "/v1/stats", StatsQuery, get_stats, "console", (ShopStats,), failures=(503,), scope="view"),
)
