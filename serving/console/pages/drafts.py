"""Drafts of the lists: written and previewed side by side, compared for many shoppers, reviewed, activated, undone."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException

from serving.api.routes import FOR_ITEM
from serving.console.items import shown_items
from serving.console.view import Content, Page, Redirect, View

N_GROUPS: Final = 5
"""Items, brands and categories that gain most and that lose most."""

NUMBERS: Final = ("limit", "diversity", "tail_share", "new_share", "max_per_category")
"""Settings of a list that the form has as numbers; all others are in its text."""

DRAFT: Final = "/v1/drafts/{draft}"


async def begin(view: View) -> Redirect:
    """Begin a draft, and open it at a list."""
    name = view.value("list")
    body = {"title": view.value("title") or view.words("draft_of", name=name or view.words("tab_lists"))}
    draft = await view.api.call("POST", "/v1/drafts", {}, body)
    return _editor(draft["draft"], name)


async def editor(view: View) -> Content:
    """Build the page of a draft: its text, the form of one of its lists, and what it changes."""
    draft = await view.api.get(DRAFT, draft=view.segments[0])
    check = await view.api.get(f"{DRAFT}/check", draft=view.segments[0])
    listed = {each["placement"]: each for each in (await view.api.get("/v1/placements"))["placements"]}
    name = view.value("list") if view.value("list") in listed else "for_you"
    sample = view.api.app_context.watcher.snapshot().recommender.examples()
    own = _tables(draft["toml"]).get(name, {})
    return {
        "draft": draft,
        "check": check,
        "lists": list(listed),
        "name": name,
        "fields": [(key, own.get(key, ""), listed[name]["settings"].get(key)) for key in NUMBERS],
        "filter": own.get("filter", ""),
        "sample": sample,
        "is_for_item": listed[name]["anchor"] in FOR_ITEM,
        "can_change": view.api.allows("merchandise"),
    }


async def save(view: View) -> Redirect:
    """Keep the text of a draft, or the form of one of its lists."""
    (draft_id,) = view.segments
    name = view.value("list")
    if "toml" in view.values:
        body: dict[str, Any] = {"toml": view.values["toml"].replace("\r\n", "\n")}
    else:
        present = await view.api.get(DRAFT, draft=draft_id)
        table = _tables(present["toml"]).get(name, {}) | {key: _number(view, key) for key in NUMBERS}
        table["filter"] = view.value("filter") or None
        body = {"placements": {name: {key: value for key, value in table.items() if value is not None}}}
    await view.api.call("PATCH", DRAFT, {"draft": draft_id}, body, view.value("version"))
    return _editor(draft_id, name)


async def preview(view: View) -> Content:
    """Build a list by the draft beside the list that is served."""
    placement = view.value("list", "for_you")
    body: dict[str, Any] = {"placement": placement}
    if view.value("user"):
        body["user_id"] = view.value("user")
    if view.value("item"):
        body["item_ids"] = [view.value("item")]
    if view.value("as_of"):
        body["as_of"] = view.value("as_of")
    found = await view.api.call("POST", f"{DRAFT}/preview", {"draft": view.segments[0]}, body)
    both = [answer for answer in (found["drafted"], found["served"]) if answer is not None]
    ids = [each["item_id"] for answer in both for each in answer["items"]]
    best = max((abs(each["score"]) for answer in both for each in answer["items"]), default=1.0) or 1.0
    recommender = view.api.app_context.watcher.snapshot().recommender
    return {"found": found, "items": shown_items(recommender, ids), "best": best}


async def difference(view: View) -> Content:
    """Build the comparison for many shoppers: whose lists change, and who gains and loses."""
    body = {"n_shoppers": int(view.value("n", "200")) if view.value("n", "200").isdecimal() else 200}
    found = await view.api.call("POST", f"{DRAFT}/difference", {"draft": view.segments[0]}, body)
    return {"found": found, "extremes": _extremes}


async def estimate(view: View) -> Content:
    """Build the estimate of a list's clicks from the lists that the log has."""
    body = {"placement": view.value("list", "for_you")}
    return {"found": await view.api.call("POST", f"{DRAFT}/estimate", {"draft": view.segments[0]}, body)}


async def activate(view: View) -> Redirect:
    """Let a draft be served, now or at a time."""
    body = {"reason": view.value("reason")} | ({"activate_at": view.value("at")} if view.value("at") else {})
    await view.api.call("POST", f"{DRAFT}/activate", {"draft": view.segments[0]}, body, view.value("version"))
    return Redirect("lists")


async def delete(view: View) -> Redirect:
    """Remove a draft."""
    await view.api.call("DELETE", DRAFT, {"draft": view.segments[0]}, version=view.value("version"))
    return Redirect("lists")


async def audit(view: View) -> Content:
    """Build the page of all changes."""
    before = view.value("before") or None
    found = await view.api.get("/v1/audit", before=before)
    present = await view.api.get("/v1/placements")
    return {"found": found, "present": present["file_version"], "can_change": view.api.allows("merchandise")}


async def roll_back(view: View) -> Redirect:
    """Serve the lists of an earlier version again."""
    body = {"version": view.value("version"), "reason": view.value("reason")}
    await view.api.call(
        "POST",
        "/v1/placements/rollback",
        {},
        {key: value for key, value in body.items() if value},
        view.value("present"),
    )
    return Redirect("audit")


def _step(name: str) -> Callable[[View], Coroutine[Any, Any, Redirect]]:
    async def step(view: View) -> Redirect:
        path, values = f"{DRAFT}/{name}", {"draft": view.segments[0]}
        await view.api.call("POST", path, values, {"reason": view.value("reason")}, view.value("version"))
        return _editor(view.segments[0], view.value("list"))

    return step


def _extremes(groups: Sequence[Any]) -> list[Any]:
    """Return those that gain most, and those that lose most."""
    return [*groups[:N_GROUPS], *groups[N_GROUPS:][-N_GROUPS:]]


def _editor(draft_id: str, name: str) -> Redirect:
    return Redirect(f"drafts/{quote(draft_id, safe='')}?list={quote(name, safe='')}")


def _tables(text: str) -> Mapping[str, dict[str, Any]]:
    """Return the tables of the lists in a text, none while it is not TOML."""
    try:
        found = tomllib.loads(text).get("placements", {})
    except tomllib.TOMLDecodeError:
        return {}
    return {name: table for name, table in found.items() if isinstance(table, dict)} if isinstance(found, dict) else {}


def _number(view: View, key: str) -> float | int | None:
    text = view.value(key)
    if not text:
        return None
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        raise HTTPException(422, view.words("wrong_number", key=key, value=text[:40])) from None


PAGES: Final = (
    Page("drafts", begin, tab="lists", method="POST"),
    Page("drafts/{}", editor, "draft.html", "lists"),
    Page("drafts/{}", save, tab="lists", method="POST"),
    Page("drafts/{}/preview", preview, "draft_preview.html", "lists"),
    Page("drafts/{}/difference", difference, "draft_difference.html", "lists"),
    Page("drafts/{}/estimate", estimate, "draft_estimate.html", "lists"),
    Page("drafts/{}/review", _step("review"), tab="lists", method="POST"),
    Page("drafts/{}/withdraw", _step("withdraw"), tab="lists", method="POST"),
    Page("drafts/{}/activate", activate, tab="lists", method="POST"),
    Page("drafts/{}/delete", delete, tab="lists", method="POST"),
    Page("audit", audit, "audit.html", "lists"),
    Page("audit/rollback", roll_back, tab="lists", method="POST"),
)
