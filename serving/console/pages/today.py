"""The first page: how old data and models are, what serves, and what needs attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from serving.console.view import Content, Page, View

OLD_MODEL_S: Final = 3 * 86_400
OLD_DATA_S: Final = 3 * 86_400
N_DAYS: Final = 14
COUNTS: Final = ("lists", "impressions", "clicks", "carts", "purchases")


async def today(view: View) -> Content:
    """Build the page."""
    stats = await view.api.get("/v1/stats", days=N_DAYS)
    recommender = view.api.app_context.watcher.snapshot().recommender
    now = datetime.fromisoformat(stats["now"])
    is_data_clock = stats["clock"] == "data"
    model_age_s = (datetime.now(UTC) - datetime.fromisoformat(stats["model_created_at"])).total_seconds()
    data_age_s = (now - datetime.fromisoformat(stats["data_until"])).total_seconds()
    return {
        "stats": stats,
        "model_age_s": model_age_s,
        "data_age_s": data_age_s,
        "is_data_clock": is_data_clock,
        "n_lists": len(recommender.placements),
        "placements": _by_placement(stats["days"], now.astimezone(ZoneInfo(stats["timezone"])).date()),
        "attention": _attention(view, stats, model_age_s, 0.0 if is_data_clock else data_age_s),
        "notes": recommender.manifest.notes,
    }


def _by_placement(days: Sequence[Mapping[str, Any]], today: date) -> list[dict[str, Any]]:
    """Return the sums of each list over all days, and its lists by day, the oldest day first; most lists first."""
    sums: dict[str, dict[str, Any]] = {}
    for each in days:
        found = sums.setdefault(
            each["placement"], {"name": each["placement"], "revenue": Counter(), "by_day": Counter()}
        )
        for count in COUNTS:
            found[count] = found.get(count, 0) + each[count]
        found["revenue"].update(each["revenue"])
        found["by_day"][each["day"]] += each["lists"]
    last = [str(today - timedelta(days=back)) for back in reversed(range(N_DAYS))]
    for found in sums.values():
        found["by_day"] = [found["by_day"][day] for day in last]
        found["ctr"] = found["clicks"] / found["impressions"] if found["impressions"] else None
    return sorted(sums.values(), key=lambda found: -found["lists"])


def _attention(view: View, stats: Mapping[str, Any], model_age_s: float, data_age_s: float) -> list[str]:
    found = []
    if stats["last_error"]:
        found.append(stats["last_error"])
    if model_age_s > OLD_MODEL_S:
        found.append(view.words("old_model", age=view.words.span(model_age_s)))
    if data_age_s > OLD_DATA_S:
        found.append(view.words("old_data", age=view.words.span(data_age_s)))
    return found


PAGES: Final = (Page("", today, "today.html", "today"),)
