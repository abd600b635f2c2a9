"""One call of the API: its declaration reads the request, answers it and documents it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any, Generic
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from recsys.core.placements import Anchor
from serving.http.body import JSON, Body
from serving.http.parameters import P, ParameterReader
from serving.problems import MEDIA_TYPE as PROBLEM
from serving.problems import failure_of
from serving.runtime.app_context import AppContext
from serving.runtime.auth import Scope as KeyScope

MAX_URL_BYTES = 32_768
"""Room for the parameters of a call, percent-encoded, the longest filter in any script too; uvicorn sets no bound."""

_SEGMENTS = "recsys.segments"
_PATH_NAME = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Operation(Generic[P]):
    """What a method does on a path.

    Attributes:
        method: the HTTP method.
        path: with `{names}` where a segment is a parameter.
        parameters: declaration of all parameters, those of the path first.
        respond: gives the encoded answer, or its parts as they are made, from the service, the parameters and, where
            there is one, the body; its docstring documents the operation.
        answer: types whose fields are the answer's, none if the answer is no JSON object of ours.
        failures: statuses that can come instead, without those of keys and bodies: `statuses` has all.
        anchors: for a list: what the placements that it takes are for.
        media_type: of the answer.
        scope: what a key must be good for, where keys are asked for; None for a call that is open to all.
        body: what it takes as its body, None for nothing.
        status: of a call that succeeds.
    """

    method: str
    path: str
    parameters: type[P]
    respond: Callable[..., Awaitable[bytes | AsyncIterator[bytes]]]
    answer: tuple[type, ...] = ()
    failures: tuple[int, ...] = (414, 422)
    anchors: frozenset[Anchor] = frozenset()
    media_type: str = JSON
    scope: KeyScope | None = None
    body: Body[Any] | None = None
    status: int = 200

    def statuses(self, with_keys: bool) -> tuple[int, ...]:
        """All statuses of failures that can come, ascending, with or without keys."""
        of_keys = (401, 403) if with_keys and self.scope else ()
        of_body = (408, 413, 415) if self.body else ()
        return tuple(sorted({*self.failures, *of_keys, *of_body}))

    @property
    def path_names(self) -> list[str]:
        """Names of the parameters in the path."""
        return _PATH_NAME.findall(self.path)

    @cached_property
    def reader(self) -> ParameterReader[P]:
        """Reads the parameters."""
        return ParameterReader(self.parameters, self.path_names)


class Route(BaseRoute):
    """All operations of one path, straight on ASGI: a call makes no request object, no thread and no dependency.

    The path is matched as it came, before percent-decoding, so that an id may hold an encoded `/`.

    Args:
        path: of the operations.
        operations: what can be done on it.
        service: what they work with.
    """

    def __init__(self, path: str, operations: Iterable[Operation[Any]], service: AppContext) -> None:
        self.path = path
        self._operations = {operation.method: operation for operation in operations}
        self._service = service
        literals = map(re.escape, _PATH_NAME.split(path)[::2])
        self._pattern = re.compile("([^/]*)".join(literals).encode())

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match any method, so that a wrong one is told all the right ones."""
        if scope["type"] == "http":
            found = self._pattern.fullmatch(_raw_path(scope))
            if found is not None:
                return Match.FULL, {_SEGMENTS: found.groups()}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, answer, count and send; whatever is raised on the way becomes a problem."""
        started = perf_counter()
        parameters: object = None
        body: bytes | AsyncIterator[bytes]
        extra: list[tuple[bytes, bytes]] = []
        try:
            operation = self._operation(scope)
            if self._service.keys is not None and operation.scope is not None:
                self._service.keys.check(scope["headers"], operation.scope)
            read = parameters = operation.reader.read(scope[_SEGMENTS], scope["query_string"])
            if operation.body is None:
                body = await operation.respond(self._service, read)
            else:
                given = await self._given(operation.body, scope, receive)
                parameters = given if hasattr(given, "placement") else parameters
                body = await operation.respond(self._service, read, given)
            status, media_type = operation.status, operation.media_type
        except Exception as error:
            failure = failure_of(error)
            status, media_type, body = failure.problem.status, PROBLEM, failure.body
            extra = [(name.lower().encode(), value.encode()) for name, value in failure.headers.items()]
        self._count(parameters, status, perf_counter() - started)
        headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store"), *extra]
        if isinstance(body, bytes):
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": body})
            return
        async for part in body:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _operation(self, scope: Scope) -> Operation[Any]:
        method = scope["method"]
        operation = self._operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            allowed = ", ".join(self._operations)
            raise HTTPException(405, f"{method} is not for this path: use {allowed}", {"Allow": allowed})
        n_bytes = len(scope["query_string"]) + sum(map(len, scope[_SEGMENTS]))
        if n_bytes > MAX_URL_BYTES:
            raise HTTPException(414, f"the parameters take {n_bytes} bytes: expected at most {MAX_URL_BYTES}")
        return operation

    async def _given(self, body: Body[Any], scope: Scope, receive: Receive) -> Any:
        """The body, if it comes in time: one that comes a byte at a time must not hold its connection for ever."""
        seconds = self._service.settings.body_seconds
        try:
            async with asyncio.timeout(seconds):
                return await body.read(scope, receive, self._service.settings.max_body_bytes)
        except TimeoutError:
            told = f"the body was not whole after {seconds:g} s: send it faster, or in several calls"
            raise HTTPException(408, told, {"Connection": "close"}) from None

    def _count(self, parameters: object, status: int, seconds: float) -> None:
        """Count calls for a list, under its name if it exists: a caller's own words would grow without bound."""
        placement = getattr(parameters, "placement", None)
        if placement is not None:
            known = placement in self._service.state.placements
            self._service.telemetry.answered(placement if known else "", status, seconds)


def _raw_path(scope: Scope) -> bytes:
    raw: bytes | None = scope.get("raw_path")
    if raw is None:  # the ASGI specification leaves it to the server
        raw = quote(scope["path"]).encode()
    root = scope.get("root_path")
    return raw.removeprefix(root.encode()) if root else raw
