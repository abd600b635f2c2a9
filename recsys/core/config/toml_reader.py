"""A strict reader of TOML files into dataclasses: every unknown key and invalid value is refused by name."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from msgspec import NODEFAULT
from msgspec import inspect as types

from recsys.core.config.ranges import (
    ASCENDING,
    SINGLE,
    UNIQUE,
    Number,
    expected_text,
    in_range,
    unwrap,
)
from recsys.core.documents import Place, document_of
from recsys.core.errors import ConfigError, ConfigFault

MAX_FILE_BYTES: Final = 1 << 20
MAX_VALUE_CHARS: Final = 80
INVALID: Final = object()
"""Stands for a value that was refused, until all of the file is read."""

T = TypeVar("T")


class Faults:
    """Collects everything that is wrong with one file, in its order.

    Attributes:
        found: one entry per fault.
    """

    def __init__(self) -> None:
        self.found: list[ConfigFault] = []

    @property
    def messages(self) -> list[str]:
        """One sentence per fault."""
        return [fault.message for fault in self.found]

    def add(self, path: str, message: str) -> None:
        """Record that something is missing or contradicts something else."""
        self.found.append(ConfigFault(path, message))

    def refuse(self, path: str, value: Any, expected: str) -> None:
        """Record a value that is not valid."""
        self._add_value(path, value, f"{path!r} is {_shown(value)}, expected {expected}")

    def unknown_key(self, path: str, value: Any, known: Iterable[str], what: str = "key") -> None:
        """Record a key that does not exist, with the nearest one of the same table."""
        table, _, name = path.rpartition(".")
        message = f"{path!r} ({_shown(value)}) is not a known {what}: {_remedy(name, known, table)}"
        self._add_value(path, value, message)

    def unknown_name(self, path: str, name: Any, known: Iterable[str], what: str) -> None:
        """Record a value that names nothing, with the nearest name."""
        message = f"{path!r} is {_shown(name)}, which is not a known {what}: {_remedy(name, known)}"
        self._add_value(path, name, message)

    def _add_value(self, path: str, value: Any, message: str) -> None:
        self.found.append(ConfigFault(path, message, _shown(value)))

    def check(self) -> None:
        """Raise a ConfigError with all faults, if there are any."""
        if self.found:
            raise ConfigError("; ".join(self.messages), self.found)


def read_toml(place: Place, parse: Callable[[dict[str, Any]], T]) -> T:
    """Read a TOML file and parse the document.

    Args:
        place: of the file, at most `MAX_FILE_BYTES` long.
        parse: builds the result; its ConfigErrors get the name of the file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or `parse` refuses it.
    """
    try:
        raw = document_of(place).read()
    except OSError as error:
        raise ConfigError(f"{place} cannot be read ({error.strerror}): name a TOML file") from None
    return parse_toml(raw, str(place), parse)


def parse_toml(raw: bytes, name: str, parse: Callable[[dict[str, Any]], T]) -> T:
    """Parse the content of a TOML file.

    Args:
        raw: the content, at most `MAX_FILE_BYTES` long.
        name: of the file, for messages.
        parse: builds the result; its ConfigErrors get the name.

    Raises:
        ConfigError: the content is not TOML, or `parse` refuses it.
    """
    try:
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigError(f"{len(raw)} bytes are too many: expected at most {MAX_FILE_BYTES}")
        return parse(tomllib.loads(raw.decode("utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply: expected a few levels") from None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}", error.faults) from None


def read_fields(declared: Sequence[types.Field], table: Mapping[str, Any], path: str, faults: Faults) -> dict[str, Any]:
    """Read the values of a table by the declarations of a dataclass's fields.

    Args:
        declared: names and types, as `fields_of` returns them.
        table: the parsed table.
        path: its key in the file, "" at the top.
        faults: collects what is wrong.

    Returns:
        The valid values by name; names that the table leaves out are left out.
    """
    known = {field.name: field for field in declared}
    found = {}
    for name, value in table.items():
        key = join(path, name)
        if name not in known:
            faults.unknown_key(key, value, known)
        elif (valid := read_value(known[name].type, value, key, faults, known[name].default_factory)) is not INVALID:
            found[name] = valid
    return found


def read_value(kind: types.Type, value: Any, path: str, faults: Faults, default: Any = NODEFAULT) -> Any:
    """Read one value by its declared type.

    Args:
        kind: the declared type.
        value: the parsed value.
        path: its key in the file.
        faults: collects what is wrong.
        default: makes the dataclass whose values apply where a table leaves them out; without it, those of its class.

    Returns:
        The value, or INVALID where `faults` has a message about it.
    """
    inner, extra = unwrap(kind)
    if isinstance(inner, types.DataclassType):
        return _table(inner, value, path, faults, default)
    if isinstance(inner, types.VarTupleType):
        return _list(inner, extra, value, path, faults)
    if isinstance(inner, types.DictType):
        return _mapping(inner, value, path, faults)
    if not (value in inner.values if isinstance(inner, types.LiteralType) else _is_scalar(inner, value)):
        faults.refuse(path, value, expected_text(kind))
        return INVALID
    return float(value) if isinstance(inner, types.FloatType) else value


def fields_of(config_class: type[Any]) -> tuple[types.Field, ...]:
    """Return the fields of a dataclass with their resolved types."""
    kind = types.type_info(config_class)
    assert isinstance(kind, types.DataclassType)
    return kind.fields


def check_config(config: Any, path: str) -> None:
    """Check a dataclass of settings that was built in Python against its declarations.

    Args:
        config: a dataclass; None stands for a setting without a value.
        path: the table that error messages name.

    Raises:
        ConfigError: with everything that is wrong.
    """
    faults = Faults()
    read_fields(fields_of(type(config)), _as_table(config), path, faults)
    faults.check()


def join(path: str, name: str) -> str:
    """Return the key of a name in the table `path`."""
    return f"{path}.{name}" if path else name


def _as_table(config: Any) -> dict[str, Any]:
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return {
        name: _as_table(value) if is_dataclass(value) else value for name, value in values.items() if value is not None
    }


def _is_scalar(kind: types.Type, value: Any) -> bool:
    if isinstance(kind, types.BoolType) or isinstance(value, bool):
        return isinstance(kind, types.BoolType) and isinstance(value, bool)
    if isinstance(kind, Number):
        accepted = int if isinstance(kind, types.IntType) else (int, float)
        return isinstance(value, accepted) and in_range(kind, value)
    return isinstance(value, str) and (not getattr(kind, "pattern", None) or bool(value.strip()))


def _table(kind: types.DataclassType, value: Any, path: str, faults: Faults, default: Any) -> Any:
    if not isinstance(value, Mapping):
        faults.refuse(path, value, expected_text(kind))
        return INVALID
    n_before = len(faults.found)
    found = read_fields(kind.fields, value, path, faults)
    for field in kind.fields:
        if field.required and field.name not in value:
            faults.add(f"{path}.{field.name}", f"{path!r} lacks {field.name!r}, expected {expected_text(kind)}")
    if len(faults.found) > n_before:
        return INVALID
    return kind.cls(**found) if default is NODEFAULT else replace(default(), **found)


def _list(kind: types.VarTupleType, extra: Mapping[str, Any], value: Any, path: str, faults: Faults) -> Any:
    given = [value] if SINGLE in extra and isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        faults.refuse(path, value, expected_text(kind))
        return INVALID
    low, high = kind.min_length or 0, kind.max_length
    if len(given) < low or (high is not None and len(given) > high):
        length = f"{low} to {high} entries" if high is not None else "at least one entry"
        faults.refuse(path, value, f"{expected_text(kind)} with {length}")
        return INVALID
    is_single = given is not value
    read = (
        read_value(kind.item_type, each, path if is_single else f"{path}[{place}]", faults)
        for place, each in enumerate(given)
    )
    found = tuple(each for each in read if each is not INVALID)
    if len(found) < len(given):
        return INVALID
    if ASCENDING in extra and list(found) != sorted(set(found)):
        faults.refuse(path, value, "ascending values, each once")
    elif UNIQUE in extra and len(set(found)) < len(found):
        faults.refuse(path, value, "each value once")
    else:
        return found
    return INVALID


def _mapping(kind: types.DictType, value: Any, path: str, faults: Faults) -> Any:
    if not isinstance(value, Mapping) or len(value) < (kind.min_length or 0):
        faults.refuse(path, value, f"{expected_text(kind)}{' with at least one entry' * bool(kind.min_length)}")
        return INVALID
    read = {name: read_value(kind.value_type, each, join(path, name), faults) for name, each in value.items()}
    return INVALID if INVALID in read.values() else read


def _remedy(name: Any, known: Iterable[str], table: str = "") -> str:
    names = list(known)
    nearest = get_close_matches(str(name), names, n=1)
    return f"do you mean {join(table, nearest[0])!r}?" if nearest else f"known are {', '.join(names) or 'none'}"


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= MAX_VALUE_CHARS else f"{shown[:MAX_VALUE_CHARS]}…"
