"""Validation errors of decoded JSON: the innermost parts that do not fit their declared type, with paths and values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, UnsetType, inspect

from recsys.core.schema import MAX_ID_BYTES
from serving.http.fields import is_id, is_id_field
from serving.problems import FieldError, shown

MAX_FAULTS: Final = 20
"""Errors of one response; more would only make a long response to a bad call."""

Accepts = Callable[[Any, Any], bool]


def decodes(value: Any, hint: Any) -> bool:
    """Return whether a value, written as JSON, can be decoded as a type."""
    try:
        msgspec.json.decode(json.dumps(value), type=hint)
    except ValueError:
        return False
    return True


def converts(value: Any, hint: Any) -> bool:
    """Return whether a value can be converted to a type; lone surrogates and infinite numbers are allowed."""
    try:
        msgspec.convert(value, hint)
    except ValueError:
        return False
    return True


def find_faults(value: Any, hint: Any, path: str = "", accepts: Accepts = decodes) -> list[FieldError]:
    """Return the innermost parts of a value that do not fit a type, at most `MAX_FAULTS`.

    Args:
        value: decoded JSON.
        hint: the declared type, with its constraints.
        path: where the value is, as in `events[3].price`; empty for a whole body.
        accepts: decides about values that contain no declared parts.

    Returns:
        An empty list if, and only if, `accepts` allows the whole value and every id in it is one.

    Raises:
        RecursionError: the value is nested too deeply.
    """
    return list(islice(_walk(value, hint, path, accepts), MAX_FAULTS))


def id_fields(struct: type[Struct]) -> tuple[str, ...]:
    """Return the attributes of a struct that contain an id, or a list of ids; `a.b` is one of the structs in `a`."""
    found: list[str] = []
    for field in msgspec.structs.fields(struct):
        if _contains_id(field.type):
            found.append(field.name)
        found += [f"{field.name}.{name}" for inner in _structs_in(field.type) for name in id_fields(inner)]
    return tuple(found)


def has_valid_ids(fields: Struct, names: Iterable[str]) -> bool:
    """Return whether the ids of a decoded struct pass the checks that msgspec does not make.

    Args:
        fields: the struct.
        names: its `id_fields`.
    """
    for name in names:
        head, _, inner = name.partition(".")
        value = getattr(fields, head)
        if inner:
            structs = value if isinstance(value, list) else [value]
            if not all(has_valid_ids(each, (inner,)) for each in structs if each is not None):
                return False
        elif isinstance(value, str):
            if not (value.isascii() and value.isprintable()) and not is_id(value):  # msgspec has checked the length
                return False
        elif isinstance(value, list) and not all(map(is_id, value)):
            return False
    return True


def describe(type_: inspect.Type) -> str:
    """Return what a value of a type has to be, in words.

    >>> describe(inspect.type_info(Annotated[int, Meta(ge=1, le=100)] | None))
    'an integer from 1 to 100 or null'
    """
    match type_:
        case inspect.Metadata(type=inner, extra=extra):
            return str(extra["expected"]) if extra and "expected" in extra else describe(inner)
        case inspect.UnionType(types=types):
            words = list(dict.fromkeys(map(describe, types)))
            return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
        case inspect.NoneType():
            return "null"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "an integer" + _bounds(type_)
        case inspect.FloatType():
            return "a number" + _bounds(type_)
        case inspect.StrType():
            return "text" + _size(type_.min_length, type_.max_length, "characters")
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(map(str, values))
        case inspect.ListType() | inspect.VarTupleType():
            return "an array" + _size(type_.min_length, type_.max_length, "entries")
        case inspect.DictType():
            return "an object" + _size(type_.min_length, type_.max_length, "entries")
        case inspect.AnyType():
            return "JSON of valid Unicode and finite numbers"
        case _:
            return "an object"


def _walk(value: Any, hint: Any, path: str, accepts: Accepts) -> Iterator[FieldError]:
    container, meta = _container(value, hint)
    if container is None:
        if not accepts(value, hint) or (_is_id(hint) and isinstance(value, str) and not is_id(value)):
            yield _fault(path, value, hint)
        return
    if meta is not None and not (meta.min_length or 0) <= len(value) <= (meta.max_length or math.inf):
        yield _fault(path, value, hint)  # its entries are not checked: there may be very many
        return
    found = False
    for fault in _parts(value, container, path, accepts):
        found = True
        yield fault
    if not found and not accepts(value, hint):
        yield _fault(path, value, hint)


def _parts(value: Any, container: Any, path: str, accepts: Accepts) -> Iterator[FieldError]:
    """Yield the faults of the parts of an object or an array."""
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _walk(entry, get_args(container)[0], f"{path}[{index}]", accepts)
    elif get_origin(container) is dict:
        key, entry_hint = get_args(container)
        for name, entry in value.items():
            if not accepts(name, key):
                words = describe(inspect.type_info(key))
                yield FieldError(_join(path, name), f"{_join(path, name)}: expected a name that is {words}")
            yield from _walk(entry, entry_hint, _join(path, name), accepts)
    else:
        yield from _fields(value, container, path, accepts)


def _fields(value: dict[str, Any], struct: type[Struct], path: str, accepts: Accepts) -> Iterator[FieldError]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    if struct.__struct_config__.forbid_unknown_fields:
        known = ", ".join(fields)
        for name in value:
            if name not in fields:
                yield FieldError(_join(path, name), f"unknown field {shown(name)!r}: expected one of {known}")
    for name, field in fields.items():
        if name in value:
            yield from _walk(value[name], field.type, _join(path, name), accepts)
        elif field.required:
            yield missing(_join(path, name), field.type)


def missing(path: str, hint: Any) -> FieldError:
    """Return the error of a required value that is not given."""
    return FieldError(path, f"{path} is missing: expected {describe(inspect.type_info(hint))}")


def _fault(path: str, value: Any, hint: Any) -> FieldError:
    text = shown(value if isinstance(value, str) else json.dumps(value))
    expected = describe(inspect.type_info(hint))
    return FieldError(path, f"{path or 'the body'} {_found(value, text)}: expected {expected}", text)


def _found(value: Any, text: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "is out of range"
    if not isinstance(value, str):
        return f"is {text}"
    try:
        n_bytes = len(value.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode, such as half of a surrogate pair"
    return f"has {n_bytes} bytes" if n_bytes > MAX_ID_BYTES else f"is {text!r}"


def _options(hint: Any, meta: Meta | None = None) -> Iterator[tuple[Any, Meta | None]]:
    """Yield the members of a union, each with its constraints."""
    if get_origin(hint) is Annotated:
        inner, *found = get_args(hint)
        yield from _options(inner, next((each for each in found if isinstance(each, Meta)), meta))
    elif get_origin(hint) in (Union, UnionType):
        for each in get_args(hint):
            yield from _options(each, meta)
    elif hint not in (NoneType, UnsetType):
        yield hint, meta


def _container(value: Any, hint: Any) -> tuple[Any, Meta | None]:
    """Return the one declared type whose parts a value can be compared with, else None."""
    if not isinstance(value, (dict, list)):
        return None, None
    fitting = [(option, meta) for option, meta in _options(hint) if _matches(option, value)]
    return fitting[0] if len(fitting) == 1 else (None, None)


def _matches(option: Any, value: dict[str, Any] | list[Any]) -> bool:
    if isinstance(value, list):
        return get_origin(option) is list
    return get_origin(option) is dict or (isinstance(option, type) and issubclass(option, Struct))


def _is_id(hint: Any) -> bool:
    return any(is_id_field(meta) for _, meta in _options(hint))


def _structs_in(hint: Any) -> list[type[Struct]]:
    """Return the structs that a type is, or is a list of."""
    options = [option for option, _ in _options(hint)]
    options += [get_args(option)[0] for option in options if get_origin(option) is list]
    return [option for option in options if isinstance(option, type) and issubclass(option, Struct)]


def _contains_id(hint: Any) -> bool:
    """Return whether a type is an id or a list of ids."""
    return any(
        is_id_field(meta) or (get_origin(option) is list and _is_id(get_args(option)[0]))
        for option, meta in _options(hint)
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{shown(name)}" if path else shown(name)


def _bounds(type_: inspect.IntType | inspect.FloatType) -> str:
    if type_.ge is not None and type_.le is not None:
        return f" from {_plain(type_.ge)} to {_plain(type_.le)}"
    ends = (("above", type_.gt), ("of at least", type_.ge), ("below", type_.lt), ("of at most", type_.le))
    words = [f"{word} {_plain(end)}" for word, end in ends if end is not None]
    return "".join(f" {word}" for word in [" and ".join(words)] if word)


def _plain(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def _size(least: int | None, most: int | None, unit: str) -> str:
    if most is None:
        return "" if least is None else f" of at least {least} {unit}"
    return f" of {least} to {most} {unit}" if least else f" of at most {most} {unit}"
