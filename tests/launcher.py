"""Programs of tests as processes of their own, forked from one that has imported the modules of the server.

The imports take most of the start of a server. Tests of the start itself run their programs by `subprocess`.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final

ROOT: Final = Path(__file__).parents[1]
PRELOADED: Final = {"serving.server"}
MAX_BYTES: Final = 150_000
POLL_S: Final = 0.01
PROGRAM: Final = "from tests.launcher import forked; exec(forked({fd}))"


class Launcher:
    """The process that programs are forked from; its programs may outlive it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM.format(fd=theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def close(self) -> None:
        """End the process."""
        self._control.close()
        self._process.wait()

    def ask(self, question: Any, *files: int) -> Any:
        """Send a program or the id of a process; return the id of its process or how that has ended."""
        message = json.dumps(question).encode()
        with self._lock:
            socket.send_fds(self._control, [message], files)
            return json.loads(self._control.recv(MAX_BYTES))


@cache
def launcher() -> Launcher:
    """Return the launcher of this process, which ends with it."""
    found = Launcher()
    atexit.register(found.close)
    return found


class Process:
    """A program in a process and a session of its own, with the part of `subprocess.Popen` that tests use.

    Args:
        program: what `python -c` would run.
        environment: its environment variables.
        stdout: where it writes.
        stderr: where it writes errors.

    Attributes:
        pid: of the process.
        returncode: None until `poll` or `wait` has seen its end; the negative number of the signal that ended it.
    """

    def __init__(self, program: str, environment: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.returncode: int | None = None
        self.pid: int = launcher().ask([program, dict(environment)], stdout.fileno(), stderr.fileno())

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None:
            self.returncode = launcher().ask(self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end, some seconds at most; return the exit code."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def forked(fd: int) -> str:
    """Fork a process for each program that arrives at a socket; return in each of them, with its program."""
    for name in PRELOADED:
        import_module(name)
    gc.collect()
    gc.freeze()
    control = socket.socket(fileno=fd)
    while True:
        message, files, *_ = socket.recv_fds(control, MAX_BYTES, 2)
        if not message:
            sys.exit()
        question = json.loads(message)
        if isinstance(question, int):
            pid, status = os.waitpid(question, os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif answer := os.fork():
            for file in files:
                os.close(file)
        else:
            control.close()
            return _program(*question, files)
        control.send(json.dumps(answer).encode())


def _program(program: str, environment: dict[str, str], files: list[int]) -> str:
    """Make this process like one that `subprocess` has started."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files, start=1):
        os.dup2(file, number)
        os.close(file)
    return program
