from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.faults import FaultProxy, fault_proxy
from tests.serving.conftest import Server


@pytest.fixture(scope="session")
def engine_server(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server with a live log of its own and the present time."""
    server = Server(shop_models, store=tmp_path_factory.mktemp("clients") / "store.sqlite", clock="wall")
    server.wait()
    yield server
    server.stop()


@pytest.fixture
def proxy(engine_server: Server) -> Iterator[FaultProxy]:
    with fault_proxy(engine_server.url) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a developer may name a proxy, which must not get calls to this machine."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
