"""Folders of small shops, and an application over them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from serving.runtime.auth import Scope, new_key, write_keys
from serving.runtime.settings import load_settings
from serving.shops.app import ManyShops

EVERY: tuple[Scope, ...] = ("admin",)


def add_shop(root: Path, name: str, models: Path, toml: str = "", *, guarded: bool = True) -> str:
    """Add a shop with the bundle of a folder of bundles; return its key."""
    folder = root / name
    shutil.copytree(models, folder / "models", copy_function=shutil.copy)
    for each in (folder / "models").glob("store.sqlite*"):
        each.unlink()
    (folder / "shop.toml").write_text(toml if guarded else "open = true\n" + toml, encoding="utf-8")
    key, secret = new_key(name, EVERY, datetime(2026, 1, 1, tzinfo=UTC))
    if guarded:
        write_keys(folder / "keys.json", [key])
    return secret


@dataclass
class Installation:
    """Calls an application of many shops without a socket."""

    app: ManyShops
    runner: asyncio.Runner
    client: httpx.AsyncClient

    def call(
        self, method: str, path: str, host: str = "installation", key: str | None = None, **given: Any
    ) -> httpx.Response:
        headers = {"Host": host} | ({"X-API-Key": key} if key else {})
        return self.runner.run(self.client.request(method, path, headers=headers, **given))

    def get(self, path: str, host: str = "installation", key: str | None = None) -> httpx.Response:
        return self.call("GET", path, host, key)


@contextmanager
def installation(root: Path, **settings: Any) -> Iterator[Installation]:
    app = ManyShops(load_settings(shops=root, clock="data", poll_seconds=0.01, page_key="k" * 16, **settings))
    with asyncio.Runner() as runner:
        arrived: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        said: list[str] = []

        async def send(message: Any) -> None:
            said.append(message["type"])

        async def start() -> asyncio.Task[None]:
            await arrived.put({"type": "lifespan.startup"})
            living = asyncio.create_task(app({"type": "lifespan"}, arrived.get, send))
            while not said:
                await asyncio.sleep(0.001)
            return living

        async def stop(living: asyncio.Task[None], client: httpx.AsyncClient) -> None:
            await client.aclose()
            await arrived.put({"type": "lifespan.shutdown"})
            await living

        living = runner.run(start())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://installation")
        try:
            yield Installation(app, runner, client)
        finally:
            runner.run(stop(living, client))
        assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
