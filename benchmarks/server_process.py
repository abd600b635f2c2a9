"""A server process on a free port that ends with the block it is used in."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

HOST: Final = "127.0.0.1"
START_S: Final = 180
STOP_S: Final = 30
POLL_S: Final = 0.1
READY: Final = "/health/ready"
OK: Final = 200
CPU_CLOCK: Final = 2
"""Linux's clock of a process's processor time, in nanoseconds; `/proc` counts ticks of 10 ms."""


class ServerProcess:
    """A server process on a free port, started on construction and awaited on entry.

    Args:
        name: name of the server in messages.
        command: returns the command line for a port.
        folder: working directory; that of the caller if None.
        environment: environment variables; those of the caller if None.
        log: file for its output; the caller's own streams if None.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        *,
        folder: Path | None = None,
        environment: dict[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.name = name
        self.port = free_port()
        self._log = log
        output: IO[bytes] | None = None if log is None else log.open("wb")
        self._process = subprocess.Popen(
            command(self.port),
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
        )
        if output is not None:
            output.close()

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if is_ready(self.port):
                return self
            time.sleep(POLL_S)
        self.stop()
        output = "" if self._log is None else f":\n{self._log.read_text(errors='replace')[-4000:]}"
        raise SystemExit(f"{self.name}: the server is not ready{output}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process, by force if it does not end in time."""
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """Kill the process and its workers at once, as a power cut does."""
        for pid in reversed(self.pids()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def pids(self) -> list[int]:
        """Return the process and those that it has started, itself first."""
        found = [self._process.pid]
        for pid in found:
            with suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())
        return found

    def cpu_s(self) -> float:
        """Return the processor time that it has used, in seconds."""
        return time.clock_gettime(~self._process.pid << 3 | CPU_CLOCK)


def free_port() -> int:
    """Return a TCP port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_ready(port: int) -> bool:
    """Return whether a server answers its readiness check."""
    connection = http.client.HTTPConnection(HOST, port, timeout=STOP_S)
    try:
        connection.request("GET", READY)
        return connection.getresponse().status == OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
