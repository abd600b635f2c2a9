"""Edits of a TOML file of placements that keep its comments, order and all other tables."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, time
from itertools import pairwise
from typing import Any, Final

from recsys.core.errors import ConfigError

TOPS: Final = ("placements", "pages")
"""The tables of tables in a file of placements."""

Changes = Mapping[str, Mapping[str, Mapping[str, Any] | None]]
"""New content of tables, None to remove one: by top table and name."""

_HEADER: Final = re.compile(r"""\s*\[\[?((?:[^\[\]"'#]|"(?:[^"\\]|\\.)*"|'[^']*')+)\]\]?\s*(?:#.*)?""")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_IS_NOTE: Final = re.compile(r"\s*(?:#.*)?")


def with_tables(text: str, changes: Changes) -> str:
    r"""Return a text with some tables replaced, added at the end or removed.

    >>> print(with_tables("# ours\n[placements.a]\nlimit = 3 # few\n", {"placements": {"b": {"extends": "a"}}}), end="")
    # ours
    [placements.a]
    limit = 3 # few
    <BLANKLINE>
    [placements.b]
    extends = "a"

    Raises:
        ConfigError: the text is not TOML or has one of these tables in a form that cannot be edited; a value is None.
    """
    before = parsed(text)
    try:
        for top, tables in changes.items():
            for name, table in tables.items():
                if before.get(top, {}).get(name) != table:
                    text = _with_table(text, top, name, table)
    except RecursionError:
        raise ConfigError("a table is nested too deeply: expected a few levels") from None
    expected, after = with_values(before, changes), None
    with suppress(ConfigError):
        after = parsed(text)
    if after is None or {top: after.get(top, {}) for top in TOPS} != {top: expected.get(top, {}) for top in TOPS}:
        names = ", ".join(f"[{top}.{name}]" for top, tables in changes.items() for name in tables)
        raise ConfigError(f"the file cannot be edited by table: write {names} as tables with a header of their own")
    return text


def with_values(document: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """Return a parsed file with some tables replaced, added or removed."""
    changed = dict(document)
    for top, tables in changes.items():
        merged = {**document.get(top, {}), **tables}
        changed[top] = {name: table for name, table in merged.items() if table is not None}
    return changed


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the changes that lead from one parsed file to another.

    >>> differences({"placements": {"a": {}, "b": {}}}, {"placements": {"a": {"limit": 3}}})
    {'placements': {'a': {'limit': 3}, 'b': None}, 'pages': {}}
    """
    return {
        top: {
            name: after.get(top, {}).get(name)
            for name in {**before.get(top, {}), **after.get(top, {})}
            if before.get(top, {}).get(name) != after.get(top, {}).get(name)
        }
        for top in TOPS
    }


def parsed(text: str) -> dict[str, Any]:
    """Parse a text, which may begin with a byte-order mark.

    Raises:
        ConfigError: it is not TOML.
    """
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"the text is not TOML: {error}") from None


def written(value: Any) -> str:
    """Write a value in TOML, tables in one line.

    >>> written({"a": [1, 2.5, True], "b c": "晨光"})
    '{a = [1, 2.5, true], "b c" = "晨光"}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {written(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if value is None:
        raise ConfigError("null is no value of a list: leave the key out, and the value of its parent applies")
    return repr(value)


def _with_table(text: str, top: str, name: str, table: Mapping[str, Any] | None) -> str:
    """Replace all lines of a table and of the tables in it."""
    lines = _LINE.findall(text)
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    blocks = _blocks(lines, (top, name))
    new = [] if table is None else [_table_text(top, name, table, newline)]
    for number, (start, end) in reversed([*enumerate(blocks)]):
        lines[start:end] = new if number == 0 else []
    if not blocks and new:
        text = "".join(lines)
        gap = "" if not text else newline if text.endswith("\n") else 2 * newline
        return text + gap + new[0]
    return "".join(lines)


def _blocks(lines: list[str], path: tuple[str, str]) -> list[tuple[int, int]]:
    """Return the first line of each block of a table and the line after it; comments before the next header stay."""
    headers = [(number, keys) for number, line in enumerate(lines) if (keys := _header(line)) is not None]
    blocks = []
    for (start, keys), (end, _) in pairwise([*headers, (len(lines), ())]):
        if keys[:2] == path:
            while end < len(lines) and end > start + 1 and _IS_NOTE.fullmatch(lines[end - 1].rstrip("\r\n")):
                end -= 1
            blocks.append((start, end))
    return blocks


def _header(line: str) -> tuple[str, ...] | None:
    """Return the keys of a line that begins a table, None for any other line."""
    found = _HEADER.fullmatch(line.lstrip("\ufeff").rstrip("\r\n"))
    if found is None:
        return None
    try:
        value = tomllib.loads(f"[{found[1]}]")
    except tomllib.TOMLDecodeError:
        return None
    keys = []
    while value:
        ((key, value),) = value.items()
        keys.append(key)
    return tuple(keys)


def _table_text(top: str, name: str, table: Mapping[str, Any], newline: str) -> str:
    rows = [f"[{top}.{_key(name)}]", *(f"{_key(key)} = {written(value)}" for key, value in table.items())]
    return "".join(f"{row}{newline}" for row in rows)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else written(name)
