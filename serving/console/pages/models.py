"""Bundles: what each was trained on and measured, and the change to another one."""

from __future__ import annotations

from typing import Final

from serving.console.view import Content, Page, Redirect, View


async def models(view: View) -> Content:
    """Build the page."""
    found = await view.api.get("/v1/models")
    manifest = view.api.app_context.watcher.snapshot().recommender.manifest
    return {
        "found": found,
        "bundles": list(reversed(found["models"])),
        "manifest": manifest,
        "can_activate": view.api.allows("operate"),
    }


async def activate(view: View) -> Redirect:
    """Make a bundle the active one, and show the page again."""
    await view.api.call("POST", "/v1/models/{version}/activate", {"version": view.segments[0]})
    return Redirect("models")


PAGES: Final = (
    Page("models", models, "models.html", "models"),
    Page("models/{}/activate", activate, tab="models", method="POST"),
)
