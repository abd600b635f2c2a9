"""Drives the real server over sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from recsys.fitting.engine import Engine
from serving.server import _hangup_as_sigterm
from tests.launcher import ROOT
from tests.serving.conftest import MAIN, Server
from tests.serving.runtime.test_bundle_watcher import spoil, write_another
from tests.shop import CHARGERS, ODD_USERS, PHONES, WEEKLY_ITEM

Start = Callable[..., Server]
TELL = "lambda ready: print(ready.model_version, *ready.examples, flush=True)"
N_CONNECTIONS = 4
NOT_NEEDED = {"scipy.stats", "lightgbm", "pandas", "scipy.interpolate", "matplotlib", "optuna", "typer"}
"""Modules that only jobs use: each makes the start of a server longer, `lightgbm` with pandas by a fifth."""


def raw(server: Server, target: str) -> tuple[int, bytes]:
    """Send a request line as it is, without normalization."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
        response = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = response.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("item_id", [WEEKLY_ITEM, CHARGERS[-1], *PHONES, "手机壳 1", "orphan/2"])
def test_known_items(server: Server, item_id: str) -> None:
    status, body = raw(server, f"/v1/items/{quote(item_id, safe='')}/recommendations?limit=3")
    assert status == 200
    assert 0 < len(json.loads(body)["items"]) <= 3


@pytest.mark.parametrize("user_id", ODD_USERS)
def test_known_users(server: Server, user_id: str) -> None:
    status, body = raw(server, f"/v1/users/{quote(user_id, safe='')}/recommendations")
    assert status == 200
    assert not json.loads(body)["fallback_used"]


@pytest.mark.parametrize(
    ("target", "status", "field"),
    [
        ("/v1/items/no%2Fsuch/recommendations", 404, "item_id"),
        ("/v1/items/%F0%9F%A6%8A/recommendations", 404, "item_id"),
        ("/v1/items/a%00b/recommendations", 422, "item_id"),
        (f"/v1/items/{'x' * 4096}/recommendations", 422, "item_id"),
        (f"/v1/users/{'%E8%8C%B6' * 1366}/recommendations", 422, "user_id"),
        ("/v1/users/%ff/recommendations", 422, "user_id"),
        ("/v1/users/u/recommendations?limit=0", 422, "limit"),
        ("/v1/users/u/recommendations?limit=101", 422, "limit"),
        ("/v1/users/u/recommendations?limit=abc", 422, "limit"),
        ("/v1/users/u/recommendations?placement=x", 422, "placement"),
        ("/v1/users/u/recommendations?as_of=yesterday", 422, "as_of"),
        ("/v1/users/u/recommendations?colour=red", 422, "colour"),
        ("/v1/users/u/recommendations?limit=3&limit=4", 422, "limit"),
    ],
)
def test_bad_input(server: Server, target: str, status: int, field: str) -> None:
    found, body = raw(server, target)
    reply = json.loads(body)
    assert (found, reply["status"], [error["field"] for error in reply["errors"]]) == (status, status, [field])


def test_head_equals_get_without_the_body(server: Server) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("HEAD", "/health/ready")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    connection.close()


def test_a_server_starts_without_a_bundle_and_serves_the_first_good_one(
    start: Start, tmp_path: Path, shop_engine: Engine
) -> None:
    server = start(tmp_path)
    server.wait("/health/live")
    assert server.get("/health/ready").status_code == 503
    assert server.get("/v1/users/u/recommendations").headers["retry-after"]
    version = write_another(shop_engine, tmp_path)
    assert server.wait().json()["model_version"] == version


def test_a_broken_bundle_is_refused_while_the_old_one_is_served(start: Start, own_models: Path) -> None:
    server = start(own_models)
    version = server.wait().json()["model_version"]
    spoil(own_models, "broken")
    reply = server.wait(until=lambda response: response.json()["last_error"] is not None).json()
    assert reply["model_version"] == version
    assert "broken" in reply["last_error"]
    assert server.get(reply["examples"][0]).json()["model_version"] == version


def test_bundles_are_replaced_under_load_without_a_failure(start: Start, own_models: Path, shop_engine: Engine) -> None:
    server = start(own_models, cache_mb=1)
    reply = server.wait().json()
    versions = {reply["model_version"]}
    stop, seen, faults = threading.Event(), Counter[str](), list[str]()

    def ask(path: str) -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
        while not stop.is_set():
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    faults.append(body.decode())
                seen[json.loads(body)["model_version"]] += 1
            except Exception as error:
                faults.append(repr(error))
        connection.close()

    threads = [threading.Thread(target=ask, args=(reply["examples"][n % 3],)) for n in range(N_CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        for day in range(3, 6):
            version = write_another(shop_engine, own_models, day)
            server.wait(until=lambda response, wanted=version: response.json()["model_version"] == wanted)  # type: ignore[misc]
            versions.add(version)
            time.sleep(0.1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert faults == []
    assert set(seen) == versions


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_reports_readiness_and_stops_cleanly(start: Start, shop_models: Path, workers: int) -> None:
    server = start(shop_models, on_ready=TELL, workers=workers, is_new=True)
    reply = server.wait().json()
    server.get(reply["examples"][0])
    figures = server.wait("/metrics", until=lambda response: f'result="served"}} {workers}.0' in response.text)
    assert 'recsys_request_seconds_count{placement="complementary",status="200"} 1.0' in figures.text
    time.sleep(0.3)
    code, out, err = server.stop()
    assert code == 0, err
    assert out.split() == [reply["model_version"], *(server.url + path for path in reply["examples"])]
    assert "Traceback" not in err


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_running_request_is_completed_after_a_stop_signal(
    start: Start, shop_models: Path, tmp_path: Path, workers: int, how: signal.Signals
) -> None:
    """The signal reaches all processes of the server, as when its terminal closes."""
    server = start(shop_models, workers=workers, store=tmp_path / "log")
    server.wait()
    body = b'{"events": [{"item_id": "p1", "event": "view_item", "user_id": "u001", "event_id": "slow"}]}'
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest("POST", "/v1/events")
    for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
        connection.putheader(name, value)
    connection.endheaders(body[:9])
    time.sleep(0.3)
    if how == signal.SIGTERM:
        server.process.send_signal(how)  # as a supervisor of services does
    else:
        os.killpg(server.process.pid, how)
    time.sleep(0.3)
    connection.send(body[9:])
    assert connection.getresponse().status == 200
    connection.close()
    code, _, err = server.end()
    assert code == 0, err
    assert "Traceback" not in err


def test_a_server_under_nohup_ignores_the_end_of_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _hangup_as_sigterm():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_port_in_use_is_one_clear_error_and_no_module_of_the_jobs_is_imported(
    server: Server, shop_models: Path
) -> None:
    watch = f"import atexit, sys; atexit.register(lambda: print(*{NOT_NEEDED} & set(sys.modules), end='')); "
    run = subprocess.run(
        [sys.executable, "-c", watch + MAIN.format(on_ready="print")],
        cwd=ROOT,
        env={"RECSYS_PORT": str(server.port), "RECSYS_MODELS": str(shop_models)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stdout == ""
    assert f"ConfigError: cannot listen on 127.0.0.1 port {server.port}" in run.stderr.splitlines()[-1]
