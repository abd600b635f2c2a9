"""The settings of a configuration class as rows: the source of the settings reference."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import inspect as types

from recsys.core.config.ranges import range_text, type_text, unwrap
from recsys.core.config.toml_reader import fields_of, join


@dataclass(frozen=True)
class SettingRow:
    """One setting.

    Attributes:
        key: its key in a TOML file, with the tables that it is in.
        type: its type in words.
        default: the default as TOML writes it, "not set" for none.
        range: its valid values, "" where the type says all.
        meaning: what it is, from the docstring of its class.
    """

    key: str
    type: str
    default: str
    range: str
    meaning: str


def describe(config_class: type[Any], table: str = "") -> list[SettingRow]:
    """List the settings of a configuration class and of the classes nested in it.

    Args:
        config_class: a dataclass with a default for every field.
        table: the table of the file that it is read from, "" for the top.
    """
    return [
        _row(config_class, key, field, default) for key, config_class, field, default in _walk(config_class(), table)
    ]


def setting_types(config_class: type[Any]) -> dict[str, types.Type]:
    """Return the declared type of each setting by its key."""
    return {key: field.type for key, _, field, _ in _walk(config_class(), "")}


def toml_value(value: Any) -> str:
    """Write a text, number, boolean or list; TOML writes them as JSON does."""
    return json.dumps(value, ensure_ascii=False)


def meanings(config_class: type[Any]) -> dict[str, str]:
    """Return the text of each attribute in the docstring's Attributes section, by name."""
    _, _, section = (inspect.getdoc(config_class) or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\S.*?)(?=^    \S|\Z)", section, flags=re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    for entry in entries:
        names, _, text = " ".join(entry.split()).partition(": ")
        found |= dict.fromkeys(names.split(", "), text)
    return found


def _walk(config: Any, table: str) -> Iterator[tuple[str, type[Any], types.Field, Any]]:
    """Yield key, class, field and default of each setting."""
    for field in fields_of(type(config)):
        value, key = getattr(config, field.name), join(table, field.name)
        if isinstance(unwrap(field.type)[0], types.DataclassType):
            yield from _walk(value, key)
        else:
            yield key, type(config), field, value


def _row(config_class: type[Any], key: str, field: types.Field, default: Any) -> SettingRow:
    return SettingRow(
        key=key,
        type=type_text(field.type),
        default="not set"
        if default is None
        else toml_value(dict(default) if isinstance(default, Mapping) else default),
        range=range_text(field.type),
        meaning=meanings(config_class).get(field.name, ""),
    )
