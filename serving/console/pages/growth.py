"""Segments of all users, and the experiments."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl
from cachetools import TTLCache, cached
from starlette.exceptions import HTTPException

from recsys.pipeline.recommender import Recommender
from serving.console.view import Content, Page, Redirect, View

LIFE_CYCLE: Final = "life_cycle"
KEPT_S: Final = 600
"""How long the segments of all users are kept: they take seconds for a large shop."""

MAX_KEPT: Final = 4


async def growth(view: View) -> Content:
    """Build the page."""
    snapshot = view.api.app_context.watcher.snapshot()
    table = await asyncio.to_thread(_segments, snapshot.recommender, view.api.app_context.clock.now())
    experiments = await view.api.get("/v1/experiments") if view.api.app_context.settings.experiments else None
    return {"cycle": table, "experiments": experiments, "can_change": view.api.allows("merchandise")}


async def change(view: View) -> Redirect:
    """Change the state of an experiment, and show the page again."""
    (name,) = view.segments
    body: dict[str, Any] = {"status": view.value("status"), "why": view.value("why")}
    if view.value("share"):
        try:
            body["share"] = float(view.value("share")) / 100
        except ValueError:
            raise HTTPException(422, view.words("wrong_share", value=view.value("share")[:20])) from None
    if view.value("winner"):
        body["winner"] = view.value("winner")
    await view.api.call("PUT", "/v1/experiments/{experiment}", {"experiment": name}, body)
    return Redirect("growth")


@cached(TTLCache(MAX_KEPT, KEPT_S), key=lambda recommender, now: (recommender.version, now // KEPT_S))
def _segments(recommender: Recommender, now: int) -> list[dict[str, Any]]:
    """Return the number of users, their orders and their expected value by stage of the life cycle."""
    table = recommender.segments(datetime.fromtimestamp(now, UTC))
    if table.is_empty():
        return []
    found: list[dict[str, Any]] = (
        table.group_by(LIFE_CYCLE)
        .agg(
            pl.len().alias("n"),
            pl.col("churn_probability").mean().alias("churn"),
            pl.col("lifetime_value").sum().alias("value"),
            pl.col("is_high_value").sum().alias("n_high"),
        )
        .filter(pl.col(LIFE_CYCLE).is_not_null())
        .sort("n", descending=True)
        .to_dicts()
    )
    return found


PAGES: Final = (
    Page("growth", growth, "growth.html", "growth"),
    Page("growth/experiments/{}", change, tab="growth", method="POST"),
)
