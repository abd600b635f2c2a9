"""The FastAPI application of one shop."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.api.routes import OPERATIONS, described
from serving.console.site import STATIC, ConsoleRoute
from serving.demo_shop.site import DemoShop
from serving.http.operation import Operation, Route, find_route
from serving.http.static import StaticFolder
from serving.problems import MEDIA_TYPE, failure_of
from serving.runtime.app_context import AppContext
from serving.runtime.settings import Settings
from serving.runtime.snapshot import limit_threads

NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI would look for OpenTelemetry at every request; the metrics are at `/metrics`."""


WIDGET: Final = Path(__file__).parent / "web"


class ShopApp(FastAPI):
    """A FastAPI application whose own calls skip its middleware: they turn their exceptions into problems themselves.

    With middleware of a user, every call passes through all of it.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] == "http" and not self.user_middleware:
            route = find_route(self.router.routes, scope)
            if route is not None:
                await route.handle(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def create_app(settings: Settings) -> FastAPI:
    """Return an app over one folder of bundles; it shares nothing with other apps.

    It starts with or without a bundle, and serves each good one that appears. It has no documentation pages: FastAPI's
    load their scripts from another host.

    Args:
        settings: as checked by `load_settings`.

    Raises:
        ConfigError: the file of keys cannot be read, or contains none.
    """
    app_context = AppContext.of(settings)
    app = ShopApp(openapi_url=None, redirect_slashes=False, lifespan=_lifespan(app_context), telemetry=NO_TELEMETRY)
    by_path: dict[str, list[Operation[Any]]] = defaultdict(list)
    for operation in OPERATIONS:
        by_path[operation.path].append(operation)
    app.router.routes.extend(Route(path, each, app_context) for path, each in by_path.items())
    app.router.routes += [STATIC, ConsoleRoute(app_context)]
    widget = StaticFolder("/widget/", WIDGET, is_shared=True)
    app.router.routes.append(widget)
    if settings.demo_shop:
        app.router.routes.extend(DemoShop(app_context, widget.url("rec-list.js")).routes())
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(Exception, _problem)
    app.state.app_context = app_context
    app.openapi = lambda: described(app_context)  # type: ignore[method-assign]
    return app


def log_to_stderr() -> None:
    """Configure the log of a worker process; the entry point configures that of a server without workers."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("serving").setLevel(logging.INFO)


def _lifespan(app_context: AppContext) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limit_threads(app_context.settings)
        await asyncio.to_thread(
            lambda: app_context.store
        )  # opened first: no event may be accepted that cannot be stored
        await asyncio.to_thread(app_context.watcher.refresh)  # a worker accepts calls once it has looked for a bundle
        if (snapshot := app_context.watcher.current) is not None:
            await asyncio.to_thread(app_context.plans.check, snapshot)
        running = (app_context.watcher, app_context.impressions, app_context.retention, app_context.schedule)
        tasks = [asyncio.create_task(each.run()) for each in running]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await app_context.impressions.flush()
        await asyncio.to_thread(app_context.close)

    return lifespan


async def _problem(request: Request, error: Exception) -> Response:
    """Return the problem for an error outside the operations: an unknown path, or a fault of the framework."""
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.NOT_FOUND:
        error = HTTPException(HTTPStatus.NOT_FOUND, f"no call has the path {request.url.path}: see /openapi.json")
    failure = failure_of(error)
    return Response(failure.body, failure.problem.status, dict(failure.headers), MEDIA_TYPE)
