"""The lists that can be asked for, with a preview of each."""

from __future__ import annotations

from typing import Final

from serving.api.routes import FOR_ITEM
from serving.console.items import shown_items
from serving.console.view import Content, Page, View

N_SHOWN: Final = 12


async def all_lists(view: View) -> Content:
    """Build the page of all lists."""
    recommender = view.api.app_context.watcher.snapshot().recommender
    found = recommender.placements.values()
    drafts = (await view.api.get("/v1/drafts"))["drafts"] if view.api.allows("view") else []
    ordered = sorted(found, key=lambda each: (each.anchor != "user", each.anchor, each.name))
    return {"placements": ordered, "drafts": drafts, "can_change": view.api.allows("merchandise")}


async def one_list(view: View) -> Content:
    """Build the page of one list: its settings, and what it lists for somebody or something."""
    recommender = view.api.app_context.watcher.snapshot().recommender
    (name,) = view.segments
    placement = recommender.placements.get(name)
    if placement is None:
        await view.api.get("/v1/users/{user_id}/recommendations", user_id="x", placement=name)
    assert placement is not None
    sample = recommender.examples()
    user_id, item_id = view.value("user"), view.value("item")
    is_for_item = placement.anchor == "item"
    if is_for_item and not item_id:
        item_id = sample.item_id
    if not (user_id or item_id):
        user_id = sample.user_id
    as_of = view.value("as_of") or None
    if placement.anchor in FOR_ITEM and item_id:
        found = await view.api.get(
            "/v1/items/{item_id}/recommendations", item_id=item_id, placement=name, user_id=user_id or None,
            as_of=as_of, limit=N_SHOWN, log="false", filter=view.value("filter") or None,
        )  # fmt: skip
    else:
        found = await view.api.get(
            "/v1/users/{user_id}/recommendations", user_id=user_id or "-", placement=name, as_of=as_of,
            limit=N_SHOWN, log="false", filter=view.value("filter") or None,
        )  # fmt: skip
    listed = found["items"]
    best = max((abs(each["score"]) for each in listed), default=1.0) or 1.0
    return {
        "placement": placement,
        "can_change": view.api.allows("merchandise"),
        "found": found,
        "best": best,
        "items": shown_items(recommender, [each["item_id"] for each in listed] + [item_id]),
        "user_id": user_id,
        "item_id": item_id,
        "is_for_item": is_for_item,
        "as_of": as_of or "",
        "filter": view.value("filter"),
    }


PAGES: Final = (
    Page("lists", all_lists, "lists.html", "lists"),
    Page("lists/{}", one_list, "list.html", "lists"),
)
