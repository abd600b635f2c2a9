from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.pipeline.recommender import SampleIds
from serving.runtime.auth import ROLES, SCOPES, Scope, new_key, write_keys
from tests.serving.conftest import Client, client_of

HOST = {"Host": "127.0.0.1:8000"}


@dataclass
class Browser:
    """Calls pages as a browser does: it keeps cookies, and states where a form comes from."""

    client: Client
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._call("GET", path, headers)

    def post(self, path: str, form: dict[str, str], **headers: str) -> httpx.Response:
        return self._call("POST", path, {"Origin": f"http://{HOST['Host']}", **headers}, data=form)

    def _call(self, method: str, path: str, headers: dict[str, str], **sent: Any) -> httpx.Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = self.client.request(method, f"/console{path}", headers={**HOST, "Cookie": cookie, **headers}, **sent)
        for line in reply.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return reply

    @property
    def sample(self) -> SampleIds:
        found: SampleIds = self.client.app.state.app_context.watcher.snapshot().recommender.examples()
        return found


@pytest.fixture(scope="module")
def browser(shop_models: Path) -> Iterator[Browser]:
    with client_of(shop_models) as client:
        yield Browser(client)


@dataclass
class Guarded:
    """A server with keys, and one key per name."""

    client: Client
    secrets: dict[str, str]

    def signed_in(self, name: str) -> Browser:
        found = Browser(self.client)
        found.post("/sign-in", {"key": self.secrets[name]})
        return found


@pytest.fixture
def guarded(own_models: Path, tmp_path: Path) -> Iterator[Guarded]:
    scopes: dict[str, tuple[Scope, ...]] = {**ROLES, "all": SCOPES, "admin": ("admin",), "events": ("events",)}
    made = {name: new_key(name, each, datetime(2026, 1, 1, tzinfo=UTC)) for name, each in scopes.items()}
    write_keys(tmp_path / "keys.json", [key for key, _ in made.values()])
    with client_of(own_models, keys=tmp_path / "keys.json") as client:
        yield Guarded(client, {name: secret for name, (_, secret) in made.items()})
