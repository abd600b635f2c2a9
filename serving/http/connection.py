"""One connection of a caller, on uvicorn's HTTP protocol."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IS_WANTED: Final = "recsys.is_wanted"
"""Key of a request's scope: returns whether its caller is still there."""

RECEIVED_AT: Final = "recsys.received_at"
"""Key of a request's scope: when its headers were read, by `perf_counter`."""


class GuardedConnection(HttpToolsProtocol):
    """A connection that can be moved to another process between two requests.

    Attributes:
        on_idle: called after each response with the connection; set by a worker.
        on_lost: called when the connection has ended; set by a worker.
    """

    on_idle: Callable[[GuardedConnection], None] | None = None
    on_lost: Callable[[], None] | None = None
    _is_inside_request = False

    def on_message_begin(self) -> None:
        """Note that the bytes of a request have begun to arrive."""
        self._is_inside_request = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note when a request begins to wait, and how to find out whether it still needs an answer."""
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[RECEIVED_AT] = perf_counter()
        scope[IS_WANTED] = self._is_open
        super().on_headers_complete()

    def _is_open(self) -> bool:
        return not self.transport.is_closing()

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        self._is_inside_request = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        super().on_response_complete()
        if self.on_idle is not None:
            self.on_idle(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the worker."""
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def detach(self) -> int | None:
        """End the connection in this process only.

        Returns:
            A file descriptor of it, for another process; None if a request or a response is under way.
        """
        is_answered = self.cycle is None or self.cycle.response_complete
        if self._is_inside_request or not is_answered or self.pipeline or self.transport.is_closing():
            return None
        if self.transport.get_write_buffer_size():
            return None
        self.flow.pause_reading()  # what arrives from here on waits for the other process
        fd = os.dup(self.transport.get_extra_info("socket").fileno())
        self.transport.close()
        return fd
