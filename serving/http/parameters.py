"""Parameters of a call, declared as a struct: one declaration reads them, refuses them and documents them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Meta

from recsys.core.request import MAX_LIMIT
from recsys.core.schema import MAX_ID_BYTES
from recsys.filters.lexer import MAX_CHARACTERS
from recsys.pipeline.pagination import MAX_TOKEN_CHARS
from serving.http.body import CONTROL
from serving.problems import MAX_ECHO, FieldError, InvalidRequestError

MAX_FAULTS = 20
"""Unknown and repeated parameters that are told of; more would only make a long answer to a bad call."""

Id = Annotated[
    str,
    Meta(
        min_length=1,
        extra={"expected": f"1 to {MAX_ID_BYTES} bytes of UTF-8 with no control characters", "is_id": True},
        extra_json_schema={"maxLength": MAX_ID_BYTES, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"},
    ),
]
Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, extra={"expected": f"an integer from 1 to {MAX_LIMIT}"})]
Timestamp = Annotated[
    datetime,
    Meta(tz=True, extra={"expected": "an RFC 3339 time with its offset, such as 2024-05-01T08:00:00+08:00"}),
]
Name = Annotated[str, Meta(min_length=1, extra={"expected": "a name"})]
Place = Annotated[str, Meta(min_length=1, max_length=256, extra={"expected": "a name of 1 to 256 characters"})]
Condition = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_CHARACTERS, extra={"expected": f"a filter of 1 to {MAX_CHARACTERS} characters"}),
]
PageToken = Annotated[str, Meta(min_length=1, max_length=MAX_TOKEN_CHARS, extra={"expected": "a `next_page_token`"})]
Flag = Annotated[bool, Meta(extra={"expected": "true or false"})]

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}\Z")


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every call's parameters, those of the path first, in the path's order."""


def context_of(**named: str | None) -> dict[str, str]:
    """The context of a call that says where it comes from by parameters."""
    return {name: value for name, value in named.items() if value is not None}


class Nothing(Parameters, frozen=True):
    """A call without parameters."""


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, slots=True)
class Field:
    """How one parameter is read.

    Attributes:
        name: as callers write it.
        hint: its annotated type.
        kind: its type, without annotation and `None`.
        expected: what it should be, for people.
        is_id: whether it is one of the shop's ids.
        required: whether a call must give it.
    """

    name: str
    hint: Any
    kind: type
    expected: str
    is_id: bool
    required: bool

    def read(self, raw: bytes) -> str | int:
        """The value that `raw` spells, percent-decoded.

        Raises:
            ValueError: saying what is wrong with it.
        """
        if b"%" in raw:
            raw = unquote_to_bytes(raw)
        if self.is_id and len(raw) > MAX_ID_BYTES:
            raise ValueError(f"{self.name} has {len(raw)} bytes: expected {self.expected}")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise ValueError(f"{self.name} is not UTF-8 once percent-decoded: expected {self.expected}") from None
        if self.is_id and CONTROL.search(text):
            raise ValueError(f"{self.name} holds control characters: expected {self.expected}")
        if self.kind is int and _INTEGER.match(text):
            return int(text)
        if self.kind is bool and text in ("true", "false"):
            return text == "true"
        if self.kind is datetime and text[-6:-5] == " ":
            return f"{text[:-6]}+{text[-5:]}"
        return text

    def fault(self, value: str | int | None) -> FieldError | None:
        """What is wrong with a value that was read, or with its absence, if anything."""
        if value is None:
            message = f"{self.name} is missing: give {self.expected}"
            return FieldError(self.name, message) if self.required else None
        try:
            msgspec.convert(value, self.hint)
        except msgspec.ValidationError:
            shown = str(value)[:MAX_ECHO]
            return FieldError(self.name, f"{self.name} is {shown!r}: expected {self.expected}", shown)
        return None


class ParameterReader(Generic[P]):
    """Reads the parameters of one call from its URL.

    Args:
        struct: the declaration.
        path_names: the parameters that come in the path, in its order.
    """

    def __init__(self, struct: type[P], path_names: Sequence[str]) -> None:
        self._struct = struct
        self._fields = {field.name: field for field in fields_of(struct)}
        self._path = tuple(path_names)
        self._query = {name.encode(): name for name in self._fields if name not in path_names}

    def read(self, segments: Sequence[bytes], query: bytes) -> P:
        """The parameters of one call.

        Args:
            segments: the path's parameters, percent-encoded.
            query: what follows the `?`, without it.

        Raises:
            InvalidRequestError: naming each parameter that is unknown, twice there, missing or wrong.
        """
        given = dict(zip(self._path, segments, strict=True))
        faults = self._sort(query, given) if query else []
        values: dict[str, str | int] = {}
        for name, raw in given.items():
            try:
                values[name] = self._fields[name].read(raw)
            except ValueError as error:
                faults.append(FieldError(name, str(error), _shown(raw)))
        if not faults:
            with suppress(msgspec.ValidationError):
                return msgspec.convert(values, self._struct)
        raise InvalidRequestError(faults + self._faults(values, {fault.field for fault in faults}))

    def _sort(self, query: bytes, given: dict[str, bytes]) -> list[FieldError]:
        """Add the query's parameters to `given`; returns what is wrong with their names."""
        faults: list[FieldError] = []
        for pair in filter(None, query.split(b"&")):
            coded, _, raw = pair.replace(b"+", b" ").partition(b"=")
            name = self._query.get(coded) or self._query.get(unquote_to_bytes(coded))
            if name is not None and name not in given:
                given[name] = raw
            elif len(faults) < MAX_FAULTS:
                faults.append(self._misnamed(name, coded, raw))
        return faults

    def _misnamed(self, name: str | None, coded: bytes, raw: bytes) -> FieldError:
        if name is not None:
            return FieldError(name, f"{name} is there twice: give it once", _shown(raw))
        known, shown = ", ".join(self._query.values()) or "none", _shown(coded)
        return FieldError(shown, f"unknown parameter {shown!r}: this call takes {known}", _shown(raw))

    def _faults(self, values: dict[str, str | int], told: set[str]) -> list[FieldError]:
        """What is wrong with values that can be read, or missing, and is not told of yet."""
        found = ((name, field.fault(values.get(name))) for name, field in self._fields.items())
        return [fault for name, fault in found if fault is not None and name not in told]


def fields_of(struct: type[Parameters]) -> list[Field]:
    """How each parameter of a declaration is read, in its order."""
    return [_field(field) for field in msgspec.structs.fields(struct)]


def _field(field: msgspec.structs.FieldInfo) -> Field:
    hint = field.type
    annotated = hint if hasattr(hint, "__metadata__") else next(o for o in hint.__args__ if o is not type(None))
    extra = annotated.__metadata__[0].extra
    kind, is_id = annotated.__origin__, extra.get("is_id", False)
    return Field(field.encode_name, hint, kind, extra["expected"], is_id, field.required)


def _shown(raw: bytes) -> str:
    return unquote_to_bytes(raw).decode(errors="replace")[:MAX_ECHO]
