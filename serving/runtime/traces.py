"""Traces of calls for OpenTelemetry: a span per call, with its wait in the queue and the making of its list.

Spans never name a user, an item or a session: no ids, no URLs, no bodies.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar

from starlette.types import Message, Scope, Send

from recsys.core.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

CONSOLE: Final = "console"
FLUSH_S: Final = 2.0
"""How long spans that wait are sent at most when a process ends: nobody may answer."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that spans name; a caller may send any word."""

CONTEXT_HEADERS: Final = (b"traceparent", b"tracestate")
"""W3C Trace Context."""

R = TypeVar("R")


class CallTrace:
    """The span of one call, until its answer is sent.

    Attributes:
        placement: the list that it is for, "" if it is for none.
        status: of the answer, 0 before it begins.
    """

    __slots__ = ("jobs", "placement", "span", "status")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.placement = ""
        self.status = 0
        self.jobs: list[tuple[int, int, int]] = []  # when each was asked for, begun and done, ns since 1970

    def timed(self, job: Callable[[], R]) -> Callable[[], R]:
        """Return a job that notes when it waits and runs."""
        asked = time_ns()

        def run() -> R:
            begun = time_ns()
            try:
                return job()
            finally:
                self.jobs.append((asked, begun, time_ns()))

        return run

    def observed(self, send: Send) -> Send:
        """Return a function that sends, and notes the status."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            await send(message)

        return sending


_CURRENT: ContextVar[CallTrace | None] = ContextVar("recsys_trace", default=None)


class Traces:
    """Makes the spans of calls.

    Args:
        provider: of OpenTelemetry.
        model_version: returns the version of the bundle that is served, None without one.
    """

    def __init__(self, provider: TracerProvider, model_version: Callable[[], str | None]) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._api = trace
        self._provider = provider
        self._tracer = provider.get_tracer("recsys")
        self._model_version = model_version
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def call(self, route: str, scope: Scope, received_at: float | None) -> Iterator[CallTrace]:
        """Make the span of one call, which continues the trace of the caller if there is one.

        Args:
            route: the path with `{names}`.
            scope: of the request.
            received_at: when its headers were read, by `perf_counter`; now if not given.
        """
        started = time_ns()
        if received_at is not None:
            started -= int((perf_counter() - received_at) * 1e9)
        sent = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in CONTEXT_HEADERS}
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = self._tracer.start_span(
            f"{method} {route}",
            self._propagator.extract(sent) if sent else None,
            self._api.SpanKind.SERVER,
            {"http.request.method": method, "http.route": route},
            start_time=started,
        )
        call = CallTrace(span)
        token = _CURRENT.set(call)
        try:
            yield call
        finally:
            _CURRENT.reset(token)
            self._end(call)

    def timed(self, job: Callable[[], R]) -> Callable[[], R]:
        """Return a job of the present call that notes when it waits and runs; the job itself outside of calls."""
        call = _CURRENT.get()
        return job if call is None or not call.span.is_recording() else call.timed(job)

    def note_placement(self, placement: str) -> None:
        """Note the list of the present call, by a name that exists."""
        call = _CURRENT.get()
        if call is not None:
            call.placement = placement

    def flush(self) -> None:
        """Send the spans that wait."""
        _flush(self._provider)

    def _end(self, call: CallTrace) -> None:
        span, ended = call.span, time_ns()
        if span.is_recording():
            span.set_attribute("http.response.status_code", call.status)
            version = self._model_version()
            if version is not None:
                span.set_attribute("recsys.model_version", version)
            if call.placement:
                span.set_attribute("recsys.placement", call.placement)
            if call.status == 0 or call.status >= 500:  # 0: the caller has gone
                span.set_attribute("error.type", str(call.status) if call.status else "cancelled")
                span.set_status(self._api.StatusCode.ERROR)
            context = self._api.set_span_in_context(span)
            for asked, begun, done in call.jobs:
                for name, start, end in (("queue", asked, begun), ("make", begun, done)):
                    self._tracer.start_span(name, context, start_time=start).end(end)
        span.end(ended)


def open_traces(target: str, model_version: Callable[[], str | None]) -> Traces | None:
    """Return what makes spans, None if nothing is to be traced; only then OpenTelemetry is imported.

    Args:
        target: as the setting `traces`.
        model_version: returns the version of the bundle that is served, None without one.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    return Traces(provider_to(target), model_version) if target else None


def check_installed(target: str) -> None:
    """Refuse a target if spans cannot be made, before anything starts; no thread is started, as workers are forked.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    if not target:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401 - whether they are there
    except ImportError as error:
        raise ConfigError(f"traces need OpenTelemetry ({error}): pip install 'recsys[otel]'") from None


@cache
def provider_to(target: str) -> Any:
    """Return the provider of this process, which all shops share; it has a thread of its own.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    check_installed(target)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    resource = Resource.create({SERVICE_NAME: "recsys"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    atexit.register(_flush, provider)
    exporter = ConsoleSpanExporter(out=sys.stderr) if target == CONSOLE else OTLPSpanExporter(target)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _flush(provider: TracerProvider) -> None:
    """Send the spans that wait, if that takes no longer than `FLUSH_S`, a bound that `force_flush` itself exceeds."""
    sending = threading.Thread(target=provider.force_flush, daemon=True)
    sending.start()
    sending.join(FLUSH_S)
