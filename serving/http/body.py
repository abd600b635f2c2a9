"""Bodies of requests, declared as a struct: one declaration reads them, refuses them and documents them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, NoReturn, TypeVar

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from recsys.core.schema import MAX_ID_BYTES
from serving.problems import FieldError, InvalidRequestError, shown

JSON: Final = "application/json"

BodyId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_BYTES,
        extra_json_schema={
            "description": f"1 to {MAX_ID_BYTES} bytes of UTF-8 with no control characters",
            "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$",
        },
    ),
]
"""One of the shop's ids; `wrong_ids` looks at its bytes and characters."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_PLACE: Final = re.compile(r" - at `(?:key` in `)?\$(.*)`\Z")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`\Z", re.DOTALL)
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")

B = TypeVar("B", bound=msgspec.Struct)


@dataclass(frozen=True)
class Body(Generic[B]):
    """What a call takes as its body.

    Where a name is there twice in one object, the last one counts, as JSON parsers have it.

    Attributes:
        struct: the declaration; it forbids unknown fields.
        media_type: the one media type that is read.
        others: further media types, of which the call reads one body at once.
        tolerant: whether values that JSON's grammar allows and UTF-8 or a double does not (a lone surrogate, `1e999`)
            are left to the call, which judges one part at a time; else they fail the whole body.
    """

    struct: type[B]
    media_type: str = JSON
    others: tuple[str, ...] = ()
    tolerant: bool = False

    async def read(self, scope: Scope, receive: Receive, max_bytes: int) -> B:
        """The body of one request.

        Raises:
            HTTPException: 413 if it is larger than `max_bytes`, told before more is read; 415 if it is of another
                media type or compressed.
            InvalidRequestError: naming the field that is wrong.
        """
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        self._check_type(headers)
        if int(headers.get(b"content-length", "0")) > max_bytes:
            _refuse_size(max_bytes)
        return self.decode(await _received(receive, max_bytes))

    def decode(self, raw: bytes) -> B:
        """The struct that a body spells.

        Raises:
            InvalidRequestError: naming the field that is wrong.
        """
        try:
            return msgspec.json.decode(raw, type=self.struct)
        except RecursionError:
            raise _invalid("", "the body is nested too deeply: expected a few levels") from None
        except (ValueError, UnicodeError) as error:
            return self._second_look(raw, error)

    def _second_look(self, raw: bytes, error: Exception) -> B:
        """Take what is tolerable after all, or say what is wrong, with the value in question."""
        try:
            plain = json.loads(raw.decode(), parse_constant=_refuse_constant)
        except UnicodeDecodeError as fault:
            raise _invalid("", f"the body is not UTF-8 (byte {fault.start}): expected JSON in UTF-8") from None
        except RecursionError:
            raise _invalid("", "the body is nested too deeply: expected a few levels") from None
        except ValueError as fault:
            raise _invalid("", f"the body is not JSON: {fault}") from None
        if self.tolerant:
            try:
                return msgspec.convert(plain, self.struct)
            except (msgspec.ValidationError, UnicodeError) as stricter:
                error = stricter
        raise InvalidRequestError([self._fault(plain, str(error))])

    def _fault(self, plain: Any, told: str) -> FieldError:
        """What msgspec says of one field, as field, message and value."""
        place = _PLACE.search(told)
        path = place[1].removeprefix(".") if place else ""
        sentence = told[: place.start()] if place else told
        if unknown := _UNKNOWN.match(sentence):
            field = f"{path}.{unknown[1]}".removeprefix(".")
            takes = ", ".join(each.encode_name for each in msgspec.structs.fields(self.struct))
            return FieldError(shown(field), f"unknown field {shown(field)!r}: this body takes {takes}")
        if missing := _MISSING.match(sentence):
            field = f"{path}.{missing[1]}".removeprefix(".")
            return FieldError(field, f"{field} is missing")
        if not place and not sentence.startswith("Expected"):
            return FieldError("", "the body holds text that is not valid Unicode, such as half of a surrogate pair")
        value, field = _value_at(plain, path), shown(path)
        expected = sentence[:1].lower() + sentence[1:]
        if value is None:
            return FieldError(field, f"{field or 'the body'}: {expected}")
        return FieldError(field, f"{field or 'the body'} is {value!r}: {expected}", value)

    def _check_type(self, headers: dict[bytes, str]) -> None:
        found = headers.get(b"content-type", "")
        essence, _, rest = found.partition(";")
        charset = re.search(r'charset\s*=\s*"?([^";\s]*)', rest, re.IGNORECASE)
        if essence.strip().lower() != self.media_type or (charset and charset[1].lower() not in ("utf-8", "utf8")):
            raise HTTPException(
                415, f"the body's Content-Type is {shown(found)!r}: expected {self.media_type}, in UTF-8"
            )
        coding = headers.get(b"content-encoding", "identity")
        if coding.lower() != "identity":
            raise HTTPException(415, f"the body's Content-Encoding is {shown(coding)!r}: send it uncompressed")


def wrong_ids(ids: Iterable[tuple[str, object]]) -> list[FieldError]:
    """What is wrong with ids beside their type and length.

    Args:
        ids: fields and values; what is no text is passed over.
    """
    expected = f"expected at most {MAX_ID_BYTES} bytes of UTF-8 with no control characters"
    return [
        FieldError(name, f"{name} is {shown(value)!r}: {expected}", shown(value))
        for name, value in ids
        if isinstance(value, str) and (len(value.encode()) > MAX_ID_BYTES or CONTROL.search(value))
    ]


async def _received(receive: Receive, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    room = max_bytes
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the body ended before it was whole")
        parts.append(message.get("body", b""))
        room -= len(parts[-1])
        if room < 0:
            _refuse_size(max_bytes)
        if not message.get("more_body", False):
            return b"".join(parts)


def _refuse_size(max_bytes: int) -> NoReturn:
    raise HTTPException(413, f"the body is larger than {max_bytes} bytes: send it in several calls")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")


def _invalid(field: str, message: str) -> InvalidRequestError:
    return InvalidRequestError([FieldError(field, message)])


def _value_at(plain: Any, path: str) -> str | None:
    """The value at a path such as `events[3].price`, as JSON cut short; None where the path is not that exact."""
    for name, place in _STEP.findall(path):
        try:
            plain = plain[name] if name else plain[int(place)]
        except (LookupError, TypeError, ValueError):
            return None
    return shown(plain if isinstance(plain, str) else json.dumps(plain))
