"""Several servers over one live log in PostgreSQL: what one acknowledges, all know; and the loss of the database."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from benchmarks.postgres_server import PostgresServer
from recsys.eventlog.postgres.store import PostgresStore
from recsys.experiments.state import change_state
from recsys.experiments.transitions import start as begin
from recsys.fitting.engine import Engine
from tests.postgres import digest_name, own_server
from tests.recsys.experiments.files import write_experiments
from tests.serving.conftest import Server
from tests.serving.variants import two_bundles

Start = Callable[..., Server]

EXPERIMENT = """
[experiments.short]
variants.control = {}
variants.three = {placements.for_you = {limit = 3}}
"""

SEEN_S = 20.0
"""A busy machine may take many times as long as an idle one; `benchmarks.shared_log` measures how long it takes."""


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    server = own_server("fsync=off")
    yield server
    server.close()


@pytest.fixture
def log(database: PostgresServer, request: pytest.FixtureRequest) -> str:
    return database.schema(digest_name(request.node.name))


def event(event_id: str, user_id: str = "u", item_id: str = "tea") -> dict[str, Any]:
    return {"event_id": event_id, "event": "purchase", "item_id": item_id, "user_id": user_id}


def send(server: Server, *events: dict[str, Any]) -> list[str]:
    response = server.request("POST", "/v1/events", json={"events": list(events)})
    assert response.status_code == 200, response.text
    return [each["status"] for each in response.json()["results"]]


def is_stale(server: Server) -> bool:
    """Whether one worker, of those that may answer, cannot read the log."""
    return server.get("/health/ready").json()["stale_seconds"] is not None


def wait_until(is_true: Callable[[], bool], seconds: float, found: Callable[[], object] = str) -> float:
    """Wait; a failure shows what was found meanwhile."""
    started = time.monotonic()
    while not is_true():
        assert time.monotonic() < started + seconds, f"not in time: {found()}"
        time.sleep(0.02)
    return time.monotonic() - started


def some_items(server: Server) -> list[str]:
    response = server.request("POST", "/v1/recommendations", json={"placement": "popular", "limit": 12})
    return [item["item_id"] for item in response.json()["items"]]


def test_an_event_of_one_server_is_in_the_next_lists_of_the_other(start: Start, shop_models: Path, log: str) -> None:
    one, two = (start(shop_models, store=log, clock="wall") for _ in range(2))
    for server in (one, two):
        server.wait()
    first, *items = some_items(one)
    body = {"placement": "for_you", "user_id": "new-user", "limit": 5}

    def lists(server: Server) -> dict[str, Any]:
        return dict(server.request("POST", "/v1/recommendations", json=body).json())

    assert lists(two)["fallback_used"]
    assert send(one, event("e1", "new-user", first)) == ["accepted"]
    assert not lists(one)["fallback_used"], "its own events at once"
    wait_until(lambda: not lists(two)["fallback_used"], SEEN_S)
    assert send(two, event("e1", "new-user", first)) == ["duplicate"]
    # Changes of the catalog, and erasures, go the same way.
    gone = items[0]
    assert two.request("PATCH", f"/v1/items/{quote(gone, safe='')}", json={"available": False}).is_success
    wait_until(lambda: gone not in some_items(one), SEEN_S)
    assert one.request("DELETE", "/v1/users/new-user").is_success
    wait_until(lambda: lists(two)["fallback_used"], SEEN_S)


def test_a_page_of_one_server_is_continued_by_the_other(start: Start, shop_models: Path, log: str) -> None:
    one, two = (start(shop_models, store=log, clock="wall") for _ in range(2))
    for server in (one, two):
        server.wait()
    body = {"placement": "popular", "limit": 4}
    first = one.request("POST", "/v1/recommendations", json=body).json()
    pages = [
        server.request("POST", "/v1/recommendations", json=body | {"page_token": first["next_page_token"]}).json()
        for server in (one, two)
    ]
    shown = [[item["item_id"] for item in page["items"]] for page in (first, *pages)]
    assert shown[1] == shown[2]
    assert not set(shown[0]) & set(shown[1])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_lost_database_stops_writes_alone_and_is_found_again(
    start: Start, shop_models: Path, database: PostgresServer, log: str, workers: int
) -> None:
    server = start(shop_models, store=log, workers=workers)
    server.wait()
    first = some_items(server)[0]
    assert send(server, event("before", item_id=first)) == ["accepted"]
    database.stop(signal.SIGQUIT)
    try:
        wait_until(lambda: all(is_stale(server) for _ in range(20)), 10)
        for _ in range(8):
            response = server.request("POST", "/v1/recommendations", json={"placement": "for_you", "user_id": "u"})
            assert response.status_code == 200
            assert int(response.headers["Recsys-Stale"]) >= 0
            assert response.json()["items"]
            refused = server.request("POST", "/v1/events", json={"events": [event("during", item_id=first)]})
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.elapsed.total_seconds() < 2, "no caller waits for a database that is known to be lost"
    finally:
        database.start()
    wait_until(lambda: not any(is_stale(server) for _ in range(20)), 10)
    assert send(server, event("during", item_id=first), event("before", item_id=first)) == ["accepted", "duplicate"]
    response = server.request("POST", "/v1/recommendations", json={"placement": "for_you", "user_id": "u"})
    assert "Recsys-Stale" not in response.headers
    assert server.process.poll() is None


def test_no_acknowledged_event_is_lost_in_kills_of_server_and_database(
    start: Start, shop_models: Path, database: PostgresServer, log: str
) -> None:
    """Three callers send to two servers; one server is killed, then the database, which starts again."""
    servers = [start(shop_models, store=log, clock="wall") for _ in range(2)]
    for server in servers:
        server.wait()
    acknowledged: set[str] = set()
    answers: Counter[str] = Counter()
    is_over = threading.Event()

    def call(caller: int) -> None:
        with httpx.Client(trust_env=False, timeout=10) as client:
            for n in range(1_000_000):
                if is_over.is_set():
                    return
                events = [event(f"{caller}-{n}-{part}") for part in range(20)]
                try:
                    url = servers[(caller + n) % 2].url
                    reply = client.post(f"{url}/v1/events", json={"events": events})
                    answers[f"{reply.status_code} {reply.text[:200] if reply.is_error else ''}"] += 1
                    results = reply.json()["results"] if reply.status_code == 200 else []
                except (httpx.TransportError, ValueError) as error:
                    answers[repr(error)] += 1
                    continue
                acknowledged.update(each["event_id"] for each in results if each["status"] == "accepted")

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(3)]
    for thread in threads:
        thread.start()
    try:
        for kill in (servers[0].kill_all, lambda: database.stop(signal.SIGKILL), lambda: None):
            before = len(acknowledged)
            answers.clear()
            wait_until(lambda before=before: len(acknowledged) > before + 400, 60, lambda: answers)  # type: ignore[misc]
            kill()
            if database.is_stopped:
                database.start()
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    store = PostgresStore(log)
    stored = [each.entry.key for each in store.read_after(0, 1_000_000) if each.entry.entry_type == "event"]
    store.close()
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored))


def version_of(server: Server) -> str:
    return str(server.get("/health/ready").json()["model_version"])


class Balancer:
    """Sends each call to the next server that accepts connections, as a load balancer does."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers
        self.failures: list[str] = []
        self.n_answers = 0
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(caller,)) for caller in range(3)]

    def __enter__(self) -> Balancer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, caller: int) -> None:
        number = 0
        while not self._is_over.is_set():
            number += 1
            try:
                status = self._call(caller, number)
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
                continue
            self.n_answers += 1
            if status != 200:
                self.failures.append(f"status {status}")

    def _call(self, caller: int, number: int) -> int:
        servers = list(self.servers)
        for server in servers[number % len(servers) :] + servers:
            try:
                if number % 4:
                    body = {"placement": "for_you", "user_id": f"u{number}"}
                    return server.request("POST", "/v1/recommendations", json=body).status_code
                events = [event(f"{caller}-{number}", f"u{number}")]
                return server.request("POST", "/v1/events", json={"events": events}).status_code
            except httpx.ConnectError:
                continue  # nothing was sent: the next one takes the call
        raise httpx.ConnectError("no server accepts connections")

    def wait(self, n_answers: int) -> None:
        before = self.n_answers
        wait_until(lambda: self.n_answers >= before + n_answers, 60)


def test_servers_start_stop_and_are_replaced_under_load_without_a_failed_request(
    start: Start, shop_models: Path, shop_engine: Engine, tmp_path: Path, log: str
) -> None:
    bundles = two_bundles(shop_models, shop_engine, tmp_path)
    settings = {"store": log, "clock": "wall", "queue_ms": 60_000}
    servers = [start(bundles.models, **settings) for _ in range(2)]
    for server in servers:
        server.wait()
    with Balancer(servers) as balancer:
        balancer.wait(50)
        third = start(bundles.models, **settings)
        third.wait()
        balancer.servers = [*servers, third]
        balancer.wait(50)
        assert servers[0].stop()[0] == 0, "it is still among the servers while it stops"
        balancer.wait(50)
        balancer.servers = [servers[1], third]
        assert third.request("POST", f"/v1/models/{bundles.new}/activate").is_success
        wait_until(lambda: {version_of(each) for each in balancer.servers} == {bundles.new}, 60)
        balancer.wait(50)
    assert balancer.failures == []
    assert balancer.n_answers >= 200


def test_servers_assign_a_user_to_the_same_variant(start: Start, shop_models: Path, log: str, tmp_path: Path) -> None:
    file = write_experiments(tmp_path, EXPERIMENT)
    change_state(file, begin("short", "2026-11-01T00:00:00Z", 1.0))
    one, two = (start(shop_models, store=log, clock="wall", experiments=file) for _ in range(2))
    for server in (one, two):
        server.wait()

    def variant(server: Server, user_id: str) -> str:
        answer = server.request("POST", "/v1/recommendations", json={"placement": "for_you", "user_id": user_id}).json()
        return str(answer["experiments"])

    users = [f"u{number}" for number in range(20)]
    assert [variant(one, user) for user in users] == [variant(two, user) for user in users]
    assert len({variant(one, user) for user in users}) == 2
