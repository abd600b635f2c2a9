from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from serving.api import batch
from serving.api.batch import MAX_LINE_BYTES, NDJSON, BatchReader
from serving.http.byte_budget import HeldBytes
from tests.serving.conftest import Client, Server, client_of
from tests.shop import USERS_WITH_HISTORY

TYPE = {"Content-Type": NDJSON}


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        yield client


@contextmanager
def running(models: Path, folder: Path, **settings: object) -> Iterator[Server]:
    server = Server(models, store=folder / "store.sqlite", **settings)  # type: ignore[arg-type]
    server.wait()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(shop_models, tmp_path_factory.mktemp("batch")) as server:
        yield server


@pytest.fixture(scope="module")
def impatient(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits for the next part of a body for 0.6 s."""
    with running(shop_models, tmp_path_factory.mktemp("impatient"), body_seconds=0.6) as server:
        yield server


def lines(*requests: Any) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in requests)


def ask(client: Client | Server, content: Any) -> list[dict[str, Any]]:
    response = client.request("POST", "/v1/batch", content=content, headers=TYPE)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == NDJSON
    return [json.loads(line) for line in response.text.splitlines()]


def without_tokens(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what differs between equal requests: its id, and the token, which has the time."""
    return {name: value for name, value in answer.items() if name not in ("recommendation_id", "next_page_token")}


def test_one_result_per_line_in_order(shop: Client) -> None:
    fields = {"placement": "for_you", "limit": 3, "as_of": "2024-06-20T08:00:00Z"}
    requests = [{**fields, "user_id": user, "id": user} for user in USERS_WITH_HISTORY[:20]]
    reply = ask(shop, lines(*requests))
    assert [each["id"] for each in reply] == list(USERS_WITH_HISTORY[:20])
    assert [each["line"] for each in reply] == list(range(1, 21))
    for request_line, each in zip(requests, reply, strict=True):
        body = {name: value for name, value in request_line.items() if name != "id"}
        alone = shop.request("POST", "/v1/recommendations", json=body).json()
        assert without_tokens(each["answer"]) == without_tokens(alone)


def test_a_bad_line_does_not_affect_the_others(shop: Client) -> None:
    good = {"placement": "popular", "limit": 1, "id": 7}
    reply = ask(
        shop,
        lines(
            good,
            {"placement": "nope", "id": "x"},
            b"{",
            b"",
            {"placement": "popular", "limit": 0, "id": 3},
            {"placement": "popular", "colour": "red"},
            {"placement": "complementary", "id": "seedless"},
            {"placement": "for_you", "user_id": "a\x01"},
            b'{"placement": "popular", "id": {"deep": 1}}',
            b'{"placement": "' + b"x" * MAX_LINE_BYTES + b'"}',
            b"\xff",
            good,
        ),
    )
    assert [each["line"] for each in reply] == [1, 2, 3, *range(5, 13)]
    assert [each["id"] for each in reply] == [7, "x", None, 3, None, "seedless", None, None, None, None, 7]
    assert ["answer" in each for each in reply] == [True, *[False] * 9, True]
    problems = [each["problem"] for each in reply if "problem" in each]
    assert {each["status"] for each in problems} == {422}
    assert [each["errors"][0]["field"] for each in problems] == [
        *("placement", "", "limit", "colour", "item_ids", "user_id", "id", "", "")
    ]


def test_the_last_line_needs_no_newline_and_an_empty_body_has_no_results(shop: Client) -> None:
    assert len(ask(shop, lines({"placement": "popular"})[:-1])) == 1
    assert ask(shop, b"") == []
    assert ask(shop, b"\n\r\n\n") == []


def test_a_json_body_is_one_request(shop: Client) -> None:
    response = shop.request("POST", "/v1/batch", json={"placement": "popular", "id": "a"})
    assert (response.status_code, response.headers["content-type"]) == (200, NDJSON)
    assert response.json()["id"] == "a"
    wrong = shop.request("POST", "/v1/batch", json={"placement": 5})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "placement")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/csv"}, 415),
        ({**TYPE, "Content-Encoding": "gzip"}, 415),
        ({**TYPE, "Content-Length": str(1 << 40)}, 413),
    ],
)
def test_a_call_that_cannot_be_read(shop: Client, headers: dict[str, str], status: int) -> None:
    assert shop.request("POST", "/v1/batch", content=b"{}", headers=headers).status_code == status


def test_the_size_of_a_call_is_limited(shop: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_LINES", 2)
    reply = ask(shop, lines(*[{"placement": "popular", "limit": 1}] * 4))
    assert ["answer" in each for each in reply] == [True, True, False]
    assert reply[-1]["problem"]["status"] == 413
    monkeypatch.setattr(batch, "MAX_BYTES", 10)

    async def parts() -> AsyncIterator[bytes]:
        yield lines({"placement": "popular"})

    assert ask(shop, parts())[-1]["problem"]["status"] == 413


def test_lists_are_recorded_and_counted(shop: Client) -> None:
    reply = ask(shop, lines(*[{"placement": "for_you", "user_id": "u010", "log": True}] * 3))
    app_context = shop.app.state.app_context
    shop._runner.run(app_context.impressions.flush())
    keys = [stored.entry.key for stored in app_context.store.read_after(0, 10)]
    assert keys == [each["answer"]["recommendation_id"] for each in reply]
    assert 'recsys_request_seconds_count{placement="for_you",status="200"} 3.0' in shop.get("/metrics").text


def test_lines_are_split_independently_of_chunks() -> None:
    raw = lines(b"a", b"bb", b"", b"ccc") + b"dddd"

    async def read(size: int) -> list[bytes]:
        parts = [raw[start : start + size] for start in range(0, len(raw), size)]
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages += [{"type": "http.request"}, {"type": "http.disconnect"}]

        async def receive() -> dict[str, Any]:
            if len(messages) == 1:
                await asyncio.sleep(60)
            return messages.pop(0)

        reader = BatchReader(receive, HeldBytes())
        pump = asyncio.create_task(reader.run())
        found = []
        while (line := await reader.next(60)) is not None:
            found.append(line)
        pump.cancel()
        return found

    for size in range(1, len(raw) + 1):
        assert asyncio.run(read(size)) == [b"a", b"bb", b"", b"ccc", b"dddd"]


def test_results_arrive_while_requests_are_sent(server: Server) -> None:
    request_line = lines({"placement": "popular", "limit": 1})
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        for number in range(1, 4):
            connection.sendall(b"%x\r\n%b\r\n" % (len(request_line), request_line))
            seen = b""
            while b'{"line":%d,' % number not in seen:
                seen += connection.recv(65_536)
        connection.sendall(b"0\r\n\r\n")


@pytest.mark.parametrize("trickle", [b"", b" "])
def test_a_caller_that_sends_no_more_lines_gets_a_problem(impatient: Server, trickle: bytes) -> None:
    request_line = lines({"placement": "popular", "limit": 1})
    head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\nContent-Length: 100000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=0.1) as connection:
        connection.sendall(head.encode() + request_line)
        seen, started = b"", time.monotonic()
        while not seen.endswith(b"\r\n0\r\n\r\n") and time.monotonic() < started + 10:
            connection.sendall(trickle)
            with suppress(TimeoutError):
                seen += connection.recv(65_536)
        took = time.monotonic() - started
    assert 0.5 < took < 5
    reply = [json.loads(each) for each in seen.splitlines() if each.startswith(b'{"line"')]
    assert [each["line"] for each in reply] == [1, 2]
    assert "answer" in reply[0]
    problem = reply[1]["problem"]
    assert problem["status"] == 408
    assert "no complete line arrived for 0.6 s" in problem["detail"]
    assert len(ask(impatient, request_line)) == 1


def test_work_on_earlier_lines_does_not_count_as_waiting() -> None:
    async def read() -> tuple[list[bytes | None], object]:
        messages: list[dict[str, Any]] = [{"type": "http.request", "body": lines(b"a", b"b"), "more_body": True}]

        async def receive() -> dict[str, Any]:
            if not messages:
                await asyncio.sleep(60)
            return messages.pop()

        reader = BatchReader(receive, HeldBytes())
        pump = asyncio.create_task(reader.run())
        found = [await reader.next(0.1)]
        await asyncio.sleep(0.3)
        found.append(await reader.next(0.1))
        assert reader.fault is None
        found.append(await reader.next(0.1))
        pump.cancel()
        return found, reader.fault and reader.fault.status_code

    assert asyncio.run(read()) == ([b"a", b"b", None], 408)


def test_a_caller_that_sends_all_before_reading_does_not_block(server: Server) -> None:
    """Requests and results exceed the sockets' buffers, and other calls are answered meanwhile."""
    content = lines(*[{"placement": "popular", "limit": 50}] * 3000)
    head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        slowest = 0.0
        for _ in range(20):
            started = time.perf_counter()
            assert server.get("/health/live").status_code == 200
            slowest = max(slowest, time.perf_counter() - started)
        assert slowest < 2
        answers = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    assert answers.count(b'"answer":') == 3000


def test_work_ends_once_the_caller_disconnects(server: Server) -> None:
    content = lines(*[{"placement": "for_you", "user_id": "u010", "limit": 100}] * 20_000)
    head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode() + content)
        assert connection.recv(100)

    def answered() -> float:
        count = 'recsys_request_seconds_count{placement="for_you",status="200"} '
        return float(server.get("/metrics").text.partition(count)[2].split()[0])

    time.sleep(1.0)
    before = answered()
    time.sleep(0.5)
    assert answered() == before < 20_000
