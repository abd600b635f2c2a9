"""Load client of the benchmarks: keep-alive connections with one request in flight each."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable

import uvloop

from benchmarks.server_process import HOST


class Connection(asyncio.Protocol):
    """A keep-alive connection that sends the next request as soon as the response is complete."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Record a complete response and send the next request."""
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        start = self._buffer.index(b"content-length: ") + 16
        length = int(self._buffer[start : self._buffer.index(b"\r", start)])
        if len(self._buffer) < end + 4 + length:
            return
        self._supply.answered(self._buffer, time.perf_counter() - self._sent)
        self._buffer = b""
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of the connection to the supply."""
        self._supply.lost(exc)

    def _ask(self) -> None:
        request = self._supply.take()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)


class Supply:
    """Remaining requests, and the outcome of those that were sent.

    Args:
        requests: raw requests, sent in turn.
        count: number of requests to send.
        mark: prefix of the text that is kept of each response, up to the next quote; b"" for none.
        needs_more: whether requests go on after that number.
    """

    def __init__(
        self, requests: list[bytes], count: int, mark: bytes = b"", needs_more: Callable[[], bool] = lambda: False
    ) -> None:
        self._requests, self._count, self._mark, self._needs_more = requests, count, mark, needs_more
        self.taken = 0
        self.open = 0
        self.latencies_s: list[float] = []
        self.failed = 0
        self.marked: list[set[bytes]] = []
        self.done = asyncio.Event()

    def take(self) -> bytes | None:
        """Return the next request, None if none remains."""
        if self.taken >= self._count and not self._needs_more():
            return None
        self.taken += 1
        return self._requests[self.taken % len(self._requests)]

    def answered(self, response: bytes, seconds: float) -> None:
        """Record a response."""
        self.latencies_s.append(seconds)
        self.failed += not response.startswith(b"HTTP/1.1 200")
        if self._mark:
            self.marked.append({part.partition(b'"')[0] for part in response.split(self._mark)[1:]})

    def lost(self, error: Exception | None) -> None:
        """Record the end of a connection."""
        self.failed += error is not None
        self.open -= 1
        if self.open == 0:
            self.done.set()


async def ask_all(port: int, supply: Supply, connections: int) -> float:
    """Send all requests of a supply over some connections, and return the seconds that it took.

    Several servers may share a supply, if their calls of this function are begun together.
    """
    supply.open += connections
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(supply), HOST, port)
    await supply.done.wait()
    return time.perf_counter() - started


def load(port: int, requests: list[bytes], count: int, connections: int) -> tuple[float, list[float]]:
    """Send `count` requests, and return the total seconds and each latency.

    Raises:
        SystemExit: a request failed.
    """
    supply = Supply(requests, count)
    took = uvloop.run(ask_all(port, supply, connections))
    if supply.failed or len(supply.latencies_s) != count:
        raise SystemExit(f"{supply.failed} of {count} requests failed: the results would be invalid")
    return took, supply.latencies_s


def get(path: str) -> bytes:
    """Return a raw GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n\r\n".encode()


def post(path: str, body: object) -> bytes:
    """Return a raw POST request with a JSON body."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"{head}\r\n\r\n".encode() + content


def once(port: int, request: bytes) -> bytes:
    """Send one request and return the body of its response.

    Raises:
        RuntimeError: the status is not 200.
    """
    head, body = _response(port, request)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{request[:60]!r}: {head + body[:300]!r}")
    return body


def status_of(port: int, request: bytes) -> int:
    """Send one request and return the status of its response."""
    head, _ = _response(port, request)
    return int(head.split(b" ", 2)[1])


def _response(port: int, request: bytes) -> tuple[bytes, bytes]:
    with socket.create_connection((HOST, port), timeout=30) as connection:
        connection.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        response = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = response.partition(b"\r\n\r\n")
    return head, body
