"""A proxy before a real server, which fails in the ways that a test names."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from tests.ports import free_port

PASS, RESET, HANG, BROKEN = "pass", "reset", "hang", "broken"
HANG_S: Final = 1.0
BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: %d\r\nContent-Type: application/problem+json\r\n"
    b'Content-Length: 24\r\nConnection: close\r\n\r\n{"detail":"no capacity"}'
)


class FaultProxy:
    """Answers each connection as the next fault says, and passes it on after the last one.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.faults: deque[str] = deque()
        self.times: list[float] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        """Read one request, and answer it or fail; a connection is used once."""
        with connection:
            request = read_request(connection)
            if not request:
                return
            self.times.append(time.monotonic())
            fault = self.faults.popleft() if self.faults else PASS
            if fault.startswith("503"):
                connection.sendall(BUSY % int(fault.partition(":")[2] or 0))
            elif fault == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif fault == HANG:
                time.sleep(HANG_S)
            elif fault == BROKEN:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
            else:
                self._pass(connection, request)

    def _pass(self, connection: socket.socket, request: bytes) -> None:
        with socket.create_connection(self._target) as server:
            head, _, body = request.partition(b"\r\n\r\n")
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            server.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
            while part := server.recv(65_536):
                connection.sendall(part)


def read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        part = connection.recv(65_536)
        if not part:
            return b""
        request += part
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def fault_proxy(url: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
