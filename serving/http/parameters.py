"""Parameters of a call, declared as a struct: one declaration reads, validates and documents them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import Annotated, Any, Final, Generic, TypeVar, get_args, get_origin
from urllib.parse import unquote_to_bytes

import msgspec

from serving.http.fields import OpenQuery, Parameters
from serving.http.validation import MAX_FAULTS, find_faults, has_valid_ids, id_fields, missing
from serving.problems import MAX_ECHO, FieldError, InvalidRequestError

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}\Z")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?\Z")
_BOOLEANS: Final = {"true": True, "false": False}
_N_REMEMBERED: Final = 4096
_MAX_REMEMBERED: Final = 200
"""Bytes of the longest parameters that are remembered, so that memory is bounded by few megabytes."""

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, slots=True)
class Parameter:
    """How one parameter is read.

    Attributes:
        name: as callers write it.
        hint: its annotated type, without `None`: a parameter may be left out, but is never null.
        plain: its type, without annotation.
        required: whether a call must give it.
    """

    name: str
    hint: Any
    plain: type
    required: bool

    @classmethod
    def of(cls, field: msgspec.structs.FieldInfo) -> Parameter:
        """Return how a field of a declaration is read."""
        hint = field.type
        if get_origin(hint) is not Annotated and NoneType in get_args(hint):
            (hint,) = (option for option in get_args(hint) if option is not NoneType)
        plain = hint.__origin__ if get_origin(hint) is Annotated else hint
        return cls(field.encode_name, hint, plain, field.required)

    def read(self, raw: bytes) -> str | float:
        """Return the value of a percent-encoded text; one that is no number or boolean stays text.

        Raises:
            UnicodeDecodeError: it is not UTF-8.
        """
        text = (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
        if self.plain is str:
            return text
        if self.plain is int and _INTEGER.match(text):
            return int(text)
        if self.plain is float and _NUMBER.match(text):
            return float(text)
        if self.plain is bool:
            return _BOOLEANS.get(text, text)
        if self.plain is datetime and text[-6:-5] == " ":
            return f"{text[:-6]}+{text[-5:]}"
        return text

    def faults(self, value: str | float | None) -> list[FieldError]:
        """Return what is wrong with a value that was read, or with its absence."""
        if value is not None:
            return find_faults(value, self.hint, self.name)
        return [missing(self.name, self.hint)] if self.required else []


class ParameterReader(Generic[P]):
    """Reads the parameters of one call from its URL.

    Args:
        struct: the declaration.
        path_names: the parameters in the path, in its order.
        remembers: whether the same short parameters are read once only: for calls that are often repeated.
    """

    def __init__(self, struct: type[P], path_names: Sequence[str], *, remembers: bool = False) -> None:
        self._struct = struct
        self._ids = id_fields(struct)
        self._parameters = {each.name: each for each in map(Parameter.of, msgspec.structs.fields(struct))}
        self._path = tuple(path_names)
        self._query = {name.encode(): name for name in self._parameters if name not in path_names}
        self._remembered = lru_cache(_N_REMEMBERED)(self._read) if remembers else self._read

    def read(self, segments: tuple[bytes, ...], query: bytes) -> P:
        """Read the parameters of one call.

        Args:
            segments: the path's parameters, percent-encoded.
            query: the part of the URL after `?`.

        Raises:
            InvalidRequestError: names each parameter that is unknown, repeated, missing or wrong.
        """
        if len(query) + sum(map(len, segments)) <= _MAX_REMEMBERED:
            return self._remembered(segments, query)
        return self._read(segments, query)

    def _read(self, segments: tuple[bytes, ...], query: bytes) -> P:
        encoded = dict(zip(self._path, segments, strict=True))
        faults = self._split(query, encoded) if query else []
        values: dict[str, str | float] = {}
        for name, raw in encoded.items():
            try:
                values[name] = self._parameters[name].read(raw)
            except UnicodeDecodeError:
                message = f"{name} is not UTF-8 once percent-decoded: send percent-encoded UTF-8"
                faults.append(FieldError(name, message, _decoded(raw)))
        if not faults:
            with suppress(msgspec.ValidationError):
                call = msgspec.convert(values, self._struct)
                if has_valid_ids(call, self._ids):
                    return call
        named = {fault.field for fault in faults}
        for name, parameter in self._parameters.items():
            if name not in named:
                faults += parameter.faults(values.get(name))
        raise InvalidRequestError(faults)

    def _split(self, query: bytes, encoded: dict[str, bytes]) -> list[FieldError]:
        """Add the query's parameters to `encoded`; return the faults of their names."""
        faults: list[FieldError] = []
        for pair in filter(None, query.split(b"&")):
            coded, _, raw = pair.replace(b"+", b" ").partition(b"=")
            name = self._query.get(coded) or self._query.get(unquote_to_bytes(coded))
            if name is not None and name not in encoded:
                encoded[name] = raw
            elif len(faults) < MAX_FAULTS:
                faults.append(self._misnamed(name, coded, raw))
        return faults

    def _misnamed(self, name: str | None, coded: bytes, raw: bytes) -> FieldError:
        if name is not None:
            return FieldError(name, f"{name} is given twice: give it once", _decoded(raw))
        known, found = ", ".join(self._query.values()) or "none", _decoded(coded)
        return FieldError(found, f"unknown parameter {found!r}: this call takes {known}", _decoded(raw))


class OpenQueryReader(ParameterReader[OpenQuery]):
    """Reads a query whose names are those of another vendor."""

    def read(self, segments: tuple[bytes, ...], query: bytes) -> OpenQuery:
        """Return the query as it is; what it means is decided by the call."""
        return OpenQuery(query.decode("latin-1"))


def _decoded(raw: bytes) -> str:
    return unquote_to_bytes(raw).decode(errors="replace")[:MAX_ECHO]
