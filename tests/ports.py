"""Free TCP ports, so that tests run beside a server on the default port and beside each other."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
