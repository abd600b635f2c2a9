"""Whether a worker hangs, judged by its own processor time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection as Lifeline
from socket import socket

from hypothesis import given
from hypothesis import strategies as st

from serving.runtime.settings import Settings, load_settings
from serving.workers.channel import Channel
from serving.workers.handle import PRELOADED, Pulse, Worker

HANG_S = 30.0


def test_what_workers_share_exists_and_starts_no_thread_of_polars() -> None:
    """Python's fork server skips what it cannot import; a fork has none of the threads of polars."""
    imports = f"import importlib, sys; [importlib.import_module(name) for name in {PRELOADED!r}]"
    subprocess.run([sys.executable, "-c", f"{imports}; sys.exit('polars' in sys.modules)"], check=True)


@given(shares=st.lists(st.floats(0.0001, 0.02), min_size=1, max_size=200))
def test_a_process_that_starves_is_not_taken_for_a_hung_one(shares: list[float]) -> None:
    """It gets next to nothing of the processor, for an hour: as long as it gets something, it is waited for."""
    pulse, cpu_s = Pulse(HANG_S, at=0.0), 0.0
    for second, share in enumerate(shares):
        cpu_s += share
        assert not pulse.is_hung(float(second), cpu_s)


@given(cpu_s=st.floats(0, 10_000))
def test_imports_take_as_long_as_they_take(cpu_s: float) -> None:
    assert not Pulse(HANG_S, at=0.0).is_hung(at=cpu_s, cpu_s=cpu_s + 0.001)


def test_a_process_without_any_processor_time_hangs_before_and_after_its_first_report() -> None:
    pulse = Pulse(HANG_S, at=0.0)
    assert not pulse.is_hung(29.0, 0.0)
    assert pulse.is_hung(30.0, 0.0)
    pulse.beat(100.0, 5.0)
    assert not pulse.is_hung(129.0, 5.0)
    assert pulse.is_hung(130.0, 5.0)


def test_a_process_that_works_without_reporting_hangs_once_it_has_used_the_time_itself() -> None:
    pulse = Pulse(HANG_S, at=0.0)
    pulse.beat(0.0, 5.0)
    assert not pulse.is_hung(500.0, 34.0)
    assert pulse.is_hung(501.0, 35.0)


def one_report(settings: Settings, end: socket, lifeline: Lifeline) -> None:
    """A worker that reports twice that one connection has ended, and then waits for the end of its parent."""
    channel = Channel(end)
    for _ in range(2):
        channel.send((1).to_bytes(8, "little"))
    lifeline.poll(None)


def test_a_worker_counts_its_connections_and_ends_on_request() -> None:
    worker = Worker(load_settings(), one_report)
    try:
        reader, writer = os.pipe()
        assert worker.serve(writer)
        assert worker.serve(writer)
        assert worker.load.n_open == 2
        deadline = time.monotonic() + 60
        while (message := worker.channel.receive()) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        worker.received(message.content)
        assert (worker.is_ready, worker.load.n_open) == (True, 1)
        assert not worker.is_hung()
        worker.balance()
        assert worker.load.cpu_s > 0
        os.close(reader)
        os.close(writer)
        worker.terminate()
    finally:
        worker.end(wait_s=60)
    assert worker.exit_code == -signal.SIGTERM
