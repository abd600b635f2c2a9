"""The app over the synthetic shop: called in this process, and as a real server process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace
from typing import IO, Any

import httpx
import pytest
from fastapi import FastAPI

from recsys.bundles.bundle import MANIFEST, verify
from recsys.pipeline.recommender import Recommender
from serving.app import create_app
from serving.runtime import bundle_loader, snapshot
from serving.runtime.settings import load_settings
from tests.launcher import ROOT, Process
from tests.ports import free_port
from tests.shop import copied_models

MAIN = (
    "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); "  # the tests may run under nohup
    "from serving.server import run; from serving.runtime.settings import load_settings; "
    "run(load_settings(), {on_ready})"
)


class Client:
    """Calls an app without a socket; paths are not normalized."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://shop")

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **given))

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def forget(self) -> None:
        """Forget the cookies of earlier answers."""
        self._client.cookies.clear()

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


@pytest.fixture(scope="session", autouse=True)
def opened_bundles() -> Iterator[dict[bytes, Recommender]]:
    """Apps in this process verify every bundle, read those of equal content once, and open without a warm-up.

    Servers in processes of their own do as for users.
    """
    opened: dict[bytes, Recommender] = {}

    def of_bundle(folder: Path) -> Recommender:
        verify(folder)
        content = (folder / MANIFEST).read_bytes()  # with the digest of every other file
        if content not in opened:
            opened[content] = Recommender.of_bundle(folder)
        return opened[content]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "Recommender", SimpleNamespace(of_bundle=of_bundle))
        patch.setattr(bundle_loader, "warm_up", lambda _: None)
        yield opened


@contextmanager
def client_of(models: Path, **settings: Any) -> Iterator[Client]:
    app = create_app(load_settings(models=models, **{"clock": "data", **settings}))
    app.state.app_context.watcher.refresh()
    client = Client(app)
    try:
        yield client
    finally:
        client.close()
        app.state.app_context.close()


@pytest.fixture(scope="session")
def client(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    # Not beside the bundles: a copy of them in this process would end SQLite's locks of an open store.
    with client_of(shop_models, store=tmp_path_factory.mktemp("client") / "store.sqlite") as client:
        yield client


@pytest.fixture
def own_models(shop_models: Path, tmp_path: Path) -> Path:
    """A copy of the models that a test may change."""
    return copied_models(shop_models, tmp_path / "models")


def started(program: str, environment: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]) -> Popen[bytes]:
    """Start a program by the interpreter itself, like `tests.launcher.Process`."""
    command = [sys.executable, "-c", program]
    return Popen(command, cwd=ROOT, env=environment, stdout=stdout, stderr=stderr, start_new_session=True)


class Server:
    """A real server process.

    Args:
        models: folder of its bundles.
        on_ready: what it calls when it is ready.
        is_new: whether it imports its modules itself, for tests of its start and of its memory.
        settings: of the server.
    """

    def __init__(
        self, models: Path, on_ready: str = "lambda ready: None", *, is_new: bool = False, **settings: object
    ) -> None:
        self.port = free_port()
        wanted = {"models": models, "port": self.port, "clock": "data", "poll_seconds": 0.05, **settings}
        environment = os.environ | {f"RECSYS_{name.upper()}": str(value) for name, value in wanted.items()}
        # Files, as a pipe that nobody reads stops a server once it has logged 64 kB.
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        self._outputs: list[str] = []
        self.process = (started if is_new else Process)(MAIN.format(on_ready=on_ready), environment, *self._files)
        self.url = f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        # Without `verify=False` each call reads all root certificates, for HTTPS that no server here has.
        return httpx.request(method, self.url + path, timeout=10, trust_env=False, verify=False, **given)

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def wait(
        self, path: str = "/health/ready", until: Callable[[httpx.Response], bool] | None = None
    ) -> httpx.Response:
        """Repeat a call until the response is as expected, by default a 200."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                response = self.get(path)
            except httpx.TransportError:
                response = None
            if response is not None and (until(response) if until else response.status_code == 200):
                return response
            time.sleep(0.03)
        raise AssertionError(f"{path} did not return as expected; the server's output is {self.stop()}")

    def kill_all(self) -> None:
        """Kill the server and its workers at once, like a power cut."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.end()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; return the exit code and the output."""
        self.process.send_signal(how)
        return self.end()

    def end(self, timeout: float = 20) -> tuple[int, str, str]:
        """Wait until the process has ended, and kill it if that takes too long; return the exit code and the output."""
        try:
            code = self.process.wait(timeout)
        finally:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(timeout)
            while self._files:
                with self._files.pop(0) as file:
                    file.seek(0)
                    self._outputs.append(file.read().decode())
        return code, self._outputs[0], self._outputs[1]


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Start servers that are stopped at the end of the test."""
    started: list[Server] = []

    def start_one(models: Path, **settings: object) -> Server:
        started.append(Server(models, **settings))  # type: ignore[arg-type]
        return started[-1]

    yield start_one
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def server(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only read."""
    server = Server(shop_models, store=tmp_path_factory.mktemp("server") / "store.sqlite")
    server.wait()
    yield server
    server.stop()
