"""The server process: listens, starts the workers, reports that it is ready, and stops cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from recsys.core.errors import ConfigError
from recsys.eventlog.store import latest_time
from serving.app import create_app
from serving.runtime.app_context import open_store
from serving.runtime.auth import KeyRing
from serving.runtime.placement_file import check_placements
from serving.runtime.settings import Settings

BACKLOG = 2048
KEEP_ALIVE_S = 75
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
    """Serve until SIGINT or SIGTERM; running requests are completed first.

    Args:
        settings: as checked by `load_settings`.
        on_ready: called once, from another thread, as soon as a bundle is being served.

    Raises:
        ConfigError: the address cannot be listened on, or the keys or the placements cannot be read.
        StoreError: the live log cannot be opened.
    """
    if not settings.models.is_dir():
        raise ConfigError(
            f"the folder of bundles {settings.models} does not exist: give an existing one with --models, or make it"
            f" with `recsys train --models {settings.models}`"
        )
    _check_address(settings)
    settings = _with_start_time(settings)
    with _readiness_poll(settings, on_ready), _ignored_sigterm():
        if settings.workers == 1:
            serve(settings, create_app(settings))
        else:
            with _worker_environment(settings):
                serve(settings, "serving.app:from_environment")


def serve(settings: Settings, app: FastAPI | str) -> None:
    """Run an app on uvicorn with its fast parts, without access log; the entry point configures logging."""
    uvicorn.run(
        app,
        factory=isinstance(app, str),
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


def _check_address(settings: Settings) -> None:
    """Bind once before anything is started, so that a port in use is one clear error."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {settings.host} port {settings.port} ({error.strerror}): choose another port"
            ) from None


def _with_start_time(settings: Settings) -> Settings:
    """Read keys, placements and live log once before anything starts: an error there would only kill the workers.

    Returns:
        The settings with the times that the workers' clocks start from.
    """
    if settings.keys is not None:
        KeyRing(settings.keys)
    check_placements(settings)
    store = open_store(settings)
    try:
        logged_until = latest_time(store)
    finally:
        store.close()
    return settings.model_copy(update={"started_at": time.time(), "logged_until": logged_until})


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
def _worker_environment(settings: Settings) -> Iterator[None]:
    """Pass the settings, and a folder for shared metrics, to the workers through the environment."""
    with tempfile.TemporaryDirectory(prefix="recsys-metrics-") as folder:
        os.environ.update(settings.model_copy(update={"metrics_dir": Path(folder)}).environment())
        yield


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
