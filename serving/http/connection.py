"""One connection of a caller, on uvicorn's HTTP protocol, with bounds on what it can hold and how long."""

from __future__ import annotations

import asyncio
import os
import random
from array import array
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from serving.http.byte_budget import ByteBudget, HeldBytes

HELD: Final = "recsys.held"
"""Key of a request's scope: counts the bytes that are held for it."""

IS_WANTED: Final = "recsys.is_wanted"
"""Key of a request's scope: returns whether its caller is still there."""

RECEIVED_AT: Final = "recsys.received_at"
"""Key of a request's scope: when its headers were read, by `perf_counter`."""

PAUSE: Final = "recsys.pause"
"""Key of a request's scope: leaves what its caller sends unread for some seconds after the answer."""

MAX_HEAD_BYTES: Final = 32_768
"""Of the URL and all headers of one request."""

MAX_HEADERS: Final = 200

HEADER_BYTES: Final = 160
"""Memory that a header takes besides its text."""

HEAD_COPIES: Final = 2
"""Memory that a head takes while it is parsed, in multiples of its size."""

END_OF_HEAD: Final = b"\r\n\r\n"

MAX_PIPELINED: Final = 32
"""Requests that wait behind the one that is answered; the connection is closed after the last of them."""

REFUSAL: Final = b"content-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
NO_SCOPE: Final[Any] = {}

HEAD_S: Final = 15.0
"""How long a new connection, or the head of a request, may take."""

PAUSE_SPREAD: Final = 0.5
"""Share by which pauses differ: a crowd that was refused together does not come back together."""

REST_S: Final = 30.0
"""How long the rest of a body may arrive that was answered before its end."""

WRITE_S: Final = 30.0
"""How long a caller may take to read what is buffered for it."""

WRITE_BUFFER_BYTES: Final = 16_384
"""Of answers that a caller has not read; more counts against the budget, and nothing is added to it."""


DRAIN_S: Final = 0.25
"""How long a connection without a whole head stays open as the server stops: it may be on its way."""


_UPGRADE_HEADERS: Final = (b"upgrade", b"http2-settings", b"connection")


class NoUpgradeParser(httptools.HttpRequestParser):
    """A parser that ignores wishes for another protocol, as HTTP allows, and reads the request as any other.

    httptools leaves out the body of such a request; some clients, such as that of Java, add the wish for HTTP/2 to
    every first call. So its head is read a second time, without the wish.

    Args:
        connection: receives what is read.
    """

    def __init__(self, connection: GuardedConnection) -> None:
        super().__init__(connection)
        self._connection = connection
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn: requests may be sent ahead

    def feed_data(self, data: bytes | bytearray | memoryview[int] | array[int]) -> None:
        """Read a part of one or several requests.

        Raises:
            HttpParserError: it is not HTTP.
        """
        parser, connection = self, self._connection
        while True:
            try:
                httptools.HttpRequestParser.feed_data(parser, data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if parser.get_method() == b"CONNECT":
                    raise
                data = connection.head_without_upgrade() + bytes(data[upgrade.args[0] :])
                parser = connection.parser = NoUpgradeParser(connection)  # the other one is at its end


class GuardedConnection(HttpToolsProtocol):
    """A connection that holds little, ends in time, and can be moved to another process between two requests.

    Every state has a timer: the head of a request, the unread rest of a body, the pause between two requests and the
    writing of an answer. While a request is answered, its own limits apply. What all connections of a worker hold
    together, from the first byte of a request to the last byte of its answer, is bounded by a budget.

    Attributes:
        budget: shared by the connections of a worker.
        on_idle: called after each response with the connection; set by a worker.
        on_lost: called when the connection has ended; set by a worker.
    """

    on_idle: Callable[[GuardedConnection], None] | None = None
    on_lost: Callable[[], None] | None = None
    budget: ByteBudget
    _is_inside_request = _is_in_head = _is_ignoring = _is_keep_alive = _is_draining = False
    _n_head = 0
    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _pause_timer: asyncio.TimerHandle | None = None
    _pause_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.parser = NoUpgradeParser(self)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._answer, self.app = self.app, self._run
        self._held, self._unread = HeldBytes(self.budget), HeldBytes(self.budget)
        self._unanswered: list[RequestResponseCycle] = []
        self._close_after(HEAD_S)

    def data_received(self, data: bytes) -> None:
        """Read a part of one or several requests."""
        if self._is_in_head:
            self._n_head += len(data)
        super().data_received(data)
        if not self.transport.is_closing():
            self._check_head(data)
        if self.transport.is_closing():
            self._forget_head()

    def on_message_begin(self) -> None:
        """Note that the bytes of a request have begun to arrive."""
        self._is_inside_request = self._is_in_head = True
        self._n_head = 0  # this part of the data may contain other requests: the exact size is known at its end
        self._held = HeldBytes(self.budget)
        if self._is_answered:
            self._close_after(DRAIN_S if self._is_draining else HEAD_S)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those after a body are left out."""
        if self._is_in_head and len(self.headers) <= MAX_HEADERS:
            self._held.add(HEADER_BYTES)
            super().on_header(name, value)

    def head_without_upgrade(self) -> bytes:
        """Return the head of the request that has been read, without its wish for another protocol."""
        kept = [(name, value) for name, value in self.headers if name not in _UPGRADE_HEADERS]
        if not self._is_keep_alive:
            kept.append((b"connection", b"close"))
        start = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        return start + b"".join(b"%b: %b\r\n" % header for header in kept) + b"\r\n"

    def on_headers_complete(self) -> None:
        """Note when a request begins to wait, and how to find out whether it still needs an answer."""
        self._is_in_head = False
        self._held.close()
        if self._is_read_again:
            self._is_keep_alive = self.parser.should_keep_alive()
            return
        self._cancel_timer()
        if self._is_ignoring or self.transport.is_closing():
            return
        n_head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        is_too_large = n_head > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS
        if is_too_large or not self._held.add(HEAD_COPIES * n_head + HEADER_BYTES * len(self.headers)):
            self._refuse_head(431 if is_too_large else 503)
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            self._is_ignoring = True
            self.pipeline[0][0].keep_alive = False
            return
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[HELD] = self._held
        scope[RECEIVED_AT] = perf_counter()
        scope[IS_WANTED] = self._is_open
        scope[PAUSE] = self._pause_reading_after
        super().on_headers_complete()
        if self._is_draining:
            self.cycle.keep_alive = False
        # uvicorn ends only the latest request with its connection: it may wait behind the one that is answered.
        self._unanswered = [each for each in (*self._unanswered, self.cycle) if not each.response_complete]

    def on_body(self, body: bytes) -> None:
        """Pass a part of a body on; without room for it, its request finds out when it reads on."""
        if self._is_ignoring or self.transport.is_closing() or self.cycle.response_complete:
            return
        if self._held.add(len(body)):
            super().on_body(body)
        else:
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        if self._is_read_again:
            return
        self._is_inside_request = False
        if self._is_ignoring or self.transport.is_closing():
            return
        super().on_message_complete()
        if self._is_answered:
            self._close_after(DRAIN_S if self._is_draining else self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        """Go on with the next request, and keep nothing of the one that is answered."""
        for cycle in self._unanswered:
            if cycle.response_complete:
                cycle.scope, cycle.body = NO_SCOPE, bytearray()
        self._unanswered = [each for each in self._unanswered if not each.response_complete]
        if self.cycle.response_complete and not self._is_in_head:
            self.scope, self.headers, self.url = NO_SCOPE, [], b""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_after_write()
        elif self._is_inside_request and not self.pipeline:
            self._close_after(REST_S)
        self._begin_pause()
        if self.on_idle is not None:
            self.on_idle(self)

    def shutdown(self) -> None:
        """Answer the requests that have been sent, then end; called as the server stops.

        uvicorn would end a connection without a request at once, and so lose one that has not been read yet.
        """
        self._is_draining = True
        if not self._is_answered:
            self.cycle.keep_alive = False
        else:
            self._close_after(DRAIN_S)
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._end_pause()

    def pause_writing(self) -> None:
        """Wait until the caller has read most of what is buffered for it, but not for ever, nor without room for it."""
        super().pause_writing()
        if not self._unread.add(self.transport.get_write_buffer_size()):
            self._abort()
            return
        self._write_timer = self.loop.call_later(WRITE_S, self._abort)

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        self._unread.close()
        self._cancel_write_timer()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that is not used; also if the caller has not read its last answer."""
        super().timeout_keep_alive_handler()
        self._abort_after_write()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel all timers, tell the worker, and free at once what was received."""
        self._leave()
        self._unread.close()
        super().connection_lost(exc)
        self._cancel_timer()
        self._cancel_write_timer()
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._unset_keepalive_if_required()
        self._forget_head()
        self.app = self._answer  # the other one holds this connection
        if self.on_lost is not None:
            self.on_lost()

    def detach(self) -> int | None:
        """End the connection in this process only.

        Returns:
            A file descriptor of it, for another process; None if a request or a response is under way.
        """
        is_free = self._is_answered and not self._is_inside_request and not self.pipeline
        if not is_free or self.transport.is_closing() or self.transport.get_write_buffer_size():
            return None
        self.flow.pause_reading()  # what arrives from here on waits for the other process
        fd = os.dup(self.transport.get_extra_info("socket").fileno())
        self.transport.close()
        return fd

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_read_again(self) -> bool:
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _is_open(self) -> bool:
        return not self.transport.is_closing()

    def _pause_reading_after(self, seconds: float) -> None:
        self._pause_s = seconds

    def _begin_pause(self) -> None:
        """Read nothing for a while, if the answer was a refusal: a crowd that repeats at once costs nobody time."""
        seconds, self._pause_s = self._pause_s, 0.0
        if seconds and not self.transport.is_closing():
            self.flow.pause_reading()
            self._pause_timer = self.loop.call_later(seconds * _spread(), self._end_pause)

    def _end_pause(self) -> None:
        self._pause_timer = None
        self.flow.resume_reading()

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and hold nothing for it then."""
        try:
            await self._answer(scope, receive, send)
        finally:
            scope[HELD].close()

    def _check_head(self, data: bytes) -> None:
        """Refuse a head that is too large so far, or that there is no room for."""
        if self._is_in_head:
            n_new = len(data) if self._n_head else len(data) - max(data.rfind(END_OF_HEAD), 0)
            if self._n_head > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
                self._refuse_head(431)
            elif not self._held.add(HEAD_COPIES * n_new):
                self._refuse_head(503)
        elif not self._is_inside_request and self._timer is None and self._is_answered:
            self._close_after(self.timeout_keep_alive)  # only blank lines have arrived

    def _forget_head(self) -> None:
        """Free at once what was read of a head: a crowd of connections may be refused before the first one ends."""
        if self._is_in_head:
            self._held.close()
        self.parser = None  # type: ignore[assignment]
        self.scope, self.headers, self.url = NO_SCOPE, [], b""

    def _refuse_head(self, status: int) -> None:
        """Answer, unless another answer is under way, and end the connection."""
        if self._is_answered:
            self.transport.write(STATUS_LINE[status] + REFUSAL)
        self.transport.close()
        self._abort_after_write()

    def _abort(self) -> None:
        self._leave()
        self.transport.abort()

    def _leave(self) -> None:
        """Write nothing more: neither the answer that is under way nor those of requests that were sent ahead."""
        for cycle in self._unanswered:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        for cycle, _ in self.pipeline:
            held: HeldBytes = cycle.scope[HELD]  # type: ignore[typeddict-item]
            held.close()
            cycle.scope, cycle.body = NO_SCOPE, bytearray()
        self.pipeline.clear()
        if self._is_in_head:
            self._held.close()

    def _close_after(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abort_after_write(self) -> None:
        """End a connection that is closing although its caller does not read the rest."""
        self._cancel_write_timer()
        if self.transport.get_write_buffer_size():
            self._write_timer = self.loop.call_later(WRITE_S, self._abort)

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def _spread() -> float:
    return 1 + PAUSE_SPREAD * random.random()  # noqa: S311 - no secret
