"""Bodies of requests, declared as a struct: one declaration reads, validates and documents them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Generic, NoReturn, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import Receive

from serving.http.byte_budget import SMALL_BYTES, HeldBytes
from serving.http.validation import converts, decodes, find_faults, has_valid_ids, id_fields
from serving.problems import FieldError, InvalidRequestError, shown

JSON: Final = "application/json"
MAX_LENGTH_DIGITS: Final = 18

RATE_S: Final = 5.0
RATE_BYTES: Final = 65_536
"""Of a body that holds more than `SMALL_BYTES`, so many bytes must arrive within each `RATE_S`."""

_CHARSET: Final = re.compile(r'charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)

Headers = Iterable[tuple[bytes, bytes]]
B = TypeVar("B", bound=msgspec.Struct)


@dataclass(frozen=True)
class Body(Generic[B]):
    """The body of a call.

    If an object contains a name twice, the last value counts, as in other JSON parsers.

    Attributes:
        struct: the declaration; it forbids unknown fields.
        media_type: the media type that is read.
        alternatives: further media types, in which the call reads a single body.
        tolerant: whether values that JSON's grammar allows and UTF-8 or a double does not (a lone surrogate, `1e999`)
            are left to the call, which validates one part at a time; else they make the whole body invalid.
        parts: structs that the schema of the body refers to by name.
        schema: the JSON schema of the body, if it is not that of the struct.
        required: whether a call without a body is refused.
        usual: a struct that usual bodies fit and the call takes as well; it is tried first, as it decodes more at once.
    """

    struct: type[B]
    media_type: str = JSON
    alternatives: tuple[str, ...] = ()
    tolerant: bool = False
    parts: tuple[type, ...] = ()
    schema: Mapping[str, Any] | None = None
    required: bool = True
    usual: type[B] | None = None

    @cached_property
    def _usual_decoder(self) -> msgspec.json.Decoder[B] | None:
        return None if self.usual is None else msgspec.json.Decoder(self.usual)

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[B]:
        return msgspec.json.Decoder(self.struct)

    @cached_property
    def _ids(self) -> tuple[str, ...]:
        return id_fields(self.struct)

    async def read(
        self, headers: Headers, receive: Receive, max_bytes: int, seconds: float, held: HeldBytes | None = None
    ) -> B:
        """Read the body of one request.

        Args:
            headers: of the request, names in lower case.
            receive: of the request.
            max_bytes: the largest body that is read.
            seconds: how long the whole body may take to arrive.
            held: counts the bytes that are held for the request; None if nothing bounds them.

        Raises:
            CapacityError: the server holds too much for others.
            HTTPException: 408 for a body that takes longer; 413 for a larger one, before more of it is read; 415 for
                another media type or a compressed body.
            InvalidRequestError: names each field that is wrong.
        """
        return self.decode(await received(headers, receive, self.media_type, max_bytes, seconds, held))

    def decode(self, raw: bytes) -> B:
        """Decode and validate a body.

        Raises:
            InvalidRequestError: names each field that is wrong.
        """
        if self._usual_decoder is not None:
            with suppress(ValueError, RecursionError):
                return self._usual_decoder.decode(raw)
        try:
            fields = self._decoder.decode(raw)
        except ValueError:
            return self._second_look(raw)
        except RecursionError:
            raise _invalid("the body is nested too deeply: expected a few levels") from None
        return fields if has_valid_ids(fields, self._ids) else self._second_look(raw)

    def _second_look(self, raw: bytes) -> B:
        """Find out what is wrong, and return the body if nothing is by the rules of a tolerant call."""
        try:
            plain = parsed(raw)
            faults = find_faults(plain, self.struct, accepts=converts if self.tolerant else decodes)
        except RecursionError:
            raise _invalid("the body is nested too deeply: expected a few levels") from None
        if faults:
            raise InvalidRequestError(faults)
        return msgspec.convert(plain, self.struct)


async def received(
    headers: Headers, receive: Receive, media_type: str, max_bytes: int, seconds: float, held: HeldBytes | None = None
) -> bytes:
    """Receive the body of one request.

    Raises:
        CapacityError: the server holds too much for others.
        HTTPException: 408, 413 or 415, as for every body.
    """
    held = HeldBytes() if held is None else held
    held.require(check_headers(headers, media_type, max_bytes))
    try:
        async with asyncio.timeout(seconds):
            return await _received(receive, max_bytes, held)
    except TimeoutError:
        detail = (
            f"the body was incomplete after {seconds:g} s, or less than {RATE_BYTES >> 10} KiB of it arrived within"
            f" {RATE_S:g} s: send it faster, or in several calls"
        )
        raise HTTPException(408, detail, {"Connection": "close"}) from None


def check_headers(headers: Headers, media_type: str, max_bytes: int) -> int:
    """Refuse a body by its headers, before any of it is read.

    Returns:
        The declared length in bytes, 0 if there is none.

    Raises:
        HTTPException: 413 for a body that is too large; 415 for another media type, charset or coding.
    """
    named = {name: value.decode("latin-1") for name, value in headers if name.startswith(b"content-")}
    found = named.get(b"content-type", "")
    if found != media_type:
        essence, _, rest = found.partition(";")
        charset = _CHARSET.search(rest)
        if essence.strip().lower() != media_type or (charset and charset[1].lower() not in ("utf-8", "utf8")):
            raise HTTPException(415, f"the body's Content-Type is {shown(found)!r}: expected {media_type}, in UTF-8")
    coding = named.get(b"content-encoding", "identity")
    if coding.lower() != "identity":
        raise HTTPException(415, f"the body's Content-Encoding is {shown(coding)!r}: send it uncompressed")
    length = named.get(b"content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise HTTPException(400, f"the Content-Length is {shown(length)!r}: expected a number of bytes")
    if len(length.lstrip("0")) > MAX_LENGTH_DIGITS or int(length) > max_bytes:
        _refuse_size(max_bytes)
    return int(length)


async def _received(receive: Receive, max_bytes: int, held: HeldBytes) -> bytes:
    """Return a body; one that holds much must go on arriving, so slow callers cannot fill the room of the others."""
    parts: list[bytes] = []
    n_left, n_until, deadline = max_bytes, max_bytes - SMALL_BYTES, None
    while True:
        if n_left <= n_until:
            deadline, n_until = asyncio.get_running_loop().time() + RATE_S, n_left - RATE_BYTES
        async with asyncio.timeout_at(deadline):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the body ended early: the connection was closed")
        held.require()
        parts.append(message.get("body", b""))
        n_left -= len(parts[-1])
        if n_left < 0:
            _refuse_size(max_bytes)
        if not message.get("more_body", False):
            return b"".join(parts)


def parsed(raw: bytes) -> Any:
    """Parse JSON of any shape; numbers and texts may be those that only a tolerant call allows."""
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise _invalid(f"the body is not UTF-8 (byte {error.start}): expected JSON in UTF-8") from None
    except ValueError as error:
        raise _invalid(f"the body is not JSON: {error}") from None


def _refuse_size(max_bytes: int) -> NoReturn:
    raise HTTPException(413, f"the body is larger than {max_bytes} bytes: send it in several calls")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _invalid(message: str) -> InvalidRequestError:
    return InvalidRequestError([FieldError("", message)])
