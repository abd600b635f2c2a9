"""Acknowledged events of a real server survive crashes and restarts."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.pipeline.recommender import Recommender
from serving.runtime.auth import write_keys
from tests.serving.conftest import Server
from tests.serving.runtime.test_auth import keys_of

Start = Callable[..., Server]


def events(first: int, count: int) -> dict[str, Any]:
    shared = {"item_id": "tea", "event": "view_item", "user_id": "u"}
    return {"events": [shared | {"event_id": f"e{n}"} for n in range(first, first + count)]}


def stored_keys(path: Path) -> set[str | None]:
    store = SqliteStore(path)
    try:
        return {stored.entry.key for stored in store.read_after(0, 1_000_000)}
    finally:
        store.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_acknowledged_events_survive_kill_9(start: Start, shop_models: Path, tmp_path: Path, workers: int) -> None:
    """Four callers send until the server is killed; all acknowledged events are in the log."""
    store = tmp_path / "store.sqlite"
    server = start(shop_models, store=store, workers=workers)
    server.wait()
    acknowledged: set[str] = set()
    enough = threading.Event()

    def send(caller: int) -> None:
        with httpx.Client(base_url=server.url, trust_env=False, verify=False, timeout=10) as client:
            for n in range(10_000):
                try:
                    reply = client.post("/v1/events", json=events(caller * 1_000_000 + n * 20, 20)).json()
                except (httpx.TransportError, ValueError):
                    return
                acknowledged.update(each["event_id"] for each in reply["results"] if each["status"] == "accepted")
                if len(acknowledged) > 500:
                    enough.set()

    threads = [threading.Thread(target=send, args=(caller,)) for caller in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(20)
    server.kill_all()
    for thread in threads:
        thread.join()
    assert len(acknowledged) > 500
    assert acknowledged <= stored_keys(store)

    again = start(shop_models, store=store)
    again.wait()
    some = {"events": [each for each in events(0, 20)["events"] if each["event_id"] in acknowledged]}
    reply = again.request("POST", "/v1/events", json=some).json()
    assert {each["status"] for each in reply["results"]} == {"duplicate"}


def test_a_stopped_server_has_stored_what_it_acknowledged(start: Start, shop_models: Path, tmp_path: Path) -> None:
    server = start(shop_models, store=tmp_path / "store.sqlite", workers=2)
    server.wait()
    for n in range(5):
        assert server.request("POST", "/v1/events", json=events(n, 1)).json()["accepted"] == 1
    code, _, err = server.stop(signal.SIGTERM)
    assert (code, "Traceback" in err) == (0, False), err
    assert stored_keys(tmp_path / "store.sqlite") == {f"e{n}" for n in range(5)}


def test_a_store_that_cannot_be_opened_is_one_clear_error(start: Start, shop_models: Path, tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_text("no database, whatever its name says " * 10)
    server = start(shop_models, store=tmp_path / "store.sqlite")
    assert "choose another one with `--store`" in server.end()[2].splitlines()[-1]


def test_events_from_before_a_restart_are_not_in_the_future(start: Start, shop_models: Path, tmp_path: Path) -> None:
    later = Recommender.open(shop_models).data_end + 5_000
    store = SqliteStore(tmp_path / "store.sqlite")
    store.append([LogEntry("item_delete", "tea", float(later), 0.0, {})])
    store.close()
    server = start(shop_models, store=tmp_path / "store.sqlite", workers=2)
    server.wait()
    times = [datetime.fromisoformat(server.get("/health/ready").json()["now"]).timestamp() for _ in range(20)]
    assert all(later <= reply <= later + 60 for reply in times)
    assert all(one <= other for one, other in pairwise(times))


def test_a_large_body_is_refused_before_it_is_read(start: Start, shop_models: Path, tmp_path: Path) -> None:
    server = start(shop_models, store=tmp_path / "store.sqlite", max_body_bytes=2048)
    server.wait()
    head = "POST /v1/events HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
    for extra in ("Content-Length: 1000000\r\nExpect: 100-continue\r\n", "Transfer-Encoding: chunked\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(f"{head}{extra}\r\n".encode())
            if "chunked" in extra:
                connection.sendall(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")
    assert server.request("POST", "/v1/events", json=events(0, 1)).status_code == 200
    assert server.request("POST", "/v1/events", json=events(0, 1000)).status_code == 413


def test_a_body_that_arrives_slowly_is_408(start: Start, shop_models: Path, tmp_path: Path) -> None:
    server = start(shop_models, store=tmp_path / "store.sqlite", body_seconds=0.6)
    server.wait()
    head = "POST /v1/events HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.1) as connection:
        connection.sendall(head.encode())
        answer, started = b"", time.monotonic()
        while not answer and time.monotonic() < started + 10:
            connection.sendall(b" ")
            with suppress(TimeoutError):
                answer = connection.recv(65_536)
        took = time.monotonic() - started
        connection.settimeout(10)
        with suppress(ConnectionError):
            while part := connection.recv(65_536):
                answer += part
    assert 0.5 < took < 5
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 408
    assert server.request("POST", "/v1/events", json=events(0, 1)).status_code == 200


def test_with_keys_any_address_can_be_listened_on(start: Start, shop_models: Path, tmp_path: Path) -> None:
    keys, store = tmp_path / "keys.json", tmp_path / "store.sqlite"
    taker, admin = keys_of(keys, "events", "admin")
    server = start(shop_models, host="0.0.0.0", keys=keys, store=store, workers=2)
    server.wait("/health/live")

    def send(key: str) -> int:
        return server.request("POST", "/v1/events", json=events(0, 1), headers={"X-API-Key": key}).status_code

    assert [send(taker), send(admin), send("x")] == [200, 200, 401]
    write_keys(keys, ())
    assert [send(taker), send(admin)] == [401, 401]
    refused = start(shop_models, host="0.0.0.0", store=store)
    assert "only a loopback address can be listened on without keys" in refused.end()[2]
