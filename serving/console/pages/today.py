"""The first page: how old data and models are, what serves, and what needs attention."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from serving.console.view import Content, Page, View

OLD_MODEL_S: Final = 3 * 86_400
OLD_DATA_S: Final = 3 * 86_400


async def today(view: View) -> Content:
    """Build the page."""
    ready = await view.api.get("/health/ready")
    snapshot = view.api.app_context.watcher.snapshot()
    recommender = snapshot.recommender
    now = datetime.fromisoformat(ready["now"])
    made = datetime.fromisoformat(recommender.manifest.created_at)
    is_data_clock = ready["clock"] == "data"
    model_age_s = (datetime.now(UTC) - made).total_seconds()
    data_age_s = now.timestamp() - recommender.data_end
    return {
        "version": ready["model_version"],
        "model_age_s": model_age_s,
        "data_age_s": data_age_s,
        "is_data_clock": is_data_clock,
        "now": ready["now"],
        "n_items": recommender.current.n_items,
        "n_users": len(recommender.engine.users),
        "n_lists": len(recommender.placements),
        "attention": _attention(view, ready, model_age_s, 0.0 if is_data_clock else data_age_s),
        "notes": recommender.manifest.notes,
    }


def _attention(view: View, ready: dict[str, Any], model_age_s: float, data_age_s: float) -> list[str]:
    found = []
    if ready["last_error"]:
        found.append(ready["last_error"])
    if model_age_s > OLD_MODEL_S:
        found.append(view.words("old_model", age=view.words.span(model_age_s)))
    if data_age_s > OLD_DATA_S:
        found.append(view.words("old_data", age=view.words.span(data_age_s)))
    return found


PAGES: Final = (Page("", today, "today.html", "today"),)
