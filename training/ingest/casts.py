"""Casts of columns to the types of `recsys.core.schema`, with a problem for every value that fails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from recsys.core.schema import EVENT_ALIASES, EVENT_NAMES, TABLES, TIMESTAMP
from training.ingest.timestamp_columns import TimestampOptions, TypedColumn, parse_timestamps

PROBLEMS: Final = "problems"
"""Column of a cast table with the problems of each row; null where there is none."""

BOOLEANS: Final = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(
    ("false", "f", "no", "n", "0"), False
)
DEFAULTS: Final[dict[str, dict[str, bool]]] = {
    "items": {"available": True},
    "users": {"personalization": True},
}
"""Value of an empty cell, by table and column."""

TAG_SEPARATORS: Final = ("|｜", ";；", "、", ",，")
"""Characters that separate tags, by kind, the strongest kind first."""

LARGEST_EXACT_FLOAT: Final = 2.0**53

UNKNOWN_EVENT: Final = "is not a known name"

GOT: Final = ", got "
"""Stands between a problem and the value that has it; reports count by the problem."""

MAX_SHOWN: Final = 60
"""Characters of a value that a problem shows."""


@dataclass(frozen=True)
class CastOptions:
    """Formats of a shop's values.

    Attributes:
        times: zone and format of times.
        category_separator: text between the levels of a category.
        tag_separators: characters that each end a tag; None for those that the column uses.
        aliases: the engine's name of an event by another name.
    """

    times: TimestampOptions = field(default_factory=TimestampOptions)
    category_separator: str = ">"
    tag_separators: str | None = None
    aliases: Mapping[str, str] = field(default_factory=lambda: EVENT_ALIASES)


@dataclass(frozen=True)
class TypedTable:
    """A table after the cast.

    Attributes:
        frame: every canonical column with its type, then `PROBLEMS`.
        notes: how ambiguous columns were read.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...]


def cast_table(raw: pl.DataFrame, table: str, rules: CastOptions) -> TypedTable:
    """Cast the columns of `recsys.core.schema`, and add the missing ones as nulls.

    Args:
        raw: the shop's rows under the standard column names, any dtypes.
        table: a key of `recsys.core.schema.TABLES`.
        rules: formats of the shop's values.

    Returns:
        As many rows as the input, in their order; a value that fails is null, with its problem in `PROBLEMS`.
    """
    columns: list[pl.Series] = []
    problems: list[pl.Series] = []
    notes: list[str] = []
    for name, dtype in TABLES[table].items():
        if name not in raw.columns:
            columns.append(pl.repeat(None, raw.height, dtype=dtype, eager=True).alias(name))
            continue
        cast = cast_column(raw[name], dtype, rules)
        columns.append(cast.values.alias(name))
        notes += [f"{name}: {note}" for note in cast.notes]
        if cast.problems.null_count() < raw.height:
            problems.append(f"{name} " + cast.problems)
    frame = pl.DataFrame([*columns, _joined(problems, raw.height)])
    filled = [pl.col(name).fill_null(value) for name, value in DEFAULTS.get(table, {}).items()]
    return TypedTable(frame.with_columns(filled), tuple(notes))


def _joined(problems: list[pl.Series], height: int) -> pl.Series:
    """Join the problems of all columns to one text per row."""
    if not problems:
        return _no_problems(height).alias(PROBLEMS)
    frame = pl.DataFrame([column.alias(str(position)) for position, column in enumerate(problems)])
    text = frame.select(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True)).to_series()
    return text.set(text == "", None).alias(PROBLEMS)


def cast_column(values: pl.Series, dtype: pl.DataType, rules: CastOptions) -> TypedColumn:
    """Cast one column of any dtype; its name selects the separators of lists and the aliases of events."""
    if values.dtype == pl.Null:
        return TypedColumn(values.cast(dtype), _no_problems(values.len()))
    if dtype == TIMESTAMP:
        return parse_timestamps(values, rules.times)
    if dtype.is_numeric():
        return _cast_numbers(values, dtype)
    if dtype == pl.Boolean():
        return _cast_booleans(values)
    if isinstance(dtype, pl.List):
        return _cast_lists(values, rules)
    cast = _cast_texts(values)
    if values.name == "event":
        return _known_events(cast, rules.aliases)
    return _checked_zones(cast) if values.name == "timezone" else cast


def _known_events(names: TypedColumn, aliases: Mapping[str, str]) -> TypedColumn:
    """Replace aliases, and name every value that is not a known event."""
    events = names.values.replace(dict(aliases))
    unknown = events.is_not_null() & ~events.is_in(EVENT_NAMES)
    if not unknown.any():
        return TypedColumn(events, names.problems)
    shown = events.str.slice(0, MAX_SHOWN).str.replace_all("; ", ";", literal=True)
    value = pl.concat_str(pl.lit(f"{UNKNOWN_EVENT}{GOT}'"), shown, pl.lit("'"))
    problems = pl.select(pl.when(unknown).then(value)).to_series()
    return TypedColumn(events.set(unknown, None), problems)


def _no_problems(height: int) -> pl.Series:
    return pl.repeat(None, height, dtype=pl.String(), eager=True)


def _with_problem(raw: pl.Series, values: pl.Series, problem: str) -> TypedColumn:
    """Attach `problem` wherever an input value has no result."""
    failed = raw.is_not_null() & values.is_null()
    if not failed.any():
        return TypedColumn(values, _no_problems(raw.len()))
    return TypedColumn(values, pl.select(pl.when(failed).then(pl.lit(problem))).to_series())


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Categorical, pl.Enum)


def _trimmed(values: pl.Series) -> pl.Series:
    text = values.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _cast_texts(values: pl.Series) -> TypedColumn:
    """Cast ids and names: texts stay, whole numbers lose their decimal point, an empty text is missing."""
    dtype = values.dtype
    if _is_text(dtype):
        text = values.cast(pl.String)
        return TypedColumn(text.set(text == "", None), _no_problems(values.len()))
    if dtype.is_float():
        values = values.fill_nan(None)
        exact = values.is_finite() & (values == values.round()) & (values.abs() < LARGEST_EXACT_FLOAT)
        whole = values.zip_with(exact, _nulls(values)).cast(pl.Int64)
        return _with_problem(values, whole.cast(pl.String), "is not a text or a whole number")
    if dtype.is_numeric() or dtype.is_temporal():
        return TypedColumn(values.cast(pl.String), _no_problems(values.len()))
    return _with_problem(values, _no_problems(values.len()), f"is of type {dtype}, not a text")


def _nulls(values: pl.Series) -> pl.Series:
    return pl.repeat(None, values.len(), dtype=values.dtype, eager=True)


def _cast_numbers(values: pl.Series, dtype: pl.DataType) -> TypedColumn:
    raw = _trimmed(values) if _is_text(values.dtype) else values
    if not (_is_text(raw.dtype) or raw.dtype.is_numeric()):
        return _with_problem(raw, pl.repeat(None, raw.len(), dtype=dtype, eager=True), "is not a number")
    numbers = raw.cast(pl.Float64, strict=False)
    if dtype == pl.Float64():
        return _with_problem(raw, numbers, "is not a number")
    whole = numbers.is_finite() & (numbers == numbers.round()) & (numbers.abs() < LARGEST_EXACT_FLOAT)
    return _with_problem(raw, numbers.zip_with(whole, _nulls(numbers)).cast(dtype), "is not a whole number")


def _cast_booleans(values: pl.Series) -> TypedColumn:
    if values.dtype == pl.Boolean:
        return TypedColumn(values, _no_problems(values.len()))
    cast = _cast_texts(values)
    text = _trimmed(cast.values).str.to_lowercase()
    booleans = text.replace_strict(BOOLEANS, default=None, return_dtype=pl.Boolean)
    return _with_problem(text, booleans, "is not true or false")


def _cast_lists(values: pl.Series, rules: CastOptions) -> TypedColumn:
    """Cast categories and tags: lists stay, texts are split, empty parts are dropped."""
    if isinstance(values.dtype, pl.List | pl.Array):
        lists = values.cast(pl.List(pl.String), strict=False)
    elif _is_text(values.dtype):
        lists = _split(_trimmed(values), values.name, rules)
    else:
        lists = pl.repeat(None, values.len(), dtype=pl.List(pl.String), eager=True)
    parts = pl.element().str.strip_chars()
    raw = _trimmed(values) if _is_text(values.dtype) else values
    return _with_problem(raw, lists.list.eval(parts.filter(parts != "")), "is not a list or a text")


def _split(text: pl.Series, name: str, rules: CastOptions) -> pl.Series:
    if name == "category":
        return text.str.split(rules.category_separator)
    separators = find_separators(text) if rules.tag_separators is None else rules.tag_separators
    first, others = separators[:1], separators[1:]
    if others:
        text = text.str.replace_all(f"[{re.escape(others)}]", first)
    return text.str.split(first)


def find_separators(text: pl.Series) -> str:
    """Return the characters that separate the tags of a column.

    A separator of a weaker kind than another one of the same text is a part of a tag: a shop that writes
    `shoes, men|sale` separates by `|`, and its comma separates nothing in the whole column.

    >>> find_separators(pl.Series(["red|green", "blue"])), find_separators(pl.Series(["shoes, men|sale", "a, b"]))
    ('|｜', '|｜')
    >>> find_separators(pl.Series(["复古、日系", "a;b", "c"]))
    ';；、'

    Returns:
        At least one character.
    """
    values = text.drop_nulls().unique()
    contains = [values.str.contains(f"[{re.escape(kind)}]") for kind in TAG_SEPARATORS]
    used: list[str] = []
    stronger = pl.repeat(False, values.len(), dtype=pl.Boolean(), eager=True)
    for kind, found in zip(TAG_SEPARATORS, contains, strict=True):
        if found.any() and not (found & stronger).any():
            used.append(kind)
            stronger = stronger | found
    return "".join(used) or TAG_SEPARATORS[0]


def _checked_zones(zones: TypedColumn) -> TypedColumn:
    known = [name for name in zones.values.drop_nulls().unique().to_list() if is_zone(name)]
    return _with_problem(zones.values, zones.values.set(~zones.values.is_in(known), None), "is not an IANA time zone")


def is_zone(name: str) -> bool:
    """Return whether a name is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
