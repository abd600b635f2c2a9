"""The server process: listens, starts the workers, reports that it is ready, and stops cleanly."""

from __future__ import annotations

import json
import os
import resource
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from fastapi import FastAPI

from recsys.core.errors import ConfigError
from serving.app import create_app
from serving.http.graceful import GracefulServer
from serving.runtime.app_context import with_start_time
from serving.runtime.settings import METRICS_DIR, Settings
from serving.shops.app import ManyShops
from serving.workers.config import uvicorn_config
from serving.workers.supervisor import Supervisor, allow_many_files

POLL_S = 0.1


@dataclass(frozen=True)
class Ready:
    """A server that serves a bundle.

    Attributes:
        url: of the server.
        model_version: the bundle's version.
        examples: URLs that work with the bundle.
    """

    url: str
    model_version: str
    examples: tuple[str, ...]


OnReady = Callable[[Ready], None]


def run(settings: Settings, on_ready: OnReady = lambda ready: None) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; running requests are completed first.

    Args:
        settings: as checked by `load_settings`.
        on_ready: called once, from another thread, as soon as a bundle is being served.

    Raises:
        ConfigError: the address cannot be listened on, or the keys or the placements cannot be read.
        StoreError: the live log cannot be opened.
    """
    if settings.shops is not None:
        _run_shops(settings, settings.shops)
        return
    if not settings.models.is_dir():
        raise ConfigError(
            f"the folder of bundles {settings.models} does not exist: give an existing one with --models, or make it"
            f" with `recsys train --models {settings.models}`"
        )
    with bound(settings) as listener:
        settings = with_start_time(settings)
        with _readiness_poll(settings, on_ready), _ignored_sigterm(), _hangup_as_sigterm():
            if settings.workers == 1:
                serve(settings, create_app(settings), listener)
            else:
                with _shared_metrics(settings) as settings:
                    Supervisor(settings, listener).run()


def serve(settings: Settings, app: FastAPI, listener: socket.socket) -> None:
    """Run an app in this process; the entry point configures logging."""
    _serve(settings, app, listener)


def _serve(settings: Settings, app: FastAPI | ManyShops, listener: socket.socket) -> None:
    allow_many_files()
    server = GracefulServer(uvicorn_config(settings, app))
    connections = server.server_state.connections
    if hasattr(app.state, "app_context"):
        app.state.app_context.lists.is_crowded = lambda: len(connections) > settings.patient_connections
    server.run(sockets=[listener])


def _run_shops(settings: Settings, root: Path) -> None:
    """Serve the shops of a folder until a signal; see `run`."""
    if not root.is_dir():
        raise ConfigError(f"the folder of shops {root} does not exist: make it, with a folder for each shop")
    with bound(settings) as listener, _ignored_sigterm(), _hangup_as_sigterm():
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # a system may refuse to have no limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # an open shop has 7 files
        settings = settings.model_copy(update={"page_key": settings.page_key or secrets.token_hex()})
        _serve(settings, ManyShops(settings), listener)


def bound(settings: Settings) -> socket.socket:
    """Return a socket with the server's address, bound before anything starts: a port in use is one clear error.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}): choose another port"
        ) from None
    return listener


@contextmanager
def _ignored_sigterm() -> Iterator[None]:
    """Ignore the signal that uvicorn raises again after it has stopped: by then all work is done."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _hangup_as_sigterm() -> Iterator[None]:
    """Stop as by SIGTERM when the terminal closes; under `nohup`, which ignores that, go on."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _shared_metrics(settings: Settings) -> Iterator[Settings]:
    """Yield the workers' settings, with a folder for metrics that is also in the variable that the library reads."""
    with tempfile.TemporaryDirectory(prefix="recsys-metrics-") as folder:
        os.environ[METRICS_DIR] = folder
        yield settings.model_copy(update={"metrics_dir": Path(folder)})


@contextmanager
def _readiness_poll(settings: Settings, on_ready: OnReady) -> Iterator[None]:
    """Poll the server itself, as a load balancer would: this works for any number of workers."""
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(POLL_S):
            ready = _readiness(settings)
            if ready is not None:
                on_ready(ready)
                return

    thread = threading.Thread(target=watch, name="readiness", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _readiness(settings: Settings) -> Ready | None:
    connection = HTTPConnection(settings.host, settings.port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        if response.status != 200:
            return None
        body = json.load(response)
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{settings.port}"
    return Ready(url, body["model_version"], tuple(url + path for path in body["examples"]))
