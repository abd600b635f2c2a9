"""The configuration of uvicorn, the same for one worker and for several."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp

from serving.http.byte_budget import ByteBudget
from serving.http.connection import GuardedConnection
from serving.runtime.settings import Settings

BACKLOG = 2048
KEEP_ALIVE_S = 75


def uvicorn_config(settings: Settings, app: ASGIApp) -> uvicorn.Config:
    """Return uvicorn with its fast parts, without access log; the entry point configures logging.

    All connections of one configuration share a budget of bytes.
    """
    budget = ByteBudget(settings.in_flight_mb << 20)
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=type(GuardedConnection.__name__, (GuardedConnection,), {"budget": budget}),
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
