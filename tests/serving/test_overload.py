"""More callers than a real server can answer: some are refused, none is lost, and it recovers."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.serving.conftest import Server

LIST = "/v1/users/u001/recommendations?placement=for_you"
Start = Callable[..., Server]


def statuses(server: Server, n_connections: int, n_calls: int) -> Counter[int]:
    """Send calls over connections that are all open at once; return how often each status was the answer.

    Nobody reads an answer before everybody has asked: as many calls are open as there are connections.
    """
    found, together = Counter[int](), threading.Barrier(n_connections)
    lock = threading.Lock()

    def call() -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.connect()
        together.wait(60)
        for _ in range(n_calls):
            connection.request("GET", LIST)
            together.wait(60)
            response = connection.getresponse()
            response.read()
            assert response.status != 503 or response.headers["Retry-After"]
            with lock:
                found[response.status] += 1
        together.wait(60)
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(n_connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_refusals_begin_beyond_the_patient_connections_and_end_with_them(
    start: Start, shop_models: Path, workers: int
) -> None:
    server = start(shop_models, workers=workers, queue_ms=1, patient_connections=16, personal_cache_mb=0)
    server.wait()
    assert statuses(server, 12, 5) == {200: 60}
    crowd = statuses(server, 60, 8)
    assert crowd[503] > 0
    assert crowd[200] > 0
    assert crowd.total() == 480, "every call has an answer"
    figures = server.get("/metrics").text
    assert 'recsys_request_seconds_count{placement="for_you",status="503"}' in figures
    time.sleep(1)  # by then it has noticed that the refused ones left
    assert statuses(server, 12, 5) == {200: 60}


def test_health_and_events_do_not_wait_behind_lists(start: Start, shop_models: Path, tmp_path: Path) -> None:
    """They are answered while 30 connections ask for lists."""
    server = start(shop_models, store=tmp_path / "log", personal_cache_mb=0)
    server.wait()
    is_over, overtaken = threading.Event(), Counter[str]()

    def ask() -> None:
        statuses(server, 30, 20)
        is_over.set()

    load = threading.Thread(target=ask)
    load.start()
    event = {"events": [{"item_id": "p1", "event": "view_item", "user_id": "u001"}]}
    while not is_over.is_set():
        assert server.get("/health/live").status_code == 200
        assert server.get("/metrics").status_code == 200
        assert server.request("POST", "/v1/events", json=event).status_code in (200, 422)
        overtaken["rounds"] += 1
    load.join()
    assert overtaken["rounds"] > 0


BATCH = "POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
POST = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = "GET /health/live HTTP/1.1\r\nHost: x\r\n"
UNREAD = "GET /v1/users/u001/recommendations?placement=for_you HTTP/1.1\r\nHost: x\r\n"
CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"
MAX_GROWTH_MB = 50
MAX_UNREAD_MB = 64
"""Answers that wait in 400 connections: the budget of 16 MB, and the objects of these connections."""


def private_mb(server: Server) -> float:
    """Memory of a server of one worker that it shares with nobody."""
    lines = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def warm_memory(server: Server) -> float:
    """The memory of a server once it has answered some calls, in MB."""
    server.wait()
    assert statuses(server, 8, 20) == {200: 160}
    return private_mb(server)


def memory_with(server: Server, contents: Sequence[bytes], n_connections: int) -> float:
    """The memory of a server while callers have sent it the contents and wait, in MB; others are still answered."""
    callers = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(n_connections)]
    for caller in callers:
        caller.settimeout(0.01)
    for content in contents:
        for caller in callers:
            with suppress(OSError):
                caller.sendall(content)
    assert server.get("/health/live").status_code == 200
    assert server.get(LIST).status_code in (200, 503)
    used = private_mb(server)
    for caller in callers:
        caller.close()
    return used


@pytest.fixture(scope="module")
def attacked(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, float]]:
    """A server, and its memory before all attacks."""
    server = Server(shop_models, is_new=True, store=tmp_path_factory.mktemp("attacked") / "log")
    yield server, warm_memory(server)
    server.stop()


@pytest.mark.parametrize(
    ("head", "part", "n_parts", "n_connections"),
    [
        (POST + "Content-Length: 1900000\r\n\r\n", b" " * 65_536, 28, 120),
        (GET + "".join(f"a{n}:b\r\n" for n in range(6000)), b"", 1, 400),
        (BATCH + "Content-Length: 1000000\r\n\r\n", b"ab\n" * 20_000, 10, 60),
        (BATCH + "Content-Length: 1000000\r\n\r\n", b'{"placement":"popular","limit":100}\n' * 2000, 10, 60),
        (POST + "Transfer-Encoding: chunked\r\n\r\n", CHUNK, 28, 120),
        (BATCH + "Content-Length: 9000000\r\n\r\n", b" " * 65_536, 120, 40),
        (GET + "Content-Length: 900000\r\n\r\n", b" " * 65_536, 12, 400),
        (GET + "x: ", b"y" * 60_000, 1, 1500),
        (GET + "x: ", b"y" * 30_000, 1, 1500),
        (GET + "".join(f"x-{n}: {'y' * 500}\r\n" for n in range(100)), b"", 1, 1500),
        (GET + "".join(f"x-{n}: {'y' * 300}\r\n" for n in range(100)), b"", 1, 1500),
        (GET + f"x: {'y' * 50_000}\r\n\r\n", b"", 1, 1500),
        (GET + f"x: {'y' * 30_000}\r\n\r\n", b"", 1, 1500),
    ],
    ids=[
        "bodies",
        "tiny headers",
        "tiny lines",
        "unread lists",
        "chunks",
        "batches",
        "unasked bodies",
        "half a header",
        "half a permitted header",
        "half a head",
        "half a permitted head",
        "heads beyond the limit",
        "large heads",
    ],
)
def test_many_callers_that_keep_much_in_memory_do_not_let_it_grow(
    attacked: tuple[Server, float], head: str, part: bytes, n_parts: int, n_connections: int
) -> None:
    """One server takes them all in turn, and together they do not let it grow."""
    server, before = attacked
    assert memory_with(server, [head.encode(), *[part] * n_parts], n_connections) - before < MAX_GROWTH_MB
    whole = b'{"events":[' + b" " * 1_900_000 + b"]}"
    deadline = time.monotonic() + 20
    for _ in range(9):  # together they fill the budget once more
        status = HTTPStatus.SERVICE_UNAVAILABLE
        while status == HTTPStatus.SERVICE_UNAVAILABLE and time.monotonic() < deadline:  # until it notices who has left
            answer = server.request("POST", "/v1/events", content=whole, headers={"content-type": "application/json"})
            status = HTTPStatus(answer.status_code)
        assert status in (HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY)


def test_answers_that_nobody_reads_do_not_let_it_grow(start: Start, shop_models: Path) -> None:
    server = start(shop_models, is_new=True)
    before = warm_memory(server)
    assert memory_with(server, [(UNREAD + "\r\n").encode() * 25], 400) - before < MAX_UNREAD_MB


def test_bodies_beyond_the_budget_are_refused_with_a_time_to_come_back(
    start: Start, shop_models: Path, tmp_path: Path
) -> None:
    """The rest of 30 bodies that together exceed it is never held."""
    server = start(shop_models, store=tmp_path / "log")
    server.wait()
    callers = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(30)]
    found = Counter[bytes]()
    for caller in callers:
        caller.sendall(f"{POST}Content-Length: 1900000\r\n\r\n".encode())
        caller.settimeout(0.2)
        with suppress(OSError):
            caller.sendall(b" " * 1_800_000)
    for caller in callers:
        with suppress(TimeoutError):
            answer = caller.recv(65_536)
            found[answer.split()[1]] += 1
            assert b"retry-after: 1" in answer
    assert found.keys() == {b"503"}
    assert 20 <= found[b"503"] <= 29
    for caller in callers:
        caller.close()


def test_bodies_that_stop_arriving_free_the_room_of_others_soon(
    start: Start, shop_models: Path, tmp_path: Path
) -> None:
    """Long before the time for a whole body ends."""
    server = start(shop_models, store=tmp_path / "log", body_seconds=300)
    server.wait()
    callers = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(24)]
    for caller in callers:  # in turn, so that they fill the room, and soon, so that the first is not over yet
        caller.sendall(f"{POST}Content-Length: 1900000\r\n\r\n".encode())
        caller.settimeout(0.1)
        with suppress(OSError):
            caller.sendall(b" " * 1_800_000)
    whole, found = b'{"events":[' + b" " * 1_900_000 + b"]}", Counter[int]()
    deadline = time.monotonic() + 60
    while found[422] == 0 and time.monotonic() < deadline:
        answer = server.request("POST", "/v1/events", content=whole, headers={"content-type": "application/json"})
        found[answer.status_code] += 1
        time.sleep(0.2)
    for caller in callers:
        caller.close()
    assert found[422] == 1, "an empty list of events, read and understood"
    assert set(found) <= {422, 503}, "until then there was no room"
