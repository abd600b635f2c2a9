"""Calls about drafts, as tests make them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.serving.conftest import Client, client_of

TEXT = """# ours
[placements.home]       # 首页
extends = "for_you"
limit = 5

[placements.aside]
extends = "popular"

[pages.start]
placements = ["home", "aside"]
"""


@contextmanager
def desk(models: Path, folder: Path, text: str | None = TEXT, **settings: Any) -> Iterator[Client]:
    """A server whose file of placements tests may change; None for none."""
    path = folder / "placements.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
        settings["placements"] = path
    with client_of(models, store=folder / "store.sqlite", **settings) as client:
        client.app.state.app_context.schedule.step()
        yield client


def refresh(client: Client) -> None:
    """Let the server do what it does each second."""
    client.app.state.app_context.schedule.step()
    client.app.state.app_context.watcher.refresh()


def post(client: Client, path: str, version: str | None = None, /, **body: Any) -> httpx.Response:
    headers = {} if version is None else {"If-Match": version}
    return client.request("POST", path, json=body, headers=headers)


def begin(client: Client, **body: Any) -> tuple[str, str]:
    """Begin a draft; return its path and version."""
    response = post(client, "/v1/drafts", **{"title": "t", **body})
    assert response.status_code == 200, response.text
    return f"/v1/drafts/{response.json()['draft']}", response.headers["etag"]


def actions(client: Client) -> list[str]:
    return [entry["action"] for entry in client.get("/v1/audit").json()["entries"]][::-1]
