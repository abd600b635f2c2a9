"""Serialization of frozen dataclasses as named arrays, tables and JSON values, without pickle."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.core.errors import BundleError
from recsys.models.compact_rows import CompactRows
from recsys.models.packed_lists import PackedLists
from recsys.models.pairs.related_items import RelatedItems

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class SerializedModel:
    """Parts of a dataclass.

    Attributes:
        arrays: arrays by dotted name.
        tables: tables by dotted name.
        values: all other values, as JSON values.
    """

    arrays: dict[str, npt.NDArray[Any]]
    tables: dict[str, pl.DataFrame]
    values: dict[str, Any]


def flatten(value: Any, skip: tuple[str, ...] = ()) -> SerializedModel:
    """Split a frozen dataclass, nested to any depth, into arrays, tables and plain values.

    An array that has several places is stored once; its other places have its name as their value.

    Args:
        value: its fields may be arrays, CSR matrices, polars frames, lists of related items, tuples of strings or
            numbers, numbers, strings, None, and dataclasses of these.
        skip: fields of the outermost dataclass that the caller stores itself.
    """
    parts = SerializedModel({}, {}, {})
    for field in dataclasses.fields(value):
        if field.name not in skip:
            _dump(getattr(value, field.name), field.name, parts)
    first: dict[int, str] = {}
    for name, array in tuple(parts.arrays.items()):
        if first.setdefault(id(array), name) != name:
            parts.values[name] = first[id(array)]
            del parts.arrays[name]
    return parts


def unflatten(cls: type[T], parts: SerializedModel, **extra: Any) -> T:
    """Build a dataclass from its parts; the inverse of `flatten`.

    Args:
        cls: the dataclass.
        parts: from `flatten`; arrays may be mapped from files.
        **extra: the fields that were skipped.

    Raises:
        BundleError: a part is missing or has another type.
    """
    hints = typing.get_type_hints(cls)
    fields = {
        field.name: _load(hints[field.name], field.name, parts)
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.name not in extra
    }
    return cls(**fields, **extra)


def _dump(value: Any, name: str, parts: SerializedModel) -> None:
    if isinstance(value, np.ndarray):
        parts.arrays[name] = value
    elif sparse.issparse(value):
        for part in ("data", "indices", "indptr"):
            parts.arrays[f"{name}.{part}"] = getattr(value, part)
        parts.values[name] = list(value.shape)
    elif isinstance(value, pl.DataFrame):
        parts.tables[name] = value
    elif isinstance(value, RelatedItems):
        _dump(value.lists, name, parts)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            _dump(getattr(value, field.name), f"{name}.{field.name}", parts)
    elif isinstance(value, tuple) and value and isinstance(value[0], str):
        encoded = [text.encode() for text in value]
        parts.arrays[f"{name}.utf8"] = np.frombuffer(b"".join(encoded), np.uint8)
        parts.arrays[f"{name}.ends"] = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    else:
        parts.values[name] = list(value) if isinstance(value, tuple) else value


def _load(hint: Any, name: str, parts: SerializedModel) -> Any:
    origin = typing.get_origin(hint)
    try:
        if origin is np.ndarray:
            if f"{name}.code" in parts.arrays:
                return _load(CompactRows, name, parts)
            return parts.arrays[parts.values.get(name, name)]
        if hint is sparse.csr_matrix:
            return _load_csr(name, parts)
        if hint is pl.DataFrame:
            return parts.tables[name]
        if hint is RelatedItems:
            return RelatedItems.of(_load(PackedLists, name, parts))
        if dataclasses.is_dataclass(hint):
            hints = typing.get_type_hints(hint)
            build: Any = hint
            return build(
                **{
                    field.name: _load(hints[field.name], f"{name}.{field.name}", parts)
                    for field in dataclasses.fields(hint)
                }
            )
        if origin is tuple and f"{name}.utf8" in parts.arrays:
            return _load_strings(parts.arrays, name)
        value = parts.values[name]
    except KeyError as error:
        raise BundleError(f"{name} is missing from the bundle: train again") from error
    return _checked(hint, value, name)


def _load_csr(name: str, parts: SerializedModel) -> sparse.csr_matrix:
    arrays = tuple(parts.arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix(arrays, shape=tuple(parts.values[name]), copy=False)


def _load_strings(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> tuple[str, ...]:
    utf8, ends = arrays[f"{name}.utf8"].tobytes(), arrays[f"{name}.ends"].tolist()
    return tuple(utf8[start:end].decode() for start, end in zip([0, *ends], ends, strict=False))


def _checked(hint: Any, value: Any, name: str) -> Any:
    if typing.get_origin(hint) is tuple:
        return tuple(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if typing.get_origin(hint) is typing.Literal:
        is_valid = value in typing.get_args(hint)
    else:
        is_valid = isinstance(value, typing.get_args(hint) if isinstance(hint, types.UnionType) else hint)
    if not is_valid:
        raise BundleError(f"{name} is {value!r} in the bundle, expected {hint}: train again")
    return value
