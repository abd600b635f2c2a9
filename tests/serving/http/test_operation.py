from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.exceptions import HTTPException
from starlette.routing import Match

from serving.http.body import Body
from serving.http.fields import Id, NoParameters, Parameters
from serving.http.operation import MAX_URL_BYTES, CountedCall, Operation, Route
from serving.problems import NotReadyError
from serving.runtime.app_context import AppContext
from serving.runtime.auth import new_key, write_keys
from serving.runtime.settings import load_settings


class OneThing(Parameters, frozen=True):
    thing_id: Id
    n: int = 0


class Note(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    placement: str | None = None


async def get_thing(app_context: AppContext, call: OneThing) -> bytes:
    return msgspec.json.encode(call)


async def put_thing(app_context: AppContext, call: OneThing, note: Note) -> bytes:
    return msgspec.json.encode([call.thing_id, note.text])


async def fail(app_context: AppContext, call: OneThing) -> bytes:
    raise NotReadyError("not yet", 7)


async def stream(app_context: AppContext, call: OneThing) -> AsyncIterator[bytes]:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a\n"
        yield b"b\n"

    return parts()


GET = Operation("GET", "/things/{thing_id}", OneThing, get_thing)
PUT = Operation("PUT", "/things/{thing_id}", OneThing, put_thing, body=Body(Note), scope="catalog")
DELETE = Operation("DELETE", "/things/{thing_id}", OneThing, fail, failures=(503,))
PATCH = Operation("PATCH", "/things/{thing_id}", OneThing, stream, media_type="text/plain")
OPERATIONS = (GET, PUT, DELETE, PATCH)


@pytest.fixture
def app_context(tmp_path: Path) -> AppContext:
    return AppContext.of(load_settings(models=tmp_path, max_body_bytes=1024, body_seconds=0.2))


class Response:
    def __init__(self, messages: list[dict[str, Any]]) -> None:
        start, *parts = messages
        self.status: int = start["status"]
        self.headers = dict(start["headers"])
        self.parts = [part["body"] for part in parts]
        self.is_complete = not parts[-1].get("more_body", False)


def scope_of(method: str, path: bytes, query: bytes = b"", **more: Any) -> dict[str, Any]:
    headers = [(b"content-type", b"application/json")]
    return {"type": "http", "method": method, "raw_path": path, "query_string": query, "headers": headers, **more}


def call(app_context: AppContext, scope: dict[str, Any], body: bytes | None = b"") -> Response:
    """Send a request to the route; a body of None never arrives."""
    route, sent = Route("/things/{thing_id}", OPERATIONS, app_context), []

    async def receive() -> dict[str, Any]:
        if body is None:
            await asyncio.sleep(10)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    match, more = route.matches(scope)
    assert match is Match.FULL
    asyncio.run(route.handle({**scope, **more}, receive, send))
    return Response(sent)


@pytest.mark.parametrize(
    ("path", "thing_id"),
    [(b"/things/a", "a"), (b"/things/a%2Fb", "a/b"), (b"/things/%E8%8C%B6", "茶"), (b"/things/a+b", "a+b")],
)
def test_a_path_is_matched_before_it_is_decoded(app_context: AppContext, path: bytes, thing_id: str) -> None:
    response = call(app_context, scope_of("GET", path, b"n=3"))
    assert (response.status, json.loads(response.parts[0])) == (200, {"thing_id": thing_id, "n": 3})
    assert response.headers[b"content-length"] == str(len(response.parts[0])).encode()
    assert response.headers[b"cache-control"] == b"no-store"


@pytest.mark.parametrize("path", [b"/things/a/b", b"/things", b"/things/a/", b"/other/a", b"/thingsXa"])
def test_other_paths_do_not_match(app_context: AppContext, path: bytes) -> None:
    route = Route("/things/{thing_id}", OPERATIONS, app_context)
    assert route.matches(scope_of("GET", path)) == (Match.NONE, {})
    assert route.matches({**scope_of("GET", b"/things/a"), "type": "websocket"})[0] is Match.NONE


def test_special_characters_of_a_path_are_literal(app_context: AppContext) -> None:
    route = Route("/a.b/{thing_id}", (), app_context)
    assert route.matches(scope_of("GET", b"/a.b/x"))[0] is Match.FULL
    assert route.matches(scope_of("GET", b"/acb/x"))[0] is Match.NONE


def test_a_server_without_raw_path_and_a_mounted_app(app_context: AppContext) -> None:
    scope = scope_of("GET", b"") | {"raw_path": None, "path": "/things/a b"}
    assert json.loads(call(app_context, scope).parts[0])["thing_id"] == "a b"
    scope = scope_of("GET", b"/shop/things/a", root_path="/shop")
    assert json.loads(call(app_context, scope).parts[0])["thing_id"] == "a"


def test_head_is_answered_like_get(app_context: AppContext) -> None:
    assert call(app_context, scope_of("HEAD", b"/things/a")).status == 200


def test_another_method_is_405_with_all_that_are_allowed(app_context: AppContext) -> None:
    response = call(app_context, scope_of("POST", b"/things/a"))
    assert (response.status, response.headers[b"allow"]) == (405, b"GET, PUT, DELETE, PATCH")
    assert response.headers[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize(("extra", "status"), [(0, 422), (1, 414)])
def test_the_length_of_a_url_is_limited(app_context: AppContext, extra: int, status: int) -> None:
    query = b"n=" + b"9" * (MAX_URL_BYTES - len(b"n=") - len(b"a") + extra)
    assert call(app_context, scope_of("GET", b"/things/a", query)).status == status


def test_a_body_is_read_and_validated(app_context: AppContext) -> None:
    put = scope_of("PUT", b"/things/a")
    assert json.loads(call(app_context, put, b'{"text":"x"}').parts[0]) == ["a", "x"]
    assert call(app_context, put, b"{}").status == 422
    assert call(app_context, put, b" " * 1025).status == 413
    assert call(app_context, {**put, "headers": []}, b"{}").status == 415
    response = call(app_context, put, None)
    assert (response.status, response.headers[b"connection"]) == (408, b"close")


def test_a_failure_is_a_problem_with_its_headers(app_context: AppContext) -> None:
    response = call(app_context, scope_of("DELETE", b"/things/a"))
    assert (response.status, response.headers[b"retry-after"]) == (503, b"7")
    assert json.loads(response.parts[0])["detail"] == "not yet"


def test_a_response_can_be_sent_in_parts(app_context: AppContext) -> None:
    response = call(app_context, scope_of("PATCH", b"/things/a"))
    assert (response.status, response.parts) == (200, [b"a\n", b"b\n", b""])
    assert response.is_complete
    assert b"content-length" not in response.headers


def test_only_operations_with_a_scope_require_a_key(tmp_path: Path) -> None:
    key, secret = new_key("job", ["catalog"], datetime(2024, 5, 1, tzinfo=UTC))
    write_keys(tmp_path / "keys.json", [key])
    app_context = AppContext.of(load_settings(models=tmp_path, keys=tmp_path / "keys.json"))
    put = scope_of("PUT", b"/things/a")
    assert call(app_context, scope_of("GET", b"/things/a")).status == 200
    assert call(app_context, put, b'{"text":"x"}').status == 401
    headers = [*put["headers"], (b"x-api-key", secret.encode())]
    assert call(app_context, {**put, "headers": headers}, b'{"text":"x"}').status == 200


def test_statuses_follow_from_the_declaration() -> None:
    assert GET.statuses == (414, 422, 431)
    assert PUT.statuses == (401, 403, 408, 413, 414, 415, 422, 429, 431, 503)
    assert DELETE.statuses == (414, 422, 431, 503)
    assert (GET.path_names, Operation("GET", "/x", NoParameters, fail).path_names) == (["thing_id"], [])


def metrics(app_context: AppContext) -> str:
    return app_context.telemetry.exposition().decode()


def test_a_call_for_a_list_is_counted_by_its_status(app_context: AppContext) -> None:
    with CountedCall(app_context) as counted:
        counted.placement = "a name that no list has"
    counted.count()
    assert counted.failure is None
    with CountedCall(app_context) as counted:
        counted.placement = ""
        raise HTTPException(404, "nothing")
    counted.count()
    assert counted.failure is not None
    assert 'recsys_request_seconds_count{placement="",status="200"} 1.0' in metrics(app_context)
    assert 'recsys_request_seconds_count{placement="",status="404"} 1.0' in metrics(app_context)
    assert call(app_context, scope_of("PUT", b"/things/a"), b'{"text":"x","placement":"y"}').status == 200
    assert 'recsys_request_seconds_count{placement="",status="200"} 2.0' in metrics(app_context)


def test_other_and_cancelled_calls_are_not_counted(app_context: AppContext) -> None:
    counted = CountedCall(app_context)
    with counted:
        pass
    counted.placement = ""
    assert not counted.__exit__(asyncio.CancelledError, asyncio.CancelledError(), None)
    assert "recsys_request_seconds_count" not in metrics(app_context)
