"""Pages about one item or one user: what goes with it, who it is, and why something is listed or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException

from recsys.core.schema import EVENT_NAMES
from recsys.pipeline.recommender import Recommender
from serving.console.items import shown_items
from serving.console.view import Content, Page, Redirect, View
from serving.responses import moment

N_NEIGHBORS: Final = 8
N_LISTED: Final = 8
N_HISTORY: Final = 40
N_FOUND: Final = 20


async def explore(view: View) -> Content | Redirect:
    """Build the page that looks for items and users; an exact id leads to its own page."""
    asked = view.value("q")
    items = await view.api.get("/v1/items", q=asked, limit=N_FOUND)
    users = await view.api.get("/v1/users", q=asked, limit=N_FOUND)
    if asked and any(each["item_id"] == asked for each in items["items"]):
        return Redirect(f"items/{quote(asked, safe='')}")
    if asked and any(each["user_id"] == asked for each in users["users"]):
        return Redirect(f"users/{quote(asked, safe='')}")
    return {"q": asked, "found": items, "users": users["users"]}


async def one_item(view: View) -> Content:
    """Build the page of an item: its facts, and its neighbors of each kind with their evidence."""
    recommender = view.api.app_context.watcher.snapshot().recommender
    described = await view.api.get("/v1/items/{item_id}", item_id=view.segments[0], limit=N_NEIGHBORS)
    item_id, neighbors = described["item_id"], described["neighbors"]
    found = {kind: {"items": items} for kind, items in neighbors.items()}
    ids = [item_id, *(each["item_id"] for items in neighbors.values() for each in items)]
    return {"item_id": item_id, "found": found, "items": shown_items(recommender, ids), "best": _best(found)}


async def one_user(view: View) -> Content:
    """Build the page of a user: segments, history and lists."""
    recommender = view.api.app_context.watcher.snapshot().recommender
    (user_id,) = view.segments
    profile = await view.api.get("/v1/users/{user_id}", user_id=user_id)
    history = _history(recommender, profile["user_id"], view)
    names = [name for name, each in recommender.placements.items() if each.anchor == "user"]
    chosen = view.value("list") if view.value("list") in names else "for_you"
    asked: dict[str, Any] = {"user_id": user_id, "placement": chosen, "limit": N_LISTED, "log": "false"}
    found = await view.api.get("/v1/users/{user_id}/recommendations", **asked)
    ids = [each["item_id"] for each in (*history, *found["items"])]
    return {
        "user_id": user_id,
        "profile": profile,
        "history": history,
        "lists": names,
        "chosen": chosen,
        "found": found,
        "items": shown_items(recommender, ids),
        "best": _best({chosen: found}),
    }


async def why_not(view: View) -> Content:
    """Build the explanation of an item that is, or is not, in a list."""
    recommender = view.api.app_context.watcher.snapshot().recommender
    asked = {name: view.value(name) or None for name in ("item_id", "placement", "user_id", "seed_id")}
    if not asked["item_id"]:
        raise HTTPException(422, view.words("why_needs_item"))
    found = await view.api.get("/v1/explain", **asked, log="false")
    most = max((abs(each["effect"]) for each in found["effects"]), default=1.0) or 1.0
    return {"found": found, "items": shown_items(recommender, [found["item_id"]]), "most": most}


def _best(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the largest score of each list, 1 for an empty one."""
    return {
        name: max((abs(each["score"]) for each in answer["items"]), default=1.0) or 1.0
        for name, answer in found.items()
    }


def _history(recommender: Recommender, user_id: str, view: View) -> list[dict[str, Any]]:
    """Return the latest events of a user, the latest first."""
    now = view.api.app_context.clock.now()
    live, engine = recommender.live, recommender.current
    if live is None:
        return []
    history = live.user(user_id, now).history
    rows = range(len(history) - 1, max(len(history) - 1 - N_HISTORY, -1), -1)
    return [
        {
            "item_id": engine.items.ids[int(history.item_idx[row])],
            "event": EVENT_NAMES[int(history.event_type[row])],
            "at": moment(int(history.timestamp[row])).isoformat(),
        }
        for row in rows
    ]


PAGES: Final = (
    Page("explore", explore, "explore.html", "explore"),
    Page("items/{}", one_item, "item.html", "explore"),
    Page("users/{}", one_user, "user.html", "explore"),
    Page("why", why_not, "why.html", "explore"),
)
