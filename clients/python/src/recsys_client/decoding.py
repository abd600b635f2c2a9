"""JSON as instances of the dataclasses of `recsys_client.models`."""

from __future__ import annotations

from dataclasses import is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decode(type_: type[T], value: Any) -> T:
    """Return decoded JSON as a type; fields that the type does not have are left out, as newer servers send more.

    Raises:
        ValueError: a field is missing, or a part has another type.
    """
    found: T = _decode(type_, value, type_.__name__)
    return found


def _decode(type_: Any, value: Any, path: str) -> Any:
    origin = get_origin(type_)
    if origin in (Union, UnionType):
        return _union(type_, value, path)
    if is_dataclass(type_) and isinstance(type_, type):
        return _instance(type_, value, path)
    if type_ is datetime:
        return datetime.fromisoformat(_checked(value, str, path))
    if origin is list:
        (inner,) = get_args(type_)
        return [_decode(inner, each, f"{path}[{n}]") for n, each in enumerate(_checked(value, list, path))]
    if origin is dict:
        _, inner = get_args(type_)
        return {name: _decode(inner, each, f"{path}.{name}") for name, each in _checked(value, dict, path).items()}
    if type_ is float:
        return float(_checked(value, (int, float), path))
    return _checked(value, type_, path) if type_ in (str, int, bool) else value


def _union(type_: Any, value: Any, path: str) -> Any:
    options = get_args(type_)
    if value is None and NoneType in options:
        return None
    faults = []
    for option in options:
        if option is not NoneType:
            try:
                return _decode(option, value, path)
            except ValueError as error:
                faults.append(str(error))
    raise ValueError("; ".join(faults))


def _instance(type_: type, value: Any, path: str) -> Any:
    given = _checked(value, dict, path)
    known = {name: hint for name, hint in _hints(type_).items() if name in given}
    try:
        return type_(**{name: _decode(hint, given[name], f"{path}.{name}") for name, hint in known.items()})
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None


@cache
def _hints(type_: type) -> dict[str, Any]:
    return get_type_hints(type_)


def _checked(value: Any, type_: Any, path: str) -> Any:
    if isinstance(value, type_) and not (isinstance(value, bool) and type_ is not bool):
        return value
    raise ValueError(f"{path} is {value!r:.60}: expected {getattr(type_, '__name__', type_)}")
