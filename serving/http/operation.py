"""Operations of the API: a declaration of one reads the request, answers it and documents it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from inspect import iscoroutinefunction
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Generic, Literal, TypeVar, cast
from urllib.parse import quote

import msgspec
from msgspec import structs
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from recsys.core.placements import Anchor
from serving.http.body import JSON, Body
from serving.http.caller import IF_MATCH, Caller
from serving.http.connection import HELD, IS_WANTED, PAUSE, RECEIVED_AT
from serving.http.cors import OriginPolicy, is_preflight
from serving.http.fields import OpenQuery
from serving.http.parameters import OpenQueryReader, P, ParameterReader
from serving.problems import MEDIA_TYPE as PROBLEM
from serving.problems import Failure, failure_of
from serving.runtime.app_context import AppContext
from serving.runtime.auth import ADMIN, BROWSE, Key
from serving.runtime.auth import Scope as KeyScope
from serving.runtime.key_limits import Account
from serving.runtime.list_queue import always

MAX_URL_BYTES: Final = 24_576
"""All parameters of a call, percent-encoded: enough for the longest filter in any script; uvicorn has no limit."""

STALE: Final = "Recsys-Stale"
"""Header of lists that lack the newest entries of the live log: for how many seconds it could not be read."""

T = TypeVar("T")
Tag = Literal[
    "recommendations", "events", "catalog", "users", "models", "experiments", "placements", "console", "operations"
]
LISTS: Final[Tag] = "recommendations"
METRICS: Final = "/metrics"

VersionHeader = Literal["", "If-Match", "If-None-Match"]

FOR_BROWSERS: Final[frozenset[tuple[KeyScope, Tag]]] = frozenset(
    {("recommend", "recommendations"), ("events", "events")}
)
"""Scope and tag of the calls that pages of other origins may send."""


def never(*given: Any) -> bool:
    """Return false: no answer is known to be short."""
    return False


@dataclass(frozen=True)
class Reply:
    """A response with headers of its own.

    Attributes:
        content: the body.
        headers: in addition to those of every response.
        status: the HTTP status.
    """

    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


Answer = bytes | Reply | AsyncIterator[bytes]

_SEGMENTS: Final = "recsys.segments"
_PATH_NAME: Final = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Operation(Generic[P]):
    """What a method does on a path.

    Attributes:
        method: the HTTP method.
        path: with `{names}` where a segment is a parameter.
        parameters: declaration of all parameters, of path and query.
        respond: returns the encoded response, or its parts as they are made, from the app's context, the parameters
            and, if there is one, the body; its docstring documents the operation. A coroutine function runs in the
            event loop, any other when its turn comes among the lists.
        tag: the group of the operation in the OpenAPI document.
        answer: types whose fields are the response's, in this order; empty for a response without a schema.
        failures: statuses of failures besides those of every call, of keys and of bodies; `statuses` has all.
        anchors: for a list: the anchors of the placements that it takes.
        media_type: of the response.
        scope: the scope that a key must have, if keys are required; None for a call that is open to all.
        body: declaration of the body, None for a call without one.
        cached: returns the response where it is known already, from the app's context and the parameters; it runs in
            the event loop before `respond`.
        is_urgent: whether it does not wait behind lists.
        is_short: returns whether `respond` takes a few milliseconds for some parameters and a body, and so may run in
            the event loop, see `ListQueue`.
        also: scopes that suffice as well as `scope`.
        takes_caller: whether `respond` gets the `Caller` as its last argument.
        version_header: the header with the version that the caller has: `If-Match` for a change of it, which must be
            given; `If-None-Match` for a read. With it, `respond` takes the caller.
        cost: how many calls a body counts as, for limits of keys; one if not given.
    """

    method: str
    path: str
    parameters: type[P]
    respond: Callable[..., Answer | Awaitable[Answer]]
    tag: Tag = "operations"
    answer: tuple[type, ...] = ()
    failures: tuple[int, ...] = ()
    anchors: frozenset[Anchor] = frozenset()
    media_type: str = JSON
    scope: KeyScope | None = None
    body: Body[Any] | None = None
    cached: Callable[[AppContext, P], bytes | None] | None = None
    is_urgent: bool = False
    is_short: Callable[..., bool] = never
    also: tuple[KeyScope, ...] = ()
    takes_caller: bool = False
    version_header: VersionHeader = ""
    cost: Callable[[Any], int] | None = None

    @property
    def statuses(self) -> tuple[int, ...]:
        """Statuses of all failures, ascending; 401, 403 and 429 occur only if keys are required."""
        of_keys = (401, 403, 429) if self.scope else ()
        of_body = (408, 413, 415, 503) if self.body else ()
        of_version = (409, 428) if self.version_header == "If-Match" else ()
        return tuple(sorted({414, 422, 431, *self.failures, *of_keys, *of_body, *of_version}))

    @property
    def is_for_browsers(self) -> bool:
        """Whether pages of the allowed origins may send the call."""
        return (self.scope, self.tag) in FOR_BROWSERS

    @property
    def path_names(self) -> list[str]:
        """Names of the parameters in the path."""
        return _PATH_NAME.findall(self.path)

    @cached_property
    def _is_async(self) -> bool:
        return iscoroutinefunction(self.respond)

    def for_key(self, key: Key | None, given: T, app_context: AppContext) -> T:
        """Return parameters or a body as the key may send them: a key of pages reaches no user's lists.

        Its `visitor_id` is left out where it is the id of a user, as if nothing were known of it.

        Raises:
            HTTPException: 403, they have a `user_id`.
        """
        if key is None or BROWSE not in self.also or not {self.scope, ADMIN}.isdisjoint(key.scopes):
            return given
        if getattr(given, "user_id", None) is not None:
            raise HTTPException(
                403, f"the key has the scope {BROWSE!r}, whose calls name no user: send visitor_id or session_id"
            )
        visitor_id = getattr(given, "visitor_id", None)
        current = app_context.watcher.current
        if visitor_id is None or (current is not None and current.is_visitor(visitor_id)):
            return given
        return cast("T", structs.replace(cast("msgspec.Struct", given), visitor_id=None))

    async def run(self, app_context: AppContext, scope: Scope, parameters: P, *more: Any) -> Answer:
        """Return the response.

        Raises:
            RecsysError: what is wrong with the request, or the server has too much to do.
            HTTPException: the same.
        """
        if self.cached is not None and (known := self.cached(app_context, parameters)) is not None:
            return known
        if self._is_async:
            return await cast("Awaitable[Answer]", self.respond(app_context, parameters, *more))
        job = partial(cast("Callable[..., Answer]", self.respond), app_context, parameters, *more)
        is_wanted = scope.get(IS_WANTED, always)
        is_short = self.is_short(parameters, *more)
        return await app_context.lists.run(job, is_wanted=is_wanted, is_urgent=self.is_urgent, is_short=is_short)

    @cached_property
    def reader(self) -> ParameterReader[P]:
        """Reads the parameters."""
        if self.parameters is OpenQuery:
            return cast("ParameterReader[P]", OpenQueryReader(OpenQuery, ()))
        return ParameterReader(self.parameters, self.path_names, remembers=self.cached is not None)


class CountedCall:
    """Context of one call: turns an exception into a failure, and counts the call if it is for a list.

    Args:
        app_context: counts the call.
        started: when its headers were read, by `perf_counter`; now if not given.

    Attributes:
        placement: the list that the call names, None if it is not for one.
        failure: what was raised, None after success.
    """

    __slots__ = ("_app_context", "_started", "failure", "placement")

    def __init__(self, app_context: AppContext, started: float | None = None) -> None:
        self._app_context = app_context
        self._started = perf_counter() if started is None else started
        self.placement: str | None = None
        self.failure: Failure | None = None

    def __enter__(self) -> CountedCall:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            if not isinstance(error, Exception):
                return False  # the call was cancelled
            self.failure = failure_of(error)
        return self.failure is not None

    def count(self) -> None:
        """Count the call, as taking until now."""
        if self.placement is not None:
            # counted only under names that exist: a caller's own words would grow without bound
            name = self.placement if self.placement in self._app_context.watcher.placements else ""
            status = 200 if self.failure is None else self.failure.problem.status
            self._app_context.telemetry.answered(name, status, perf_counter() - self._started)
            if self._app_context.traces is not None:
                self._app_context.traces.note_placement(name)


class Route(BaseRoute):
    """All operations of one path, directly on ASGI: a call makes no request object, no thread and no dependency.

    The path is matched before percent-decoding, so that an id can contain an encoded `/`.

    Args:
        path: of the operations.
        operations: what can be done on it.
        app_context: passed to the operations.
    """

    def __init__(self, path: str, operations: Iterable[Operation[Any]], app_context: AppContext) -> None:
        self.path = path
        self._operations = {operation.method: operation for operation in operations}
        self._app_context = app_context
        self._is_traced = any(each.scope is not None for each in self._operations.values()) and path != METRICS
        self._for_browsers = [each.method for each in self._operations.values() if each.is_for_browsers]
        self._origins = OriginPolicy(app_context.settings.allowed_origins if self._for_browsers else ())
        literals = map(re.escape, _PATH_NAME.split(path)[::2])
        self._pattern = re.compile("([^/]*)".join(literals).encode())

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match any method, so that the error for a wrong one can name all right ones."""
        if scope["type"] == "http":
            found = self.segments(raw_path(scope))
            if found is not None:
                return Match.FULL, {_SEGMENTS: found}
        return Match.NONE, {}

    def segments(self, sent: bytes) -> tuple[bytes, ...] | None:
        """Return the parameters of a path, percent-encoded; None if it is another path."""
        found = self._pattern.fullmatch(sent)
        return None if found is None else found.groups()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, and trace it unless it is one of operations, such as a health check."""
        traces = self._app_context.traces
        if traces is None or not self._is_traced:
            await self._answer(scope, receive, send)
        else:
            with traces.call(self.path, scope, scope.get(RECEIVED_AT)) as call:
                await self._answer(scope, receive, call.observed(send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, answer, count and send; an exception on the way becomes a problem."""
        app_context = self._app_context
        content: Answer = b""
        account: Account | None = None
        shared = self._origins.headers(scope["headers"])
        with CountedCall(app_context, scope.get(RECEIVED_AT)) as call:
            if self._for_browsers and is_preflight(scope["method"], scope["headers"]):
                await _send_empty(send, self._origins.preflight(scope["headers"], self._for_browsers))
                return
            operation = self._operation(scope)
            key = None
            if app_context.keys is not None and operation.scope is not None:
                key = app_context.keys.check(scope["headers"], operation.scope, *operation.also)
                if (account := app_context.limits.account(key)) is not None:
                    account.begin()
            caller = Caller.of(key, scope["headers"], account) if operation.takes_caller else None
            if caller is not None and operation.version_header == IF_MATCH:
                caller.require_any_version()
            more = () if caller is None else (caller,)
            parameters = operation.reader.read(scope[_SEGMENTS], scope["query_string"])
            call.placement = getattr(parameters, "placement", None)
            parameters = operation.for_key(key, parameters, app_context)
            if operation.body is None:
                content = await operation.run(app_context, scope, parameters, *more)
            else:
                limits = app_context.settings.max_body_bytes, app_context.settings.body_seconds
                body = await operation.body.read(scope["headers"], receive, *limits, scope.get(HELD))
                call.placement = getattr(body, "placement", None)
                body = operation.for_key(key, body, app_context)
                if account is not None and operation.cost is not None:
                    account.charge(operation.cost(body) - 1)
                content = await operation.run(app_context, scope, parameters, body, *more)
        if account is not None:
            shared = {**shared, **account.headers()}
        if call.failure is None:
            if operation.tag == LISTS and (stale_s := app_context.watcher.stale_seconds) is not None:
                shared = {**shared, STALE: str(stale_s)}
            reply = content if isinstance(content, Reply) else Reply(b"")
            content = content.content if isinstance(content, Reply) else content
            await send(_response_start(reply.status, operation.media_type, content, {**reply.headers, **shared}))
        else:
            problem, content = call.failure.problem, call.failure.body
            if call.failure.pause_s and PAUSE in scope:
                scope[PAUSE](call.failure.pause_s)
            await send(_response_start(problem.status, PROBLEM, content, {**call.failure.headers, **shared}))
        if isinstance(content, bytes):
            await send({"type": "http.response.body", "body": content})
            call.count()
            return
        call.count()
        async for part in content:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _operation(self, scope: Scope) -> Operation[Any]:
        method = scope["method"]
        operation = self._operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            allowed = ", ".join(self._operations)
            raise HTTPException(405, f"{method} is not allowed on this path: use {allowed}", {"Allow": allowed})
        n_bytes = len(scope["query_string"]) + sum(map(len, scope[_SEGMENTS]))
        if n_bytes > MAX_URL_BYTES:
            raise HTTPException(414, f"the parameters take {n_bytes} bytes: expected at most {MAX_URL_BYTES}")
        return operation


def find_route(routes: Iterable[BaseRoute], scope: Scope) -> Route | None:
    """Return the first of our routes with the path of an HTTP request; its parameters are added to the scope."""
    sent = raw_path(scope)
    for route in routes:
        if isinstance(route, Route) and (segments := route.segments(sent)) is not None:
            scope[_SEGMENTS] = segments
            return route
    return None


def _response_start(
    status: int, media_type: str, content: bytes | AsyncIterator[bytes], extra: Mapping[str, str] | None = None
) -> Message:
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
    if isinstance(content, bytes):
        headers.append((b"content-length", b"%d" % len(content)))
    if extra:
        headers += [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _send_empty(send: Send, headers: Mapping[str, str]) -> None:
    """Send a 204."""
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 204, "headers": encoded})
    await send({"type": "http.response.body", "body": b""})


def raw_path(scope: Scope) -> bytes:
    """Return the path of a request as it was sent, percent-encoded."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:  # the ASGI specification does not require it of servers
        raw = quote(scope["path"]).encode()
    root = scope.get("root_path")
    return raw.removeprefix(root.encode()) if root else raw
