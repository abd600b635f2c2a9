"""The application: one shop's calls on FastAPI."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.api.routes import OPERATIONS, described
from serving.http.operation import Operation, Route
from serving.problems import MEDIA_TYPE, failure_of
from serving.runtime.app_context import AppContext
from serving.runtime.bundle_watcher import limit_threads
from serving.runtime.settings import Settings, load_settings

NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI would ask OpenTelemetry at every request whether it is there; `/metrics` has our figures."""


def create_app(settings: Settings) -> FastAPI:
    """An app over one folder of bundles; it shares nothing with another.

    It comes up with or without a bundle, and serves each good one that appears. There are no documentation pages:
    FastAPI's load their scripts from another host.

    Args:
        settings: as checked by `load_settings`.

    Raises:
        ConfigError: the file of keys cannot be read, or holds none.
    """
    service = AppContext.of(settings)
    app = FastAPI(openapi_url=None, redirect_slashes=False, lifespan=_lifespan(service), telemetry=NO_TELEMETRY)
    by_path: dict[str, list[Operation[Any]]] = defaultdict(list)
    for operation in OPERATIONS:
        by_path[operation.path].append(operation)
    app.router.routes.extend(Route(path, each, service) for path, each in by_path.items())
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(Exception, _problem)
    app.state.service = service
    app.openapi = lambda: described(service)  # type: ignore[method-assign]
    return app


def from_environment() -> FastAPI:
    """An app as the environment has it, for a worker process."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("serving").setLevel(logging.INFO)
    return create_app(load_settings())


def _lifespan(service: AppContext) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limit_threads(service.settings)
        await asyncio.to_thread(lambda: service.store)  # what cannot be kept must not be taken
        await asyncio.to_thread(service.state.refresh)  # a worker takes calls once it has looked for a bundle
        following = [asyncio.create_task(each.follow()) for each in (service.state, service.impressions)]
        yield
        for task in following:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await service.impressions.flush()
        await asyncio.to_thread(service.close)

    return lifespan


async def _problem(request: Request, error: Exception) -> Response:
    """What is raised outside our own operations: an unknown path, or a fault of the framework."""
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.NOT_FOUND:
        error = HTTPException(HTTPStatus.NOT_FOUND, f"no call has the path {request.url.path}: /openapi.json lists all")
    failure = failure_of(error)
    return Response(failure.body, failure.problem.status, dict(failure.headers), MEDIA_TYPE)
