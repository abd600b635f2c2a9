"""A server that serves the connections that callers have already made when it stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import uvicorn

from serving.http.connection import GuardedConnection


class GracefulServer(uvicorn.Server):
    """uvicorn's server, which would reset the connections that wait to be accepted when it stops.

    Attributes:
        is_stopping: whether connections end after their answers.
        on_idle, on_lost: those of each connection that `open` serves.
    """

    is_stopping = False
    on_idle: Callable[[GuardedConnection], None] | None = None
    on_lost: Callable[[], None] | None = None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what has been sent, and end; see `GuardedConnection.shutdown`."""
        self.is_stopping, rest = True, list[socket.socket]()
        for listener in sockets or []:
            with listener.dup() as waiting:  # the event loop closes its own at once
                waiting.setblocking(False)
                for server in self.servers:
                    server.close()
                listener.close()
                with suppress(OSError):  # none waits
                    while True:
                        rest.append(waiting.accept()[0])
        for connection in rest:
            await self.open(connection)
        await super().shutdown(sockets)

    async def open(self, connection: socket.socket) -> bool:
        """Serve an accepted connection; return false if the caller has already gone."""
        connection.setblocking(False)
        try:
            _, made = await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()
            return False
        if self.is_stopping or self.should_exit:
            made.shutdown()
        return True

    def _protocol(self) -> GuardedConnection:
        connection_type = cast("type[GuardedConnection]", self.config.http_protocol_class)
        loop = asyncio.get_running_loop()
        made = connection_type(self.config, self.server_state, self.lifespan.state, _loop=loop)
        made.on_idle, made.on_lost = self.on_idle, self.on_lost
        return made
