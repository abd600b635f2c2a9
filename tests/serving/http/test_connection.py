"""A connection on its own: its bounds, its ends, and when it can be moved."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from uvicorn.server import ServerState

from serving.http.byte_budget import LARGE_SHARE
from serving.http.connection import DRAIN_S, MAX_PIPELINED, PAUSE, GuardedConnection
from serving.runtime.settings import load_settings
from serving.workers.config import uvicorn_config

REQUEST = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer once the request is complete."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer, and read no more for a minute."""
    scope[PAUSE](60.0)
    await app(scope, receive, send)


@asynccontextmanager
async def connected(answer: Any = app) -> AsyncIterator[tuple[GuardedConnection, socket.socket]]:
    """A connection, and the caller's socket."""
    theirs, mine = socket.socketpair()
    theirs.setblocking(False)
    mine.setblocking(False)
    config = uvicorn_config(load_settings(), answer)  # type: ignore[arg-type]
    config.load()
    made = config.http_protocol_class(config, ServerState(), {}, _loop=asyncio.get_running_loop())
    await asyncio.get_running_loop().connect_accepted_socket(lambda: made, theirs)
    try:
        yield made, mine
    finally:
        mine.close()
        made.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def received(mine: socket.socket) -> bytes:
    """Everything until the end of the connection."""
    found = b""
    async with asyncio.timeout(10):
        while part := await asyncio.get_running_loop().sock_recv(mine, 65_536):
            found += part
    return found


@pytest.mark.parametrize("before", [b"", REQUEST[:9], REQUEST])
def test_a_connection_that_is_to_stop_answers_what_is_on_its_way(before: bytes) -> None:
    async def steps() -> None:
        async with connected() as (connection, mine):
            mine.send(before)
            await asyncio.sleep(0.02)
            connection.shutdown()
            mine.send((REQUEST + REQUEST)[len(before) :])
            answer = await received(mine)
            assert answer.count(b"200 OK") == 1 + (before == REQUEST)
            assert answer.count(b"connection: close") == 1

    asyncio.run(steps())


def test_a_connection_that_is_to_stop_ends_soon_without_a_request() -> None:
    async def steps() -> None:
        async with connected() as (connection, mine):
            connection.shutdown()
            begun = asyncio.get_running_loop().time()
            assert await received(mine) == b""
            assert asyncio.get_running_loop().time() - begun >= 0.9 * DRAIN_S

    asyncio.run(steps())


@pytest.mark.parametrize(("before", "after"), [(REQUEST[:9], b""), (REQUEST[:9], REQUEST[9:12]), (b"", REQUEST[:9])])
def test_a_connection_that_is_to_stop_does_not_wait_for_a_head_that_does_not_end(before: bytes, after: bytes) -> None:
    async def steps() -> None:
        async with connected() as (connection, mine):
            mine.send(before)
            await asyncio.sleep(0.02)
            connection.shutdown()
            mine.send(after)
            assert await received(mine) == b""

    asyncio.run(steps())


def test_a_connection_that_is_to_stop_during_its_pause_answers_what_has_been_sent() -> None:
    async def steps() -> None:
        async with connected(refuse) as (connection, mine):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(mine, REQUEST)
            assert (await loop.sock_recv(mine, 1000)).startswith(b"HTTP/1.1 200")
            await loop.sock_sendall(mine, REQUEST)
            await asyncio.sleep(0.02)
            connection.shutdown()
            answer = await received(mine)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in answer

    asyncio.run(steps())


@pytest.mark.parametrize("rest", [b"56789", b"5", b""])
def test_a_connection_that_is_to_stop_does_not_stay_for_the_rest_of_an_answered_body(rest: bytes) -> None:
    async def early(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def steps() -> None:
        async with connected(early) as (connection, mine):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(mine, b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\n01234")
            assert (await loop.sock_recv(mine, 1000)).startswith(b"HTTP/1.1 413")
            connection.shutdown()
            await loop.sock_sendall(mine, rest)
            assert await received(mine) == b""

    asyncio.run(steps())


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


def test_what_follows_a_refusal_is_read_after_a_pause_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.http.connection.PAUSE_SPREAD", 0.0)
    pauses, began = [0.3, 0.0], list[float]()

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        began.append(asyncio.get_running_loop().time())
        if pause := pauses[len(began) - 1]:
            scope[PAUSE](pause)
        await app(scope, receive, send)

    async def steps() -> None:
        async with connected(refuse) as (_, mine):
            loop = asyncio.get_running_loop()
            for _ in pauses:
                await loop.sock_sendall(mine, REQUEST)
                assert (await loop.sock_recv(mine, 1000)).startswith(b"HTTP/1.1 200"), "the answer itself is not late"

    asyncio.run(steps())
    assert began[1] - began[0] >= 0.25


def test_a_connection_can_end_during_its_pause() -> None:
    async def steps() -> None:
        async with connected(refuse) as (connection, mine):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(mine, REQUEST)
            await loop.sock_recv(mine, 1000)
            connection.transport.abort()
            await asyncio.sleep(0.01)
            assert connection.app is not None

    asyncio.run(steps())


HEAD = b"GET / HTTP/1.1\r\nHost: shop\r\n"


async def exchange(mine: socket.socket, parts: list[bytes]) -> bytes:
    """Send parts and return all that comes back until the connection ends."""
    loop, received = asyncio.get_running_loop(), b""

    async def send() -> None:
        with suppress(OSError):
            for part in parts:
                await loop.sock_sendall(mine, part)

    sending = asyncio.create_task(send())
    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            while part := await loop.sock_recv(mine, 65_536):
                received += part
    sending.cancel()
    return received


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + b"x: " + b"a" * 70_000 + b"\r\n\r\n"],
        [HEAD + b"x: ", *[b"a" * 4096] * 1000],
        [HEAD, *[b"x: y\r\n" * 1000] * 1000],
        [HEAD + b"x: y\r\n" * 201 + b"\r\n"],
        [b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"],
        [b"GET /", *[b"a" * 4096] * 1000],
    ],
    ids=["one huge header", "an endless header", "endless headers", "many headers", "a huge URL", "an endless URL"],
)
def test_a_head_that_is_too_large_is_a_431(parts: list[bytes]) -> None:
    async def steps() -> None:
        async with connected() as (_, mine):
            assert (await exchange(mine, parts)).startswith(b"HTTP/1.1 431 ")

    asyncio.run(steps())


@pytest.mark.parametrize(
    "sent",
    [b"x: " + b"a" * 40_000, b"x: " + b"a" * 40_000 + b"\r\n\r\n", b"x: y\r\n" * 300, b"x\r\n" + b"a" * 9_000],
    ids=["half a header", "one header", "many headers", "not HTTP"],
)
def test_a_head_that_is_refused_is_freed_before_its_connection_has_ended(sent: bytes) -> None:
    """Hundreds are refused in one turn of the loop; only afterwards do their connections end."""

    async def steps() -> None:
        async with connected() as (connection, _):
            connection.data_received(HEAD)
            connection.data_received(sent)
            assert connection.transport.is_closing()
            assert (connection.parser, connection.headers, connection.url) == (None, [], b"")
            assert connection.budget.n_held == 0

    asyncio.run(steps())


def test_requests_that_are_not_waited_for_are_bounded_and_those_before_are_answered() -> None:
    async def steps() -> None:
        async with connected() as (_, mine):
            received = await exchange(mine, [REQUEST * 5000])
            assert received.count(b"HTTP/1.1 200") == MAX_PIPELINED + 1

    asyncio.run(steps())


def test_some_requests_at_once_are_all_answered_in_order() -> None:
    async def steps() -> None:
        async with connected() as (_, mine):
            last = REQUEST[:-2] + b"Connection: close\r\n\r\n"
            assert (await exchange(mine, [REQUEST * 20 + last])).count(b"HTTP/1.1 200") == 21

    asyncio.run(steps())


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET",
        HEAD,
        REQUEST,
        REQUEST + b"\r\n",
        REQUEST + b"G",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf",
    ],
)
def test_every_state_of_a_connection_ends_in_time(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    for name in ("HEAD_S", "REST_S", "WRITE_S"):
        monkeypatch.setattr(f"serving.http.connection.{name}", 0.1)
    monkeypatch.setattr("serving.workers.config.KEEP_ALIVE_S", 0.1)

    async def early(scope: Any, receive: Any, send: Any) -> None:
        """Answer without reading the body."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def steps() -> None:
        async with connected(early) as (_, mine):
            received = await exchange(mine, [sent])
            assert received.count(b"200 OK") == (b"\r\n\r\n" in sent)

    asyncio.run(steps())


def test_a_caller_that_reads_no_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.http.connection.WRITE_S", 0.1)

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await asyncio.sleep(0)
            if not scope["recsys.is_wanted"]():
                return

    async def steps() -> None:
        async with connected(endless) as (connection, mine):
            await asyncio.get_running_loop().sock_sendall(mine, REQUEST)
            largest = 0
            async with asyncio.timeout(60):
                while not connection.transport.is_closing():
                    largest = max(largest, connection.transport.get_write_buffer_size())
                    await asyncio.sleep(0.01)
            assert largest < 1 << 20

    asyncio.run(steps())


def test_what_follows_a_body_is_not_kept() -> None:
    async def steps() -> None:
        async with connected() as (connection, mine):
            chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
            await asyncio.get_running_loop().sock_sendall(mine, chunked + b"x: y\r\n" * 1000)
            await asyncio.sleep(0.05)
            assert len(connection.headers) == 1

    asyncio.run(steps())


BODY = b'{"a": "\xe8\x8c\xb6"}'


def with_body(*lines: bytes, body: bytes = BODY, version: bytes = b"1.1") -> bytes:
    head = b"".join(b"%b\r\n" % line for line in (b"Host: shop", *lines))
    return b"POST /x?y=1 HTTP/%b\r\n%bContent-Length: %d\r\n\r\n%b" % (version, head, len(body), body)


WISHES = [
    (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
    (b"connection: upgrade", b"upgrade: websocket", b"Sec-WebSocket-Version: 13"),
    (b"Upgrade: TLS/1.0, HTTP/9", b"Connection: keep-alive, Upgrade"),
    (b"Connection: Upgrade", b"Connection: close", b"Upgrade: h2c"),
]


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("n_at_once", [1, 7, 100_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_wish_for_another_protocol_changes_nothing(wish: tuple[bytes, ...], n_at_once: int, is_chunked: bool) -> None:
    """Java's client asks for HTTP/2 with its first request, and sends the body with it."""
    seen: list[tuple[str, str, bytes, dict[bytes, bytes]]] = []

    async def read(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        seen.append((scope["method"], scope["path"], body, dict(scope["headers"])))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def steps() -> None:
        async with connected(read) as (_, mine):
            loop = asyncio.get_running_loop()
            one = with_body(b"X-Own: 1", *wish)
            if is_chunked:
                one = one.replace(b"Content-Length: 12", b"Transfer-Encoding: chunked")
                one = one.replace(BODY, b"5\r\n%b\r\n7\r\n%b\r\n0\r\n\r\n" % (BODY[:5], BODY[5:]))
            is_last = b"Connection: close" in wish
            sent = one if is_last else REQUEST + one + one + REQUEST
            for start in range(0, len(sent), n_at_once):
                await loop.sock_sendall(mine, sent[start : start + n_at_once])
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            bodies = [BODY] if is_last else [b"", BODY, BODY, b""]
            assert [body for _, _, body, _ in seen] == bodies
            with_wish = seen[0] if is_last else seen[1]
            assert with_wish[:2] == ("POST", "/x")
            assert (with_wish[3][b"x-own"], with_wish[3].get(b"upgrade")) == (b"1", None)
            assert (await loop.sock_recv(mine, 10_000)).count(b"HTTP/1.1 200") == len(bodies)

    asyncio.run(steps())


def test_endless_wishes_for_another_protocol_are_bounded_as_other_requests() -> None:
    async def steps() -> None:
        async with connected() as (connection, mine):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(mine, with_body(*WISHES[0]) * 2 * MAX_PIPELINED)
            await asyncio.sleep(0.2)
            assert len(connection.pipeline) <= MAX_PIPELINED
            assert (await loop.sock_recv(mine, 100_000)).count(b"HTTP/1.1 200") <= MAX_PIPELINED + 1

    asyncio.run(steps())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (REQUEST, b"200"),
        (HEAD + b"x: " + b"y" * 20_000, b"503"),
        (HEAD + b"x: " + b"y" * 20_000 + b"\r\n\r\n", b"503"),
        (HEAD + b"".join(b"x-%d: y\r\n" % n for n in range(150)), b"503"),
    ],
    ids=["small", "half a header", "a large head", "many headers"],
)
def test_heads_count_against_the_budget_and_give_all_of_it_back(sent: bytes, status: bytes) -> None:
    async def steps() -> None:
        async with connected() as (connection, mine):
            budget = connection.budget
            budget.n_held = busy = int(budget.limit * LARGE_SHARE)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(mine, sent)
            answer = await asyncio.wait_for(loop.sock_recv(mine, 65_536), 10)
            assert answer.split()[1] == status
            assert (b"retry-after: 1" in answer) is (status == b"503")
            await asyncio.sleep(0.05)
            assert budget.n_held == busy

    asyncio.run(steps())


@pytest.mark.parametrize("end", ["answered", "lost"])
def test_what_is_held_is_given_back_however_a_request_ends(end: str) -> None:
    async def steps() -> None:
        async with connected() as (connection, mine):
            loop = asyncio.get_running_loop()
            body = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 50000\r\n\r\n" + b" " * 49_999
            await loop.sock_sendall(mine, body)
            await asyncio.sleep(0.05)
            assert connection.budget.n_held > 49_999
            if end == "answered":
                await loop.sock_sendall(mine, b" ")
            else:
                mine.close()
            await asyncio.sleep(0.1)
            assert connection.budget.n_held == 0

    asyncio.run(steps())
