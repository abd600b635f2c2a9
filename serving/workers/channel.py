"""Messages between the accepting process and a worker: connections one way, reports the other."""

from __future__ import annotations

import socket
from enum import Enum
from typing import Final, NamedTuple

MAX_BYTES: Final = 64


class Order(bytes, Enum):
    """What a worker is asked to do.

    Attributes:
        SERVE: serve the connection that comes with the message.
        GIVE_BACK: return a connection that is between two requests, so that a less busy worker serves it.
        CROWDED: the server has more connections than it promises to answer without refusals.
        CALM: it has no longer.
    """

    SERVE = b"s"
    GIVE_BACK = b"g"
    CROWDED = b"+"
    CALM = b"-"


class Received(NamedTuple):
    """A message.

    Attributes:
        content: its bytes; empty after the other end has closed.
        fd: the file descriptor that came with it, None if there is none.
    """

    content: bytes
    fd: int | None


class Channel:
    """One end of a connection between two processes that keeps the boundaries of messages; it never waits.

    Args:
        end: a connected socket of `pair`.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end

    def fileno(self) -> int:
        """Return the file descriptor, for selectors."""
        return self._end.fileno()

    def send(self, content: bytes, fd: int | None = None) -> bool:
        """Send a message, and with it a file descriptor; return whether the other end has room for it."""
        try:
            socket.send_fds(self._end, [content], [] if fd is None else [fd])
        except OSError:  # full, or closed: the other process hangs or has ended
            return False
        return True

    def receive(self) -> Received | None:
        """Return the next message, None if none waits."""
        try:
            content, fds, _, _ = socket.recv_fds(self._end, MAX_BYTES, 1)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return Received(b"", None)
        return Received(content, fds[0] if fds else None)

    def close(self) -> None:
        """Close this end."""
        self._end.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends, for `Channel`; one of them can be passed to a process that is being started."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
