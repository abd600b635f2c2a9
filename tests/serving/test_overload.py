"""More callers than a real server can answer: some are refused, none is lost, and it recovers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.serving.conftest import Server

LIST = "/v1/users/u001/recommendations?placement=for_you"
Start = Callable[..., Server]


def statuses(server: Server, n_connections: int, n_calls: int) -> Counter[int]:
    """Send calls over connections that are all open at once; return how often each status was the answer."""
    found, together = Counter[int](), threading.Barrier(n_connections)
    lock = threading.Lock()

    def call() -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.connect()
        together.wait(60)
        for _ in range(n_calls):
            connection.request("GET", LIST)
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
    server = start(shop_models, workers=workers, queue_ms=1, patient_connections=16)
    server.wait()
    assert statuses(server, 12, 5) == {200: 60}
    crowd = statuses(server, 60, 20)
    assert crowd[503] > 0
    assert crowd[200] > 0
    assert crowd.total() == 1200, "every call has an answer"
    figures = server.get("/metrics").text
    assert 'recsys_request_seconds_count{placement="for_you",status="503"}' in figures
    assert statuses(server, 12, 5) == {200: 60}


def test_health_and_events_do_not_wait_behind_lists(start: Start, shop_models: Path, tmp_path: Path) -> None:
    """They are answered while 30 connections ask for lists."""
    server = start(shop_models, store=tmp_path / "log")
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
