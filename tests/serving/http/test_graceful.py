"""A server that stops answers what callers have sent before."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

import pytest

from serving.http.connection import DRAIN_S
from serving.http.graceful import GracefulServer
from serving.runtime.settings import load_settings
from serving.workers.config import uvicorn_config

REQUEST = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer after a while."""
    if scope["type"] == "http":
        await asyncio.sleep(DRAIN_S / 10)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Running:
    """A server, and what its callers receive."""

    async def __aenter__(self) -> Running:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        config = uvicorn_config(load_settings(), app)  # type: ignore[arg-type]
        config.lifespan = "off"
        self.server = GracefulServer(config)
        self.serving = asyncio.create_task(self.server.serve(sockets=[self.listener]))
        while not self.server.started:
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.serving.cancel()
        with suppress(asyncio.CancelledError):
            await self.serving

    def connect(self) -> socket.socket:
        """Connect as another process would: the event loop does not run meanwhile."""
        return socket.create_connection(self.address)


async def received(caller: socket.socket) -> bytes:
    """Everything until the end of the connection."""
    caller.setblocking(False)
    found, loop = b"", asyncio.get_running_loop()
    async with asyncio.timeout(10):
        with caller:
            while part := await loop.sock_recv(caller, 65_536):
                found += part
    return found


@pytest.mark.parametrize("sent", ["before the stop", "after it"])
def test_callers_that_no_one_has_accepted_yet_are_answered(sent: str) -> None:
    async def steps() -> None:
        async with Running() as running:
            callers = [running.connect() for _ in range(20)]
            if sent == "before the stop":
                for caller in callers:
                    caller.sendall(REQUEST)
            stopping = asyncio.create_task(running.server.shutdown([running.listener]))
            await asyncio.sleep(0)
            if sent == "after it":
                for caller in callers:
                    caller.sendall(REQUEST)
            answers = await asyncio.gather(*map(received, callers))
            await stopping
        assert [(answer[:15], answer[-2:]) for answer in answers] == [(b"HTTP/1.1 200 OK", b"ok")] * 20
        assert all(b"connection: close" in answer for answer in answers)

    asyncio.run(steps())
