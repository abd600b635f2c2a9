"""Casts of columns to the types of `recsys.core.schema`, with a problem for every value that fails."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from recsys.core.schema import EVENT_ALIASES, EVENT_NAMES, MESSAGE_EVENTS, TIMESTAMP, typed_columns_of
from recsys.data.null_words import IS_WORD, are_null_words, spelled
from training.ingest.cells import BAD_CELLS, DECISIVE, bad_cells, empty_bad_cells
from training.ingest.extended_json import unwrap_column
from training.ingest.list_texts import written_lists
from training.ingest.number_columns import Decimal, parse_numbers
from training.ingest.text_ids import ID_COLUMNS, LOST_DIGITS, are_shortened, plain_ids
from training.ingest.timestamp_columns import TimestampOptions, TypedColumn, parse_timestamps

PROBLEMS: Final = "problems"
"""Column of a cast table with the problems of each row; null where there is none."""

TRUE: Final = ("true", "t", "yes", "y", "in stock", "in_stock", "instock", "available", "preorder", "backorder", "ja")
FALSE: Final = (
    "false",
    "f",
    "no",
    "n",
    "out of stock",
    "out_of_stock",
    "outofstock",
    "sold out",
    "unavailable",
    "nein",
)
BOOLEANS: Final = dict.fromkeys((*TRUE, "oui", "si", "sí", "是", "有"), True) | dict.fromkeys(
    (*FALSE, "discontinued", "non", "否", "无"), False
)
"""Words of true and false; 1 and 0 are numbers of them."""

STOCK: Final = "available"
"""The column in which any number is a stock: true if it is above zero."""

DEFAULTS: Final[dict[str, dict[str, bool]]] = {
    "items": {"available": True},
    "users": {"personalization": True},
}
"""Value of an empty cell, by table and column."""

TAG_SEPARATORS: Final = ("|｜", ";；", "、", ",，")
"""Characters that separate tags, by kind, the strongest kind first."""

LARGEST_EXACT_FLOAT: Final = 2.0**53

OBJECT: Final = '{"'
"""The first characters of an object of JSON."""

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
        decimal: the mark before decimals; `auto` for the one that each column uses.
        null_words: spellings of the words for nothing.
    """

    times: TimestampOptions = field(default_factory=TimestampOptions)
    category_separator: str = ">"
    tag_separators: str | None = None
    aliases: Mapping[str, str] = field(default_factory=lambda: EVENT_ALIASES)
    decimal: Decimal = "auto"
    null_words: pl.Series = field(default_factory=spelled)


@dataclass(frozen=True)
class TypedTable:
    """A table after the cast.

    Attributes:
        frame: every canonical column with its type, then `PROBLEMS`.
        notes: how ambiguous columns were read.
        emptied: `BAD_CELLS` of optional columns; unreadable cells of true or false count as false.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...]
    emptied: pl.DataFrame


def cast_table(raw: pl.DataFrame, table: str, rules: CastOptions) -> TypedTable:
    """Cast the columns of `recsys.core.schema.typed_columns_of`, and add the missing ones as nulls.

    Args:
        raw: the shop's rows under the standard column names, any dtypes.
        table: a key of `recsys.core.schema.TABLES`.
        rules: formats of the shop's values.

    Returns:
        As many rows as the input, in their order; a value that fails is null. Its problem is in `PROBLEMS` if its
        column decides about the row, else among the emptied cells.
    """
    columns: list[pl.Series] = []
    problems: list[pl.Series] = []
    notes: list[str] = []
    emptied = [pl.DataFrame(schema=BAD_CELLS)]
    for name, dtype in typed_columns_of(table, raw.columns).items():
        if name not in raw.columns:
            columns.append(pl.repeat(None, raw.height, dtype=dtype, eager=True).alias(name))
            continue
        cast = cast_column(raw[name], dtype, rules, MESSAGE_EVENTS if table == "messages" else EVENT_NAMES)
        notes += [f"{name}: {note}" for note in cast.notes]
        values, wrong = cast.values.alias(name), cast.problems
        decides = name in DECISIVE[table]
        if not decides:
            values, wrong = empty_bad_cells(values, wrong)
        if wrong.null_count() < raw.height:
            problems += [f"{name} " + wrong] if decides else []
            emptied += [] if decides else [bad_cells(name, wrong)]
            values = values.set(wrong.is_not_null(), False) if dtype == pl.Boolean() else values
        columns.append(values)
    frame = pl.DataFrame([*columns, _joined(problems, raw.height)])
    filled = [pl.col(name).fill_null(value) for name, value in DEFAULTS.get(table, {}).items()]
    return TypedTable(frame.with_columns(filled), tuple(notes), pl.concat(emptied))


def _joined(problems: list[pl.Series], height: int) -> pl.Series:
    """Join the problems of all columns to one text per row."""
    if not problems:
        return _no_problems(height).alias(PROBLEMS)
    frame = pl.DataFrame([column.alias(str(position)) for position, column in enumerate(problems)])
    text = frame.select(pl.concat_str(pl.all(), separator="; ", ignore_nulls=True)).to_series()
    return text.set(text == "", None).alias(PROBLEMS)


def cast_column(
    values: pl.Series, dtype: pl.DataType, rules: CastOptions, event_names: Sequence[str] = EVENT_NAMES
) -> TypedColumn:
    """Cast one column of any dtype; its name selects the separators of lists, and the aliases and names of events."""
    values = unwrap_column(values)
    if values.dtype == pl.Duration:
        values = values.dt.to_string("iso")
    if values.dtype == pl.Null:
        return TypedColumn(values.cast(dtype), _no_problems(values.len()))
    if _is_text(values.dtype):
        text = values.cast(pl.String)
        is_word = are_null_words(text, rules.null_words)
        values = text.set(is_word, None) if is_word.any() else text
        if dtype == pl.String() and values.name in ID_COLUMNS:
            return _cast_ids(values, is_word)
    if dtype == TIMESTAMP:
        return parse_timestamps(values, rules.times)
    if dtype.is_numeric():
        return _cast_numbers(values, dtype, rules.decimal)
    if dtype == pl.Boolean():
        return _cast_booleans(values)
    if isinstance(dtype, pl.List):
        return _cast_lists(values, rules)
    cast = _cast_texts(values)
    if values.name == "event":
        return _known_events(cast, rules.aliases, event_names)
    return _checked_zones(cast) if values.name == "timezone" else cast


def _cast_ids(ids: pl.Series, is_word: pl.Series) -> TypedColumn:
    """Clean a column of ids: spreadsheets and data frames turn them into numbers, and write words into empty cells."""
    cast = _cast_texts(ids)
    shortened = are_shortened(cast.values).fill_null(False)
    problem = pl.when(is_word).then(pl.lit(IS_WORD)).when(shortened).then(pl.lit(LOST_DIGITS))
    values = plain_ids(cast.values)
    if not (is_word.any() or shortened.any()):
        return TypedColumn(values, cast.problems)
    return TypedColumn(values.set(shortened, None), pl.select(problem).to_series())


def _known_events(names: TypedColumn, aliases: Mapping[str, str], known: Sequence[str]) -> TypedColumn:
    """Replace aliases, and name every value that is not a known event."""
    events = names.values.replace(dict(aliases))
    unknown = events.is_not_null() & ~events.is_in(known)
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
        if values.name not in ID_COLUMNS and text.str.contains("\0", literal=True).any():
            text = text.str.replace_all("\0", "", literal=True)
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


def _cast_numbers(values: pl.Series, dtype: pl.DataType, decimal: Decimal) -> TypedColumn:
    raw = _trimmed(values) if _is_text(values.dtype) else values
    if not (_is_text(raw.dtype) or raw.dtype.is_numeric()):
        return _with_problem(raw, pl.repeat(None, raw.len(), dtype=dtype, eager=True), "is not a number")
    numbers = parse_numbers(raw, decimal) if _is_text(raw.dtype) else raw.cast(pl.Float64, strict=False)
    if dtype == pl.Float64():
        cast = _with_problem(raw, numbers, "is not a number")
        return replace(cast, notes=_several_currencies(raw)) if _is_text(raw.dtype) else cast
    whole = numbers.is_finite() & (numbers == numbers.round()) & (numbers.abs() < LARGEST_EXACT_FLOAT)
    return _with_problem(raw, numbers.zip_with(whole, _nulls(numbers)).cast(dtype), "is not a whole number")


def _several_currencies(texts: pl.Series) -> tuple[str, ...]:
    signs = texts.filter(texts.str.contains(r"\p{Sc}")).str.extract(r"(\p{Sc})").unique().sort().to_list()
    if len(signs) < 2:
        return ()
    return (f"the signs {', '.join(signs)} are left out: prices of several currencies are not comparable",)


def _cast_booleans(values: pl.Series) -> TypedColumn:
    """Cast words and numbers; in the column of the stock any number has a meaning, elsewhere only 1 and 0."""
    if values.dtype == pl.Boolean:
        return TypedColumn(values, _no_problems(values.len()))
    if values.dtype.is_numeric():
        raw, numbers, words = values, values.cast(pl.Float64, strict=False), None
    else:
        raw = _trimmed(_cast_texts(values).values).str.to_lowercase().str.replace(r"^https?://schema\.org/", "")
        words = raw.replace_strict(BOOLEANS, default=None, return_dtype=pl.Boolean)
        numbers = raw.cast(pl.Float64, strict=False)
    numbers = numbers.fill_nan(None)
    if values.name != STOCK:
        numbers = numbers.set(~numbers.is_in([0.0, 1.0]), None)
    truths = numbers > 0
    truths = truths if words is None else words.zip_with(words.is_not_null(), truths)
    return _with_problem(raw, truths, "is not true or false")


def _cast_lists(values: pl.Series, rules: CastOptions) -> TypedColumn:
    """Cast categories and tags: lists stay, texts are split, empty parts are dropped."""
    if isinstance(values.dtype, pl.List | pl.Array) and not values.dtype.inner.is_nested():
        lists = values.cast(pl.List(pl.String), strict=False)
    elif _is_text(values.dtype):
        text = _trimmed(values)
        written = written_lists(text)
        split = _split(text.set(written.is_not_null(), None), values.name, rules)
        lists = written.zip_with(written.is_not_null(), split)
    else:
        lists = pl.repeat(None, values.len(), dtype=pl.List(pl.String), eager=True)
    has_objects = lists.explode().str.starts_with(OBJECT).any()
    parts = (_name_of(pl.element()) if has_objects else pl.element()).str.strip_chars()
    raw = _trimmed(values) if _is_text(values.dtype) else values
    return _with_problem(raw, lists.list.eval(parts.filter(parts != "")), "is not a list or a text")


def _name_of(part: pl.Expr) -> pl.Expr:
    """Return the name of a part that is an object, as the catalogs of shop systems have them; other parts stay."""
    names = (part.str.json_path_match(f"$.{field}") for field in ("name", "title", "label", "value"))
    return pl.when(part.str.starts_with(OBJECT)).then(pl.coalesce(*names, part)).otherwise(part)


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
