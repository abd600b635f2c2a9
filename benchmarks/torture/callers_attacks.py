"""Slow and hostile callers, each over a few connections: the server goes on, and its memory stays bounded."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from benchmarks.load import get, status_of
from benchmarks.server_process import HOST
from benchmarks.torture.attack import Arena, Outcome, rounds, tracebacks
from benchmarks.torture.load_attacks import MB, private_bytes

CONNECTIONS: Final = 6
MAX_GROWTH_MB: Final = 50
HEALTH_S: Final = 5.0
"""A bound for a busy machine; `requests in overload` notes the slowest check."""

HEAD: Final = b"POST /v1/events HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
LIST: Final = get("/v1/users/u/recommendations?limit=100")

HOSTILE: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "endless headers": lambda: (
        b"GET / HTTP/1.1\r\n" if n == 0 else b"x-%d: %b\r\n" % (n, b"y" * 8_000) for n in range(500)
    ),
    "a huge header": lambda: (b"GET / HTTP/1.1\r\nx: " if n == 0 else b"y" * 65_536 for n in range(100)),
    "a huge URL": lambda: (b"GET /" if n == 0 else b"z" * 65_536 for n in range(100)),
    "unread answers": lambda: (LIST * 20 for _ in range(10)),
    "a slow body": lambda: (HEAD + b"Content-Length: 900000\r\n\r\n" if n == 0 else b" " for n in range(5)),
    "half a request": lambda: iter([b"GET /v1/us"]),
    "no request": lambda: iter(()),
    "absurd length": lambda: iter([HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}"]),
    "negative length": lambda: iter([HEAD + b"Content-Length: -1\r\n\r\n{}"]),
    "two lengths": lambda: iter([HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"]),
    "endless chunks": lambda: (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" if n == 0 else b"10000\r\n%b\r\n" % (b"[" * 65_536)
        for n in range(100)
    ),
    "deep JSON": lambda: iter([HEAD + b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000]),
    "no HTTP": lambda: iter([bytes(range(256)) * 200]),
}


def hostile_callers(arena: Arena, seconds: float) -> Outcome:
    """Open connections of each kind, leave them open, and ask for health and a list meanwhile."""
    room = arena.room("hostile")
    tries = checked = failed = 0
    most, faults = 0.0, []
    with arena.server(room) as server:
        for _ in rounds(seconds):
            for name, parts in HOSTILE.items():
                before = private_bytes(server)
                with _connections(server.port, parts):
                    tries += CONNECTIONS
                    growth = (private_bytes(server) - before) / MB
                    started = time.monotonic()
                    statuses = {
                        status_of(server.port, get("/health/live")),
                        status_of(server.port, get("/v1/users/u/recommendations")),
                    }
                    took = time.monotonic() - started
                checked += 2
                most = max(most, growth)
                if statuses != {200} or took > HEALTH_S or growth > MAX_GROWTH_MB:
                    failed += 1
                    faults.append(f"{name}: {sorted(statuses)}, {took:.1f} s, {growth:.0f} MB")
    failed += tracebacks(room / "log")
    note = "; ".join(faults[:2]) or f"at most {most:.0f} MB more"
    return Outcome("hostile connections", tries, checked, 0, failed, note)


@contextmanager
def _connections(port: int, parts: Callable[[], Iterator[bytes]]) -> Iterator[None]:
    """Send the same on several connections, as far as the server reads it, and keep them open in the block."""
    opened = [socket.create_connection((HOST, port), timeout=10) for _ in range(CONNECTIONS)]
    try:
        for each in opened:
            each.settimeout(0.05)
            with suppress(OSError):
                for part in parts():
                    each.sendall(part)
        yield
    finally:
        for each in opened:
            each.close()
