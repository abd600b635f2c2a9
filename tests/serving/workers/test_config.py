"""The configuration of uvicorn."""

from __future__ import annotations

from fastapi import FastAPI

from serving.http.connection import GuardedConnection
from serving.runtime.settings import load_settings
from serving.workers.config import uvicorn_config


def test_connections_are_guarded_and_a_stop_waits_as_long_as_the_settings_allow() -> None:
    config = uvicorn_config(load_settings(shutdown_seconds=3, in_flight_mb=30), FastAPI())
    config.load()
    assert issubclass(config.http_protocol_class, GuardedConnection)  # type: ignore[arg-type]
    assert config.http_protocol_class.budget.limit == 30 << 20
    assert config.timeout_graceful_shutdown == 3
    assert not config.access_log
