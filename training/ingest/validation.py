"""Validation of one table: kept rows in canonical form, and rejected rows with their reasons."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import REQUIRED, TABLES, WHO, is_column_name, typed_columns_of
from recsys.core.timestamps import EARLIEST_EVENT
from recsys.data.null_words import IS_WORD, are_null_words
from recsys.data.orders import negative_as_refunds
from training.ingest.attributes import typed_columns
from training.ingest.casts import GOT, PROBLEMS, UNKNOWN_EVENT, CastOptions, TypedTable, cast_table
from training.ingest.checks import ROW, check_rows
from training.ingest.csv_reader import LOOKS_LIKE_DATA
from training.ingest.event_names import counts_of, find_skipped
from training.ingest.explanations import explain, first_examples, place_of, with_places
from training.ingest.extended_json import unwrap_column
from training.ingest.number_columns import DoubtfulNumberError
from training.ingest.raw_table import RawTable
from training.ingest.repeated_rows import DUPLICATE, repeated_rows
from training.ingest.time_bounds import with_event_bounds, without_extreme_times
from training.ingest.whole_refunds import with_refunded_items

REJECTS: Final[dict[str, pl.DataType]] = {
    "table": pl.String(),
    "row": pl.UInt32(),
    "reason": pl.String(),
    "original": pl.String(),
    "file": pl.String(),
    "line": pl.UInt32(),
}
"""Columns of the rejects: table, number of the row in its source from 1, reason, the row as JSON text, its place."""

EMPTIED: Final[dict[str, pl.DataType]] = {
    "table": pl.String(),
    "row": pl.UInt32(),
    "column": pl.String(),
    "reason": pl.String(),
    "value": pl.String(),
    "file": pl.String(),
    "line": pl.UInt32(),
}
"""Columns of the emptied cells: table, number of the row as in the rejects, column, reason, the cell as text, and where
it is."""

BLANK_NAME: Final = re.compile(r"\s*|_\d+|column_\d+|Unnamed: \d+")
"""The name of a column whose first line is empty."""

MIN_BAD_CELLS: Final = 10
"""Bad cells below which a column is never refused."""


ATTRIBUTED: Final = ("items", "users")
"""Tables whose further columns are kept."""


@dataclass(frozen=True)
class ValidationRules:
    """The rules that a table is validated with.

    Attributes:
        latest: aware; an event after this moment is in the future.
        casts: formats of the shop's values.
        columns: the shop's column names, each with the standard name.
        default_event: event name of every row, where the events have no such column.
        event_names: by the shop's name of an event, the engine's name, or `event_names.SKIP`.
        earliest: aware; an event before this moment has a wrong time.
        max_bad_cell_share: largest share of an optional column's filled cells that may break its rules.
    """

    latest: datetime
    casts: CastOptions = field(default_factory=CastOptions)
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    default_event: str | None = None
    event_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    earliest: datetime = EARLIEST_EVENT
    max_bad_cell_share: float = 0.5


@dataclass(frozen=True)
class ValidationResult:
    """The rows of a table; kept, rejected, duplicate and skipped rows together are the input.

    Attributes:
        kept: canonical columns, then the further columns of items and users.
        rejects: `REJECTS` of every row that was left out, duplicates included.
        rows: input rows; a refund of a whole order counts as one per item.
        duplicates: rows left out because another row is equal or replaces them.
        skipped: events that are not about an item, by name, the most frequent first.
        ignored_columns: columns of the input that the table does not have.
        notes: how ambiguous columns were read.
        emptied: `EMPTIED` of every cell of the kept rows whose value broke a rule.
        examples: by reason, where the first row or cell with it is, its value and what is accepted.
    """

    kept: pl.DataFrame
    rejects: pl.DataFrame
    rows: int
    duplicates: int
    skipped: dict[str, int]
    ignored_columns: tuple[str, ...]
    notes: tuple[str, ...]
    emptied: pl.DataFrame
    examples: dict[str, str]

    @property
    def judged(self) -> int:
        """Rows that are not skipped."""
        return self.rows - sum(self.skipped.values())

    @property
    def rejected(self) -> int:
        """Rows that break a rule."""
        return self.rejects.height - self.duplicates

    def reasons(self) -> dict[str, int]:
        """Count rows by reason, most frequent first; a row with two reasons counts for both."""
        return _counted(self.rejects["reason"])

    def faults(self) -> dict[str, int]:
        """Count the rows that break a rule, by reason."""
        reasons = self.rejects["reason"]
        return _counted(reasons.filter(~reasons.str.starts_with(DUPLICATE)))

    def emptied_cells(self) -> dict[str, int]:
        """Count the emptied cells by column and reason, most frequent first."""
        return _counted(self.emptied.select(pl.concat_str("column", "reason", separator=" ")).to_series())

    def unknown_events(self) -> dict[str, int]:
        """Count the rejected events of unknown names by name, the most frequent first."""
        names = self.rejects["reason"].str.extract(f"(?:^|; )event {UNKNOWN_EVENT}{GOT}'(.*?)'(?:; |$)")
        return counts_of(names)


def _counted(reasons: pl.Series) -> dict[str, int]:
    """Count reasons by what is wrong, whatever the value."""
    each = reasons.str.split("; ").explode().str.split(GOT).list.first().to_frame("reason")
    counts = each.group_by("reason").len().sort("len", "reason", descending=[True, False])
    return dict(counts.iter_rows())


def validate_table(raw: RawTable, table: str, rules: ValidationRules) -> ValidationResult:
    """Rename, cast, check and deduplicate one table.

    Events that are not about an item are skipped. Of events with one `event_id` the first is kept, and of events
    without one that are equal in every column; of items and users the last row of each id.

    Args:
        raw: the rows as the shop wrote them.
        table: a key of `recsys.core.schema.TABLES`.
        rules: the rules.

    Returns:
        The kept and the rejected rows.

    Raises:
        DataError: a required column is missing, or two columns get one name.
    """
    named = _named(raw.frame, table, rules)
    _require_columns(named, table, rules)
    n_rows = raw.frame.height + raw.broken.height
    skipped: dict[str, int] = {}
    if table == "events":
        raw, named, skipped = _without_skipped(raw, named, rules)
    named = _clean_attributes(named, table, rules)
    cast = _cast(named, table, rules, raw)
    frame, extremes = without_extreme_times(cast.frame, table)
    n_returns = n_wholes = 0
    if table in ("events", "messages"):
        frame = with_event_bounds(frame, rules.earliest, rules.latest)
    if table == "events":
        frame, n_returns = negative_as_refunds(frame)
    frame = frame.with_row_index(ROW)
    if table == "events":
        n_judged = frame.height
        frame, n_wholes = with_refunded_items(frame)
        n_rows += frame.height - n_judged
    checked = check_rows(frame, table)
    rejected = _with_bad_cells(checked.rejected, cast.emptied)
    repeated = repeated_rows(checked.kept, table, raw.rows)
    kept = checked.kept
    if repeated.height:
        kept = kept.join(repeated, on=ROW, how="anti", maintain_order="left")
    others = [name for name in named.columns if name not in typed_columns_of(table, named.columns)]
    attributes = [name for name in others if table in ATTRIBUTED and is_column_name(name)]
    extra = named.select(attributes)[kept[ROW]] if attributes else pl.DataFrame()
    extra, types = (extra, ()) if raw.has_types else typed_columns(extra, rules.casts.times, rules.casts.decimal)
    emptied = cast.emptied.filter(pl.col("at").is_in(kept[ROW].implode())) if cast.emptied.height else cast.emptied
    left_out = pl.concat([rejected, repeated]).sort(ROW)
    return ValidationResult(
        kept=pl.concat([kept.drop(ROW, PROBLEMS), extra], how="horizontal"),
        rejects=_rejects(raw, table, left_out),
        rows=n_rows,
        duplicates=repeated.height,
        skipped=skipped,
        ignored_columns=tuple(name for name in others if name not in attributes),
        notes=(*cast.notes, *extremes, *types, *_returned(n_returns, n_wholes)),
        emptied=_emptied(emptied, named, raw, table),
        examples=_examples(rejected, emptied, named, raw),
    )


def _with_bad_cells(rejected: pl.DataFrame, emptied: pl.DataFrame) -> pl.DataFrame:
    """Add what is wrong with the cells of rejected rows to the reasons."""
    if rejected.is_empty() or emptied.is_empty():
        return rejected
    cells = emptied.select(pl.col("at").alias(ROW), cells=pl.concat_str("column", "reason", separator=" "))
    joined = rejected.join(cells.group_by(ROW).agg(pl.col("cells").str.join("; ")), on=ROW, how="left")
    reason = pl.concat_str("reason", "cells", separator="; ", ignore_nulls=True)
    return joined.select(ROW, reason.alias("reason")).sort(ROW)


def _cast(named: pl.DataFrame, table: str, rules: ValidationRules, raw: RawTable) -> TypedTable:
    """Cast the table; refuse a column that cannot be read as a whole, with the option that helps."""
    try:
        cast = cast_table(named, table, rules.casts)
    except DoubtfulNumberError as error:
        raise DataError(f"{table}: {place_of(raw.rows[error.position], raw.origins)}: {error}") from None
    for column, at, reason, count in _first_bad_cells(cast.emptied).iter_rows():
        filled = named[column].len() - named[column].null_count()
        if count >= MIN_BAD_CELLS and count > rules.max_bad_cell_share * filled:
            text = explain(reason, place_of(raw.rows[at], raw.origins), named[column][at])
            raise DataError(
                f"{table}: {count:,} of {filled:,} values of {column} cannot be used: {column} {reason}; {text}; "
                f"correct the column, or leave it out"
            )
    return cast


def _first_bad_cells(emptied: pl.DataFrame) -> pl.DataFrame:
    """Return `column`, first `at`, most frequent `reason` and number of the bad cells of each column.

    Words for nothing are empty cells, which a column may have any number of: most visitors of a shop are guests.
    """
    groups = emptied.filter(pl.col("reason") != IS_WORD).group_by("column", maintain_order=True)
    return groups.agg(pl.col("at").first(), pl.col("reason").mode().first(), pl.len())


def _clean_attributes(named: pl.DataFrame, table: str, rules: ValidationRules) -> pl.DataFrame:
    """Unwrap the further columns of items and users, and empty their words for nothing."""
    if table not in ATTRIBUTED:
        return named
    cleaned = []
    for name in named.columns:
        if name in TABLES[table] or not is_column_name(name):  # methods of a series take other names as patterns
            continue
        column = named[name]
        values = unwrap_column(column)
        if values.dtype == pl.String and (is_word := are_null_words(values, rules.casts.null_words)).any():
            values = values.set(is_word, None)
        cleaned.append(values)
    return named.with_columns(cleaned)


def _emptied(cells: pl.DataFrame, named: pl.DataFrame, raw: RawTable, table: str) -> pl.DataFrame:
    """Return `EMPTIED` of bad cells."""
    values = [str(named[column][at]) for at, column in cells.select("at", "column").iter_rows()]
    emptied = cells.select(
        pl.lit(table).alias("table"), raw.rows.gather(cells["at"]).alias("row"), "column", "reason"
    ).with_columns(pl.Series("value", values, dtype=pl.String))
    return with_places(emptied, raw.origins)


def _examples(rejected: pl.DataFrame, emptied: pl.DataFrame, named: pl.DataFrame, raw: RawTable) -> dict[str, str]:
    """Explain the first row of each reason, the first cell of each, and the first line that is broken."""
    cells = emptied.select("at", reason=pl.concat_str("column", "reason", separator=" "))
    rows = rejected.select(pl.col(ROW).alias("at"), "reason")
    found = first_examples(pl.concat([rows, cells]), named, raw.rows, raw.origins)
    broken = raw.broken.with_columns(pl.col("reason").str.split(GOT).list.first()).unique("reason", keep="first")
    for row, reason, original in broken.select("row", "reason", "original").rows():
        found.setdefault(reason, explain(reason, place_of(row, raw.origins), original))
    return found


def _without_skipped(
    raw: RawTable, named: pl.DataFrame, rules: ValidationRules
) -> tuple[RawTable, pl.DataFrame, dict[str, int]]:
    """Remove the events that are not about an item, and count them by name."""
    names = find_skipped(named, rules.event_names, rules.casts.null_words)
    if names.null_count() == names.len():
        return raw, named, {}
    stays = names.is_null()
    return (
        replace(raw, frame=raw.frame.filter(stays), rows=raw.rows.filter(stays)),
        named.filter(stays),
        counts_of(names),
    )


def _returned(n_returns: int, n_wholes: int) -> tuple[str, ...]:
    purchases = "purchase" if n_returns == 1 else "purchases"
    refunds = "refund" if n_wholes == 1 else "refunds"
    notes = (
        (n_returns, f"{n_returns:,} {purchases} of a negative quantity, read as refunds"),
        (n_wholes, f"{n_wholes:,} {refunds} of whole orders, read as one per item"),
    )
    return tuple(note for count, note in notes if count)


def _named(frame: pl.DataFrame, table: str, rules: ValidationRules) -> pl.DataFrame:
    """Rename the columns and fill in the default event; columns of one name, from several files, become one.

    A frame without columns comes from a file whose rows are all broken; no column in particular is missing.
    """
    if frame.width == 0:
        return pl.DataFrame(schema=TABLES[table])
    sources: dict[str, list[str]] = {}
    for name in frame.columns:
        sources.setdefault(rules.columns.get(name, name), []).append(name)
    named = frame.select(_one_column(frame, table, name, columns) for name, columns in sources.items())
    if table == "events" and rules.default_event is not None and "event" not in sources:
        named = named.with_columns(event=pl.lit(rules.default_event))
    return named


def _one_column(frame: pl.DataFrame, table: str, name: str, columns: list[str]) -> pl.Series:
    """Return a column under its standard name; several columns must be filled in different rows."""
    if len(columns) == 1:
        return frame[columns[0]].alias(name)
    filled = frame.select(pl.sum_horizontal(frame[column].is_not_null() for column in columns)).to_series()
    if (filled > 1).any():
        raise DataError(
            f"{table}: {' and '.join(map(repr, columns))} both have the name {name!r} and values in one row; map only "
            f"one of them, or rename one in the file"
        )
    dtypes = {frame[column].dtype for column in columns}
    parts = [frame[column] if len(dtypes) == 1 else frame[column].cast(pl.String) for column in columns]
    return frame.select(pl.coalesce(parts)).to_series().alias(name)


def _require_columns(frame: pl.DataFrame, table: str, rules: ValidationRules) -> None:
    found = ", ".join(frame.columns) or "none"
    for column in REQUIRED[table]:
        if column not in frame.columns:
            remedy = f"map yours with --column {_like(column, frame.columns)}={column}"
            if column == "event":
                remedy += ", or name the event of every row with --default-event purchase"
            if any(LOOKS_LIKE_DATA.fullmatch(name) for name in frame.columns):
                remedy += ", or name all columns with --no-header --columns if the file has no header"
            elif any(BLANK_NAME.fullmatch(name) for name in frame.columns):
                remedy += ", or delete the lines above the names if these are not in the first line"
            raise DataError(f"{table}: the column {column!r} is missing (columns found: {found}); {remedy}")
    if table == "events" and not set(WHO) & set(frame.columns):
        raise DataError(
            f"events: none of the columns {', '.join(WHO)} exists (columns found: {found}); "
            f"map yours with --column {_like('user_id', frame.columns)}=user_id"
        )


def _like(column: str, names: Sequence[str]) -> str:
    """Return the name that differs from a column by case, blanks and marks only; THEIRS if there is none."""
    plain = re.sub(r"[\W_]", "", column)
    found = (name for name in names if re.sub(r"[\W_]", "", name).casefold() == plain)
    theirs = next(found, "THEIRS")
    return theirs if re.fullmatch(r"\w+", theirs) else f"'{theirs}'"


def _rejects(raw: RawTable, table: str, left_out: pl.DataFrame) -> pl.DataFrame:
    """Return the rejected rows as the shop wrote them, with their numbers in the source."""
    chosen = raw.frame[left_out[ROW]]
    rejects = pl.DataFrame(
        {
            "table": pl.repeat(table, left_out.height, dtype=pl.String, eager=True),
            "row": raw.rows.gather(left_out[ROW]),
            "reason": left_out["reason"],
            "original": as_json(chosen),
        }
    )
    broken = raw.broken.select(pl.lit(table).alias("table"), "row", "reason", "original")
    return with_places(pl.concat([rejects, broken]).sort("row", maintain_order=True), raw.origins)


def as_json(frame: pl.DataFrame) -> pl.Series:
    """Write each row of a frame as JSON text; times, bytes and numbers that JSON does not have become texts."""
    plain = frame.select(_json_column(column) for column in frame.get_columns())
    texts = [json.dumps(row, ensure_ascii=False, default=str) for row in plain.iter_rows(named=True)]
    return pl.Series("original", texts, dtype=pl.String)


def _json_column(column: pl.Series) -> pl.Series:
    values = column.alias("value").drop_nulls()  # methods of a series take its name as a pattern
    if column.dtype == pl.Duration:
        return column.dt.to_string("iso")
    unknown_to_json = column.dtype.is_float() and not values.is_finite().all()
    return column.cast(pl.String) if unknown_to_json or column.dtype.is_temporal() else column
