"""The lists that can be asked for, with a preview of each."""

from __future__ import annotations

from typing import Any, Final

from serving.api.request_models import ALL_ANCHORS, check_placement
from serving.console.items import shown_items
from serving.console.view import Content, Page, View

N_SHOWN: Final = 12


async def all_lists(view: View) -> Content:
    """Build the page of all lists."""
    recommender = view.api.app_context.watcher.snapshot().recommender
    found = recommender.placements.values()
    drafts = (await view.api.get("/v1/drafts"))["drafts"]
    ordered = sorted(found, key=lambda each: (each.anchor != "user", each.anchor, each.name))
    return {"placements": ordered, "drafts": drafts, "can_change": view.api.allows("merchandise")}


async def one_list(view: View) -> Content:
    """Build the page of one list: what it lists for somebody or something."""
    snapshot = view.api.app_context.watcher.snapshot()
    recommender = snapshot.recommender
    (name,) = view.segments
    check_placement(snapshot, name, ALL_ANCHORS)
    placement, sample = recommender.placements[name], recommender.examples()
    user_id, item_id = view.value("user"), view.value("item")
    if placement.anchor == "item" and not item_id:
        item_id = sample.item_id
    if not (user_id or item_id):
        user_id = sample.user_id
    asked = {"user_id": user_id, "as_of": view.value("as_of"), "filter": view.value("filter")}
    body: dict[str, Any] = {key: value for key, value in asked.items() if value}
    body |= {"placement": name, "limit": N_SHOWN, "log": False, "item_ids": [item_id] if item_id else []}
    found = await view.api.call("POST", "/v1/recommendations", {}, body)
    listed = found["items"]
    return {
        "placement": placement,
        "can_change": view.api.allows("merchandise"),
        "found": found,
        "best": max((abs(each["score"]) for each in listed), default=1.0) or 1.0,
        "items": shown_items(recommender, [each["item_id"] for each in listed]),
        "user_id": user_id,
        "item_id": item_id,
        "as_of": view.value("as_of"),
        "filter": view.value("filter"),
    }


PAGES: Final = (
    Page("lists", all_lists, "lists.html", "lists"),
    Page("lists/{}", one_list, "list.html", "lists"),
)
