"""Free TCP ports, so that tests run beside a server on the default port and beside each other."""

from __future__ import annotations

import os
import socket
from itertools import count
from typing import Final

FIRST: Final = 20_000
PER_WORKER: Final = 1_000
WORKERS: Final = 12
"""The ports lie below those that Linux gives to clients, from 32,768 on, so that no connection takes one meanwhile."""

_places = count(os.getpid())


def free_port() -> int:
    """Return a loopback port that nothing listens on, and that no other worker of the tests is given.

    A server takes seconds until it listens: with a port of all workers, the calls of one test could reach the server
    of another.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    while True:
        port = FIRST + worker * PER_WORKER + next(_places) % PER_WORKER
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
