"""Segments of all users, the experiments with their verdicts, and the exposure ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl
from cachetools import TTLCache, cached
from starlette.exceptions import HTTPException

from recsys.pipeline.recommender import Recommender
from serving.console.charts import CoursePoint
from serving.console.view import Content, Page, Redirect, View

LIFE_CYCLE: Final = "life_cycle"
KEPT_S: Final = 600
"""How long the segments of all users are kept: they take seconds for a large shop."""

MAX_KEPT: Final = 4
N_DAYS: Final = 14
SECONDS: Final = 30
"""How long the analysis of an experiment may take."""

SAID_IN_PLACE: Final = (409, 503)


async def growth(view: View) -> Content:
    """Build the page."""
    snapshot = view.api.app_context.watcher.snapshot()
    table = await asyncio.to_thread(_segments, snapshot.recommender, view.api.app_context.clock.now())
    experiments = await view.api.get("/v1/experiments") if view.api.app_context.state.experiments else None
    return {"cycle": table, "experiments": experiments, "can_change": view.api.allows("merchandise")}


async def analysis(view: View) -> Content:
    """Build the verdict on an experiment, with the course of each variant; what prevents it is said in its place."""
    (name,) = view.segments
    found: dict[str, Any] | None = None
    problem = ""
    try:
        found = await view.api.get("/v1/experiments/{experiment}/analysis", experiment=name, seconds=SECONDS)
    except HTTPException as error:
        if error.status_code not in SAID_IN_PLACE:
            raise
        problem = error.detail
    return {"name": name, "found": found, "problem": problem, "courses": {} if found is None else _courses(found)}


def _courses(found: Mapping[str, Any]) -> dict[str, list[tuple[CoursePoint, Mapping[str, Any]]]]:
    """Return the points of each variant after the control, with what was known on their days."""
    courses: dict[str, list[tuple[CoursePoint, Mapping[str, Any]]]] = {}
    for day in found["daily"]:
        for effect in day["effects"]:
            point = CoursePoint(day["days"], effect["lift"], effect["low"], effect["high"])
            courses.setdefault(effect["variant"], []).append((point, day))
    return courses


async def exposure(view: View) -> Content:
    """Build the exposure ledger of the last days."""
    return {"ledger": await view.api.get("/v1/exposure", days=N_DAYS), "days": N_DAYS}


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
    Page("growth/experiments/{}/analysis", analysis, "growth_analysis.html", "growth"),
    Page("growth/exposure", exposure, "growth_exposure.html", "growth"),
    Page("growth/experiments/{}", change, tab="growth", method="POST"),
)
