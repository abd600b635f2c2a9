"""A connection on its own: when it can be moved."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn.server import ServerState

from serving.http.connection import GuardedConnection
from serving.runtime.settings import load_settings
from serving.workers.config import uvicorn_config

REQUEST = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer once the request is complete."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def connected(**settings: Any) -> AsyncIterator[tuple[GuardedConnection, socket.socket]]:
    """A connection, and the caller's socket."""
    theirs, mine = socket.socketpair()
    theirs.setblocking(False)
    mine.setblocking(False)
    config = uvicorn_config(load_settings(**settings), app)  # type: ignore[arg-type]
    made = GuardedConnection(config, ServerState(), {}, _loop=asyncio.get_running_loop())
    await asyncio.get_running_loop().connect_accepted_socket(lambda: made, theirs)
    try:
        yield made, mine
    finally:
        mine.close()
        made.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("sent", "is_free"),
    [
        (b"", True),
        (b"G", False),
        (REQUEST[:-2], False),
        (REQUEST, True),
        (REQUEST + b"G", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf", False),
    ],
)
def test_only_a_connection_between_two_requests_is_moved(sent: bytes, is_free: bool) -> None:
    async def steps() -> None:
        async with connected() as (connection, mine):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(mine, sent)
            await asyncio.sleep(0.05)
            fd = connection.detach()
            assert (fd is not None) is is_free
            if fd is not None:
                os.close(fd)
            assert connection.detach() is None or not is_free

    asyncio.run(steps())
