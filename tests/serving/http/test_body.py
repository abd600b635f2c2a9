from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta
from starlette.exceptions import HTTPException

from serving.http.body import Body, BodyId, wrong_ids
from serving.problems import InvalidRequestError

TYPE = (b"content-type", b"application/json")


class Part(msgspec.Struct, forbid_unknown_fields=True):
    price: Annotated[float, Meta(ge=0)] = 0.0


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    parts: list[Part]
    of: BodyId = msgspec.field(name="from", default="x")
    free: Any = None


BODY, TOLERANT = Body(Whole), Body(Whole, tolerant=True)


def read(*chunks: bytes, headers: tuple[tuple[bytes, bytes], ...] = (TYPE,), max_bytes: int = 1000) -> Whole:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    left = iter([*messages, {"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(left)

    return asyncio.run(BODY.read({"headers": headers}, receive, max_bytes))  # type: ignore[arg-type]


def fault(raw: bytes, body: Body[Whole] = BODY) -> tuple[str, str, str | None]:
    with pytest.raises(InvalidRequestError) as caught:
        body.decode(raw)
    (error,) = caught.value.errors
    assert json.loads(msgspec.json.encode(error))["message"] == error.message
    return error.field, error.message, error.value


def test_it_reads_parts_as_they_come() -> None:
    assert read(b'{"parts":[{"pri', b'ce":2}],"from":"u"}') == Whole([Part(2.0)], "u")


@pytest.mark.parametrize(
    ("raw", "field", "told", "value"),
    [
        (b'{"parts":[{},{"price":-1}]}', "parts[1].price", "expected `float` >= 0", "-1"),
        (b'{"parts":[{"price":"1"}]}', "parts[0].price", "expected `float`, got `str`", "1"),
        (b'{"parts":[{"prize":1}]}', "parts[0].prize", "unknown field", None),
        (b'{"parts":[],"from":""}', "from", "length >= 1", ""),
        (b"{}", "parts", "missing", None),
        (b"[]", "", "expected `object`, got `array`", None),
        (b"", "", "not JSON", None),
        (b'{"parts":[]', "", "not JSON", None),
        (b'{"parts":[{"price":NaN}]}', "", "NaN is no value of JSON", None),
        (b'{"parts":[{"price":1e999}]}', "parts[0].price", "number out of range", None),
        (b'{"parts":[],"from":"\xff"}', "", "not UTF-8", None),
        (b'{"parts":[],"from":"\\ud800"}', "", "not valid Unicode", None),
        (b'{"parts":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "", "nested too deeply", None),
        (b'{"parts":[],"free":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "", "nested too deeply", None),
        (b'{"parts":[],"from":' + b"9" * 5000 + b"}", "", "not JSON", None),
    ],
)
def test_what_is_wrong_is_named(raw: bytes, field: str, told: str, value: str | None) -> None:
    found = fault(raw)
    assert found[0] == field
    assert told in found[1]
    if value is not None:
        assert found[2] == value


def test_of_two_equal_names_the_last_counts() -> None:
    assert BODY.decode(b'{"parts":[{"price":1,"price":2}]}').parts == [Part(2.0)]


def test_what_is_odd_is_left_to_a_tolerant_call() -> None:
    assert TOLERANT.decode(b'{"parts":[],"free":["\\ud800",1e999]}').free == ["\ud800", float("inf")]
    assert fault(b'{"parts":[],"free":["\\ud800"],"\\udfff":1}', TOLERANT)[0] == ""
    assert "NaN" in fault(b'{"parts":[],"free":[NaN]}', TOLERANT)[1]


@pytest.mark.parametrize(
    "headers", [(TYPE, (b"content-length", b"1001")), (TYPE,)], ids=["told before it is read", "found while reading"]
)
def test_too_large(headers: tuple[tuple[bytes, bytes], ...]) -> None:
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
def test_another_type(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(HTTPException) as caught:
        read(b'{"parts":[]}', headers=headers)
    assert caught.value.status_code == 415


@pytest.mark.parametrize(
    "value", [b"Application/JSON", b"application/json; charset=UTF-8", b'application/json;charset="utf-8"']
)
def test_the_same_type_in_other_words(value: bytes) -> None:
    assert read(b'{"parts":[]}', headers=((b"content-type", value),)).parts == []


def test_ids_are_counted_in_bytes_and_looked_through() -> None:
    errors = wrong_ids([("a", "茶" * 85), ("b", "茶" * 86), ("c", None), ("d", "x\n"), ("e", "x\x85")])
    assert [error.field for error in errors] == ["b", "d", "e"]
