"""The worker's end of the channel, in this process."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from serving.http.graceful import GracefulServer
from serving.runtime.settings import load_settings
from serving.workers.channel import Channel, Order, pair
from serving.workers.config import uvicorn_config
from serving.workers.worker import ORDERS_PER_TURN, WorkerLink, n_ended_of

REQUEST = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer `ok` to everything."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def drive(steps: Any) -> None:
    """Run steps on a link and its parent's end."""
    ours, theirs = pair()
    parent, server = Channel(ours), GracefulServer(uvicorn_config(load_settings(), app))  # type: ignore[arg-type]
    serving = asyncio.create_task(server.serve(sockets=[]))
    while not server.started:
        await asyncio.sleep(0.01)
    end = Channel(theirs)
    link = WorkerLink(server, end)
    running = asyncio.create_task(link.run())
    try:
        await steps(parent)
        parent.close()
        await asyncio.wait_for(serving, 30)  # the end of the parent ends the worker
    finally:
        running.cancel()
        parent.close()
        end.close()


async def caller(parent: Channel) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Hand one end of a new connection to the worker; return the other one."""
    mine, its = socket.socketpair()
    assert parent.send(Order.SERVE, its.fileno())
    its.close()
    mine.setblocking(False)
    return await asyncio.open_connection(sock=mine)


async def answer(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    reader, writer = connection
    writer.write(REQUEST)
    return await asyncio.wait_for(reader.readuntil(b"ok"), 30)


async def report(parent: Channel, n_ended: int) -> None:
    async with asyncio.timeout(30):
        while (message := parent.receive()) is None or n_ended_of(message.content) != n_ended:
            await asyncio.sleep(0.01)


def test_a_connection_is_served_and_its_end_is_reported() -> None:
    async def steps(parent: Channel) -> None:
        await report(parent, 0)
        connection = await caller(parent)
        assert (await answer(connection)).startswith(b"HTTP/1.1 200")
        connection[1].close()
        await report(parent, 1)

    asyncio.run(drive(steps))


def test_a_crowd_of_connections_is_served_in_several_turns() -> None:
    async def steps(parent: Channel) -> None:
        callers = [await caller(parent) for _ in range(3 * ORDERS_PER_TURN + 1)]
        answers = await asyncio.gather(*map(answer, callers))
        assert all(each.startswith(b"HTTP/1.1 200") for each in answers)
        for _, writer in callers:
            writer.close()
        await report(parent, len(callers))

    asyncio.run(drive(steps))


def test_a_connection_is_returned_between_two_requests_and_goes_on_elsewhere() -> None:
    async def steps(parent: Channel) -> None:
        connection = await caller(parent)
        await answer(connection)
        assert parent.send(Order.GIVE_BACK)
        await asyncio.sleep(0.1)
        await answer(connection)  # the last one that this worker answers
        async with asyncio.timeout(30):
            while (message := parent.receive()) is None or message.fd is None:
                await asyncio.sleep(0.01)
        await report(parent, 1)
        connection[1].write(REQUEST)
        with socket.socket(fileno=message.fd) as returned:
            returned.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(returned, 99) == REQUEST
            await asyncio.get_running_loop().sock_sendall(returned, b"elsewhere: ok")
        assert await connection[0].readuntil(b"ok") == b"elsewhere: ok"
        connection[1].close()

    asyncio.run(drive(steps))


def test_a_message_without_its_descriptor_counts_as_a_connection_that_has_ended() -> None:
    async def steps(parent: Channel) -> None:
        assert parent.send(Order.SERVE)
        await report(parent, 1)

    asyncio.run(drive(steps))


@pytest.mark.parametrize("n_ended", [0, 1, 2**40])
def test_a_report_is_read_as_it_was_written(n_ended: int) -> None:
    assert n_ended_of(n_ended.to_bytes(8, "little")) == n_ended
