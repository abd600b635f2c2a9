"""Several servers whose state is in PostgreSQL: all serve a change of one, also around a loss of the database."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.postgres_server import PostgresServer
from recsys.core.documents import EXPERIMENTS, KEYS, PLACEMENTS
from recsys.drafts.records import ChangeNote
from recsys.drafts.state_files import import_experiments, import_placements
from recsys.eventlog.opening import open_documents
from serving.runtime.auth import change_keys, new_key
from tests.postgres import digest_name, own_server
from tests.recsys.experiments.files import write_experiments
from tests.serving.conftest import Server

SEEN_S = 20.0
"""A busy machine may take many times as long as an idle one; `benchmarks.shared_log` measures how long it takes."""

NEVER_S = 600
"""A server that looks that seldom sees what it is notified of alone."""

MAY = datetime(2026, 5, 1, tzinfo=UTC)
ADMIN, SECRET = new_key("shop", ("admin",), MAY)
SETTINGS: dict[str, Any] = {"state": "database", "clock": "wall", "poll_seconds": NEVER_S}
ANY = {"If-Match": "*"}
MINE = '[placements.mine]\nextends = "popular"\nlimit = {limit}\n'
EXPERIMENT = """
[experiments.short]
variants.control = {}
variants.three = {placements.for_you = {limit = 3}}
"""


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    server = own_server("fsync=off")
    yield server
    server.close()


@pytest.fixture
def log(database: PostgresServer, request: pytest.FixtureRequest) -> str:
    """The address of a database with one key."""
    place = database.schema(digest_name(request.node.name))
    with closing(open_documents(place)) as documents:
        change_keys(documents / KEYS, lambda known: (*known, ADMIN))
    return place


@pytest.fixture
def servers(start: Callable[..., Server], shop_models: Path, log: str) -> list[Server]:
    """Two servers of one worker each, without a file of the shop besides the bundles."""
    found = [start(shop_models, **SETTINGS, store=log) for _ in range(2)]
    for server in found:
        server.wait()
    return found


def ask(server: Server, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    """Make a call with the key of the shop."""
    return server.request(method, path, json=body, headers={"X-API-Key": SECRET, **headers})


def wait_until(is_true: Callable[[], bool], what: str = "") -> None:
    deadline = time.monotonic() + SEEN_S
    while not is_true():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def limit_of(server: Server) -> int:
    """Number of items of the shop's own list; 0 while there is no such list."""
    response = ask(server, "POST", "/v1/recommendations", {"placement": "mine"})
    return len(response.json()["items"]) if response.status_code == 200 else 0


def all_have(servers: list[Server], limit: int) -> bool:
    return all(limit_of(server) == limit for server in servers for _ in range(8))


def put(server: Server, limit: int) -> int:
    return ask(server, "PUT", "/v1/placements", {"toml": MINE.format(limit=limit)}, **ANY).status_code


def test_placements_drafts_and_the_audit_log_are_those_of_all_servers(servers: list[Server], shop_models: Path) -> None:
    one, two = servers
    assert put(one, 3) == 200
    wait_until(lambda: all_have(servers, 3))
    assert put(two, 4) == 200
    wait_until(lambda: all_have(servers, 4))
    draft = ask(one, "POST", "/v1/drafts", {"title": "five", "toml": MINE.format(limit=5)}).json()["draft"]
    path = f"/v1/drafts/{draft}"
    wait_until(lambda: all(ask(two, "GET", path).status_code == 200 for _ in range(8)))
    done = ask(two, "POST", f"{path}/activate", {"reason": "now"}, **{"If-Match": '"1"'})
    assert done.status_code == 200, done.text
    wait_until(lambda: all_have(servers, 5))
    wait_until(lambda: all(ask(one, "GET", path).status_code == 404 for _ in range(8)))
    back = ask(one, "POST", "/v1/placements/rollback", {"reason": "too long"}, **ANY)
    assert back.status_code == 200, back.text
    wait_until(lambda: all_have(servers, 4))
    actions = ["placements_imported"] * 2 + ["draft_created", "placements_activated", "placements_rolled_back"]
    for server in servers:
        entries = ask(server, "GET", "/v1/audit").json()["entries"][::-1]
        assert [entry["action"] for entry in entries] == actions
        assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]
        assert ask(server, "GET", "/v1/placements/export").text == MINE.format(limit=4)
    assert not (shop_models / PLACEMENTS).exists()
    assert not (shop_models / "placements.history").exists()


def test_every_worker_follows(start: Callable[..., Server], shop_models: Path, log: str) -> None:
    server = start(shop_models, workers=2, **SETTINGS, store=log)
    server.wait()
    for limit in (3, 4):
        assert put(server, limit) == 200
        wait_until(lambda limit=limit: all_have([server], limit))  # type: ignore[misc]


def test_a_broken_text_is_refused_by_all(servers: list[Server], log: str) -> None:
    assert put(servers[0], 3) == 200
    wait_until(lambda: all_have(servers, 3))
    with closing(open_documents(log)) as documents, documents.changing():
        (documents / PLACEMENTS).write(b'[placements.mine]\nextends = "nothing"\n')
    wait_until(lambda: all("nothing" in str(each.get("/health/ready").json()["last_error"]) for each in servers))
    assert all_have(servers, 3)
    assert put(servers[1], 6) == 200
    wait_until(lambda: all_have(servers, 6))


def test_experiments_run_on_all_servers(servers: list[Server], log: str, tmp_path: Path) -> None:
    one, two = servers
    path = "/v1/experiments"
    assert ask(one, "GET", path).json()["experiments"] == []
    assert ask(one, "PUT", "/v1/experiments/short", {"status": "running"}).status_code == 404
    with closing(open_documents(log)) as documents:
        import_experiments(write_experiments(tmp_path, EXPERIMENT), documents)
        assert (documents / EXPERIMENTS).signature() is not None
    wait_until(
        lambda: all(ask(each, "GET", "/v1/experiments").json()["experiments"] for each in servers for _ in range(8))
    )
    started = ask(one, "PUT", "/v1/experiments/short", {"status": "running", "share": 1.0})
    assert started.status_code == 200, started.text
    users = [f"u{n}" for n in range(20)]

    def variants(server: Server) -> list[str]:
        bodies = [{"placement": "for_you", "user_id": user} for user in users]
        return [str(ask(server, "POST", "/v1/recommendations", body).json().get("experiments")) for body in bodies]

    wait_until(lambda: len(set(variants(two))) == 2 and "None" not in variants(two))
    wait_until(lambda: variants(one) == variants(two))
    assert ask(two, "PUT", "/v1/experiments/short", {"status": "stopped"}).status_code == 200
    wait_until(lambda: set(variants(one)) == {"None"})


def test_a_key_is_valid_and_revoked_everywhere(servers: list[Server], log: str) -> None:
    second, other = new_key("two", ("admin",), MAY)

    def statuses(secret: str) -> set[int]:
        headers = {"X-API-Key": secret}
        return {server.request("GET", "/v1/keys", headers=headers).status_code for server in servers for _ in range(8)}

    assert (statuses(SECRET), statuses(other)) == ({200}, {401})
    with closing(open_documents(log)) as documents:
        change_keys(documents / KEYS, lambda known: (*known, second))
        wait_until(lambda: statuses(other) == {200})
        change_keys(documents / KEYS, lambda known: (second,))
        wait_until(lambda: statuses(SECRET) == {401})
    assert statuses(other) == {200}


def test_a_lost_database_leaves_the_state_that_was_read(servers: list[Server], database: PostgresServer) -> None:
    assert put(servers[0], 3) == 200
    wait_until(lambda: all_have(servers, 3))
    database.stop(signal.SIGQUIT)
    try:
        wait_until(lambda: all(put(server, 5) == 503 for server in servers))
        assert all_have(servers, 3)
        assert [ask(server, "GET", "/v1/placements/export").status_code for server in servers] == [200, 200]
    finally:
        database.start()
    wait_until(lambda: put(servers[1], 5) == 200)
    wait_until(lambda: all_have(servers, 5))
    assert all(server.process.poll() is None for server in servers)


def test_the_files_of_a_shop_are_taken_over(
    start: Callable[..., Server], shop_models: Path, tmp_path: Path, log: str
) -> None:
    """A shop with files and a history moves into a database, and its versions can be returned to."""
    path = tmp_path / PLACEMENTS
    path.write_text(MINE.format(limit=3), encoding="utf-8")
    before = start(shop_models, store=tmp_path / "store.sqlite", placements=path)
    before.wait()
    assert put(before, 4) == 200
    before.stop()
    note = ChangeNote("command line", "2026-05-01T00:00:00+00:00")
    with closing(open_documents(log)) as documents:
        assert import_placements(path, tmp_path / "placements.history", documents, note)
    after = start(shop_models, **SETTINGS, store=log)
    after.wait()
    assert limit_of(after) == 4
    actions = [entry["action"] for entry in ask(after, "GET", "/v1/audit").json()["entries"]]
    assert actions == ["placements_imported", "placements_edited"]
    back = ask(after, "POST", "/v1/placements/rollback", {"reason": "back"}, **ANY)
    assert back.status_code == 200, back.text
    wait_until(lambda: limit_of(after) == 3)
