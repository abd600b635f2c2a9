"""The accepting process's handle of one worker: its process, its channel, and whether it hangs."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Lifeline
from socket import socket
from typing import Final

from serving.runtime.settings import Settings
from serving.workers.balance import WorkerLoad
from serving.workers.channel import Channel, Order, pair
from serving.workers.worker import n_ended_of

SILENT_S: Final = 1.0
"""Silence from which a worker gets no connection if another one can have it."""

_CPU_CLOCK: Final = 2
"""Linux's clock of the processor time of a process, in nanoseconds."""

PRELOADED: Final = (
    "numpy",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.sparse",
    "scipy.special",
    "fastapi",
    "faiss",
    "implicit",
    "msgspec",
    "prometheus_client",
    "pydantic_settings",
    "sqlglot",
    "uvicorn",
    "recsys.kernels.candidates",
    "recsys.kernels.compact_rows",
    "recsys.kernels.features",
    "recsys.kernels.history",
    "recsys.kernels.mixing",
    "recsys.kernels.packed_lists",
    "recsys.kernels.purchases",
    "recsys.kernels.trees",
)
"""Modules that all workers share in memory: they are imported once, in a process that workers are forked from.

Polars is none of them: its import starts threads, which a fork does not copy.
"""

_CONTEXT: Final = multiprocessing.get_context("forkserver")

Target = Callable[[Settings, socket, Lifeline], None]


@dataclass
class Pulse:
    """Detects a process that hangs, by its own processor time, so that the speed of the machine does not matter.

    A process that waits for a processor uses little of it, but some. One that has not reported hangs if it uses none
    at all for `seconds` (a deadlock, a stopped process), or if it has used `seconds` of it since its last report (an
    endless loop). Before the first report only the former counts: imports take as long as they take.

    Attributes:
        seconds: see above.
        at: now, or the last time at which it used processor time or reported; any monotonic clock.
        cpu_s: its processor time then.
        reported_cpu_s: its processor time at its last report, None before the first one.
    """

    seconds: float
    at: float
    cpu_s: float = 0.0
    reported_cpu_s: float | None = None

    def beat(self, at: float, cpu_s: float) -> None:
        """Note a report."""
        self.at, self.cpu_s, self.reported_cpu_s = at, cpu_s, cpu_s

    def is_hung(self, at: float, cpu_s: float) -> bool:
        """Return whether it hangs, by its processor time at a moment."""
        if cpu_s > self.cpu_s:
            self.at, self.cpu_s = at, cpu_s
        is_stuck = at - self.at >= self.seconds
        is_spinning = self.reported_cpu_s is not None and cpu_s - self.reported_cpu_s >= self.seconds
        return is_stuck or is_spinning


class Worker:
    """A worker process and what is known of it.

    Args:
        settings: passed to it.
        target: what it runs.

    Attributes:
        is_ready: whether it serves connections.
        load: its connections and its processor time.
    """

    def __init__(self, settings: Settings, target: Target) -> None:
        _CONTEXT.set_forkserver_preload(list(PRELOADED))
        ours, theirs = pair()
        life, self._lifeline = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=target, args=(settings, theirs, life), daemon=True)
        self._process.start()
        theirs.close()
        life.close()
        self.channel = Channel(ours)
        self.is_ready = False
        self.load = WorkerLoad()
        self._n_sent = 0
        self._beat_at = time.monotonic()
        self._pulse = Pulse(settings.hang_seconds, self._beat_at)
        self._balanced_cpu_s = 0.0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    @property
    def sentinel(self) -> int:
        """A descriptor that is readable once the process has ended."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.exitcode

    def serve(self, fd: int) -> bool:
        """Hand a connection to it; return whether it has room for it."""
        if not self.channel.send(Order.SERVE, fd):
            return False
        self._n_sent += 1
        self.load.n_open += 1
        return True

    def received(self, report: bytes) -> None:
        """Note a report."""
        self.is_ready = True
        self.load.n_open = self._n_sent - n_ended_of(report)
        self._beat_at = time.monotonic()
        self._pulse.beat(self._beat_at, self.cpu_s())

    def is_hung(self) -> bool:
        """Return whether it hangs, and note whether it is silent."""
        now = time.monotonic()
        self.load.is_silent = now - self._beat_at > SILENT_S
        return self._pulse.is_hung(now, self.cpu_s())

    def balance(self) -> None:
        """Add its processor time since the last call to its load."""
        cpu_s = self.cpu_s()
        self.load.add(cpu_s - self._balanced_cpu_s)
        self._balanced_cpu_s = cpu_s

    def cpu_s(self) -> float:
        """Return the processor time that it has used, in seconds; the last known one after its end."""
        with suppress(OSError):
            return time.clock_gettime(~self.pid << 3 | _CPU_CLOCK)
        return self._pulse.cpu_s

    def terminate(self) -> None:
        """Ask it to end, after its running requests."""
        self._process.terminate()

    def end(self, wait_s: float = 0.0) -> None:
        """End it by force if it does not end in time, and free what it holds here."""
        self._process.join(wait_s)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._lifeline.close()
        self.channel.close()
