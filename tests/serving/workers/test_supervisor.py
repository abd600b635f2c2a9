"""Real servers with several workers: what they survive, and how they share the connections."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.serving.conftest import Server

LIST = "/v1/users/u001/recommendations?limit=3"
WAIT_S = 120
Start = Callable[..., Server]


def children_of(pid: int) -> set[int]:
    """Process ids of the children of a process."""
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def forking_of(server: Server) -> set[int]:
    """Process ids of what workers are forked from: one, none before the start of the first worker."""
    return {
        pid
        for pid in children_of(server.process.pid)
        if b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


def workers_of(server: Server) -> set[int]:
    """Process ids of the workers: children of the process that they are forked from."""
    return {worker for pid in forking_of(server) for worker in children_of(pid)}


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process exists and is not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Caller:
    """A keep-alive connection."""

    def __init__(self, server: Server) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=60)

    def worker(self) -> str:
        """Ask for a list; return what all ids of one worker begin with."""
        self._connection.request("GET", LIST)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return body.decode().partition('"recommendation_id":"')[2].partition("-")[0]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def pair_of_workers(start: Start, shop_models: Path) -> Server:
    server = start(shop_models, workers=2)
    server.wait()
    figures = server.wait("/metrics", until=lambda response: 'result="served"} 2.0' in response.text)
    assert figures.status_code == 200
    return server


def test_each_connection_goes_to_the_worker_with_the_fewest(pair_of_workers: Server) -> None:
    time.sleep(0.3)  # the connections of the start have been closed
    callers = [Caller(pair_of_workers) for _ in range(8)]
    counts = Counter(caller.worker() for caller in callers)
    assert sorted(counts.values()) == [4, 4]
    lost = counts.most_common()[0][0]
    kept = [caller for caller in callers if caller.worker() != lost]
    for caller in callers:
        if caller not in kept:
            caller.close()
    time.sleep(0.5)
    callers = [Caller(pair_of_workers) for _ in range(4)]
    assert {caller.worker() for caller in callers} == {lost}
    for caller in (*callers, *kept):
        caller.close()


def test_a_busy_worker_returns_connections_and_no_request_is_lost(pair_of_workers: Server) -> None:
    """All requests come over the two connections of one worker: the other one gets one of them."""
    time.sleep(0.3)
    callers = [Caller(pair_of_workers) for _ in range(4)]
    first = callers[0].worker()
    of_one = [caller for caller in callers if caller.worker() == first]
    assert len(of_one) == 2
    deadline, seen = time.monotonic() + WAIT_S, Counter[str]()
    while len(seen) < 2 and time.monotonic() < deadline:
        seen.update(caller.worker() for caller in of_one)
    assert len(seen) == 2
    for caller in callers:
        caller.close()


def test_a_worker_that_is_killed_is_replaced_while_the_other_one_serves(pair_of_workers: Server) -> None:
    before = workers_of(pair_of_workers)
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not is_running(killed), "the worker has not ended")
    # A connection that is handed to it before the accepting process has noticed is reset, as those that it had.
    assert pair_of_workers.wait(LIST).status_code == 200
    wait_until(lambda: len(workers_of(pair_of_workers) - {killed}) == 2, "no other worker was started")
    pair_of_workers.wait("/metrics", until=lambda response: 'result="served"} 3.0' in response.text)


def test_workers_are_replaced_with_the_process_that_they_are_forked_from(pair_of_workers: Server) -> None:
    workers, (forking,) = workers_of(pair_of_workers), forking_of(pair_of_workers)
    os.kill(forking, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, workers)), "workers have outlived what they were forked from")
    wait_until(lambda: len(workers_of(pair_of_workers)) == 2, "no other workers were started")
    assert pair_of_workers.wait(LIST).status_code == 200


def test_no_connection_is_closed_while_the_workers_have_no_room(pair_of_workers: Server) -> None:
    """They wait with the accepting process, or before it, until the workers go on."""
    stopped, callers = workers_of(pair_of_workers), list[socket.socket]()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(900):
            callers.append(socket.create_connection(("127.0.0.1", pair_of_workers.port), timeout=60))
            callers[-1].sendall(b"GET /health/live HTTP/1.1\r\nHost: shop\r\n\r\n")
        time.sleep(1)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    answers = Counter(caller.recv(15) for caller in callers)
    for caller in callers:
        caller.close()
    assert answers == {b"HTTP/1.1 200 OK": 900}


def test_a_worker_that_hangs_is_replaced(start: Start, shop_models: Path) -> None:
    server = start(shop_models, workers=2, hang_seconds=2)
    server.wait()
    hung = max(workers_of(server))
    os.kill(hung, signal.SIGSTOP)
    wait_until(lambda: not is_running(hung), "the worker that hangs is still there")
    wait_until(lambda: len(workers_of(server) - {hung}) == 2, "no other worker was started")
    assert server.wait(LIST).status_code == 200


@pytest.mark.parametrize("is_ready", [True, False])
def test_workers_end_with_their_parent(start: Start, shop_models: Path, is_ready: bool) -> None:
    server = start(shop_models, workers=2)
    wait_until(lambda: len(workers_of(server)) == 2, "no workers")
    if is_ready:
        server.wait()
    workers = workers_of(server)
    os.kill(server.process.pid, signal.SIGKILL)
    server.end(60)
    wait_until(lambda: not any(map(is_running, workers)), "workers have outlived their parent")


def test_the_end_of_the_server_is_clean_during_the_imports_too(start: Start, shop_models: Path) -> None:
    server = start(shop_models, workers=2)
    wait_until(lambda: len(workers_of(server)) == 2, "no workers")
    workers = workers_of(server)
    os.killpg(server.process.pid, signal.SIGINT)  # as Ctrl-C does
    code, out, err = server.end(60)
    assert (code, out) == (0, "")
    assert "Traceback" not in err
    wait_until(lambda: not any(map(is_running, workers)), "workers have outlived their parent")
