from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta
from starlette.exceptions import HTTPException

from serving.http.body import RATE_BYTES, Body, check_headers
from serving.http.byte_budget import SMALL_BYTES, ByteBudget, HeldBytes
from serving.http.fields import Id
from serving.problems import CapacityError, InvalidRequestError

TYPE = (b"content-type", b"application/json")
Headers = tuple[tuple[bytes, bytes], ...]


class Part(msgspec.Struct, forbid_unknown_fields=True):
    price: Annotated[float, Meta(ge=0)] = 0.0


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    parts: list[Part]
    from_id: Id = msgspec.field(name="from", default="x")
    ids: list[Id] = []
    free: Any = None


BODY, TOLERANT = Body(Whole), Body(Whole, tolerant=True)


def read(*chunks: bytes, headers: Headers = (TYPE,), max_bytes: int = 1000, seconds: float = 10.0) -> Whole:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    left = iter([*messages, {"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(left)

    return asyncio.run(BODY.read(headers, receive, max_bytes, seconds))


def fault(raw: bytes, body: Body[Whole] = BODY) -> tuple[str, str, str | None]:
    with pytest.raises(InvalidRequestError) as caught:
        body.decode(raw)
    (error,) = caught.value.errors
    assert json.loads(msgspec.json.encode(error))["message"] == error.message
    return error.field, error.message, error.value


def test_parts_are_read_as_they_arrive() -> None:
    assert read(b'{"parts":[{"pri', b'ce":2}],"from":"u"}') == Whole([Part(2.0)], "u")


@pytest.mark.parametrize(
    ("raw", "field", "message", "value"),
    [
        (b'{"parts":[{},{"price":-1}]}', "parts[1].price", "is -1: expected a number of at least 0", "-1"),
        (b'{"parts":[{"price":"1"}]}', "parts[0].price", "is '1': expected a number", "1"),
        (b'{"parts":[{"prize":1}]}', "parts[0].prize", "unknown field 'prize': expected one of price", None),
        (b'{"parts":[],"from":""}', "from", "expected an id of 1 to 256 bytes", ""),
        (b'{"parts":[],"from":"a\\n"}', "from", "without control characters", "a\n"),
        ('{"parts":[],"from":"%s"}' % ("茶" * 86), "from", "has 258 bytes", "茶" * 80),
        (b'{"parts":[],"ids":["a","b\\u0000"]}', "ids[1]", "without control characters", "b\0"),
        (b"{}", "parts", "missing: expected an array", None),
        (b"[]", "", "the body is []: expected an object", None),
        (b"", "", "not JSON", None),
        (b'{"parts":[]', "", "not JSON", None),
        (b'{"parts":[{"price":NaN}]}', "", "NaN is not a JSON value", None),
        (b'{"parts":[{"price":1e999}]}', "parts[0].price", "out of range", None),
        (b'{"parts":[],"from":"\xff"}', "", "not UTF-8", None),
        (b'{"parts":[],"from":"\\ud800"}', "from", "not valid Unicode", None),
        (b'{"parts":[],"free":["\\ud800"]}', "free", "valid Unicode", None),
        (b'{"parts":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "", "nested too deeply", None),
        (b'{"parts":[],"free":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "", "nested too deeply", None),
        (b'{"parts":[],"from":' + b"9" * 5000 + b"}", "", "not JSON", None),
    ],
)
def test_the_wrong_part_is_named(raw: bytes | str, field: str, message: str, value: str | None) -> None:
    found = fault(raw.encode() if isinstance(raw, str) else raw)
    assert found[0] == field
    assert message in found[1]
    if value is not None:
        assert found[2] == value


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        BODY.decode(b'{"parts":[{"price":-1},{"x":1}],"from":"","y":2}')
    assert [error.field for error in caught.value.errors] == ["y", "parts[0].price", "parts[1].x", "from"]


def test_the_last_of_two_equal_names_counts() -> None:
    assert BODY.decode(b'{"parts":[{"price":1,"price":2}]}').parts == [Part(2.0)]
    assert BODY.decode(b'{"parts":[{"price":"x","price":2}]}').parts == [Part(2.0)]


def test_a_tolerant_call_gets_odd_values() -> None:
    assert TOLERANT.decode(b'{"parts":[],"free":["\\ud800",1e999]}').free == ["\ud800", float("inf")]
    assert "unknown field" in fault(b'{"parts":[],"free":["\\ud800"],"\\udfff":1}', TOLERANT)[1]
    assert "NaN" in fault(b'{"parts":[],"free":[NaN]}', TOLERANT)[1]


@pytest.mark.parametrize(
    "headers", [(TYPE, (b"content-length", b"1001")), (TYPE,)], ids=["by its header", "found while reading"]
)
def test_a_body_that_is_too_large_is_413(headers: Headers) -> None:
    with pytest.raises(HTTPException, match="larger than 1000 bytes") as caught:
        read(b" " * 900, b" " * 101, headers=headers)
    assert caught.value.status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"content-type", b"text/plain"),),
        ((b"content-type", b"application/json; charset=gbk"),),
        ((b"content-type", b"application/x-ndjson"),),
        (TYPE, (b"content-encoding", b"gzip")),
    ],
)
def test_another_media_type_is_415(headers: Headers) -> None:
    with pytest.raises(HTTPException) as caught:
        read(b'{"parts":[]}', headers=headers)
    assert caught.value.status_code == 415


@pytest.mark.parametrize(
    "value", [b"Application/JSON", b"application/json; charset=UTF-8", b'application/json;charset="utf-8"']
)
def test_a_media_type_has_several_spellings(value: bytes) -> None:
    check_headers([(b"content-type", value), (b"content-encoding", b"Identity")], "application/json", 10)


@pytest.mark.parametrize("sent", [0, 1])
def test_a_body_that_does_not_arrive_is_408(sent: int) -> None:
    left = iter([{"type": "http.request", "body": b"{", "more_body": True}] * sent)

    async def receive() -> dict[str, Any]:
        for message in left:
            return message
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    with pytest.raises(HTTPException, match=r"incomplete after 0\.05 s") as caught:
        asyncio.run(BODY.read((TYPE,), receive, 1000, 0.05))
    assert (caught.value.status_code, caught.value.headers) == (408, {"Connection": "close"})


def test_a_disconnected_caller_is_400() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(HTTPException) as caught:
        asyncio.run(BODY.read((TYPE,), receive, 1000, 10))
    assert caught.value.status_code == 400


@pytest.mark.parametrize("length", ["9" * 30, "9" * 5000, "0" * 50 + "1001"])
def test_an_absurd_length_is_too_large(length: str) -> None:
    with pytest.raises(HTTPException) as error:
        check_headers([TYPE, (b"content-length", length.encode())], "application/json", 1000)
    assert error.value.status_code == 413


@pytest.mark.parametrize("length", ["-1", "+1", "1e3", "", " 1", "0x1", "٣", "a" * 300])
def test_a_length_that_is_no_number_is_a_wrong_request(length: str) -> None:
    with pytest.raises(HTTPException) as error:
        check_headers([TYPE, (b"content-length", length.encode())], "application/json", 1000)
    assert error.value.status_code == 400
    assert len(error.value.detail) < 200


def test_a_declared_length_without_room_is_refused_before_anything_is_read() -> None:
    budget = ByteBudget(100_000)
    other, held = HeldBytes(budget), HeldBytes(budget)
    assert other.add(60_000)
    headers = (TYPE, (b"content-length", b"20000"))

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read")

    with pytest.raises(CapacityError):
        asyncio.run(BODY.read(headers, receive, 1 << 20, 10, held))
    other.close()
    with pytest.raises(AssertionError, match="nothing is read"):
        asyncio.run(BODY.read(headers, receive, 1 << 20, 10, held))


@pytest.mark.parametrize(
    ("first", "each", "is_refused"),
    [
        (100, 1, False),
        (SMALL_BYTES - 100, 1, False),
        (SMALL_BYTES, 1, True),
        (50 * SMALL_BYTES, 100, True),
        (50 * SMALL_BYTES, RATE_BYTES, False),
    ],
)
def test_a_large_body_must_go_on_arriving(
    monkeypatch: pytest.MonkeyPatch, first: int, each: int, is_refused: bool
) -> None:
    """A small one has the whole time, a large one some time for each next part."""
    monkeypatch.setattr("serving.http.body.RATE_S", 0.2)
    body = b'{"parts":[]' + b" " * 10**7
    left = iter([first, each, each, each])

    async def receive() -> dict[str, Any]:
        size = next(left, None)
        if size is None:
            return {"type": "http.request", "body": b"}", "more_body": False}
        if size != first:
            await asyncio.sleep(0.12)
        start, receive.sent = receive.sent, receive.sent + size  # type: ignore[attr-defined]
        return {"type": "http.request", "body": body[start : start + size], "more_body": True}

    receive.sent = 0  # type: ignore[attr-defined]
    call = BODY.read((TYPE,), receive, 10**7, 10.0)
    if is_refused:
        with pytest.raises(HTTPException, match="send it faster") as caught:
            asyncio.run(call)
        assert caught.value.status_code == 408
    else:
        assert asyncio.run(call) == Whole([])
