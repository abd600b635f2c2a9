"""Cells of optional columns that break a rule: they are emptied, and their rows stay."""

from __future__ import annotations

from typing import Final

import polars as pl

from recsys.core.schema import MAX_AMOUNT, MAX_ID_BYTES, REQUIRED
from training.ingest.text_ids import ID_COLUMNS

DECISIVE: Final[dict[str, frozenset[str]]] = {
    **{table: frozenset(columns) for table, columns in REQUIRED.items()},
    "offers": frozenset({"item_id", "region", "store", "channel", "valid_from", "valid_to"}),
}
"""Columns whose bad values reject the row, by table: without its scope or its end, an offer would apply where it does
not."""

BAD_CELLS: Final[dict[str, pl.DataType]] = {"at": pl.UInt32(), "column": pl.String(), "reason": pl.String()}
"""Columns of the emptied cells: position of the row from 0, column, and what is wrong with the value."""

CONTROL: Final = r"\p{Cc}"
BLANK: Final = "is blank"
TOO_LONG: Final = f"is longer than {MAX_ID_BYTES} bytes of UTF-8"
HAS_CONTROL: Final = "contains control characters"
TOO_LARGE: Final = f"is beyond {MAX_AMOUNT:.0e}"
AMOUNTS: Final = ("price", "list_price")

Rules = list[tuple[pl.Expr, str]]


def empty_bad_cells(values: pl.Series, problems: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Empty the cells of an optional column that break a rule.

    Args:
        values: the column after its cast.
        problems: String; what is wrong with a value that could not be cast, null elsewhere.

    Returns:
        The column, and what is wrong with each cell that is empty for it.
    """
    rules = _rules(values.name, values.dtype)
    if not rules:
        return values, problems
    problem = pl.coalesce(*(pl.when(broken).then(pl.lit(reason)) for broken, reason in rules))
    found = values.to_frame().select(problem.cast(pl.String)).to_series()
    if found.null_count() == found.len():
        return values, problems
    return values.set(found.is_not_null(), None), problems.zip_with(problems.is_not_null(), found)


def bad_cells(column: str, problems: pl.Series) -> pl.DataFrame:
    """Return the `BAD_CELLS` of a column."""
    at = problems.is_not_null().arg_true()
    return pl.DataFrame({"at": at, "column": [column] * at.len(), "reason": problems.gather(at)}, schema=BAD_CELLS)


def _rules(name: str, dtype: pl.DataType) -> Rules:
    value = pl.col(name)
    if name in ID_COLUMNS:
        return [
            (value.str.strip_chars() == "", BLANK),
            (value.str.len_bytes() > MAX_ID_BYTES, TOO_LONG),
            (value.str.contains(CONTROL), HAS_CONTROL),
        ]
    rules: Rules = []
    if dtype.is_float():
        rules += [(value.is_nan(), "is not a number (NaN)"), (value.is_infinite(), "is infinite")]
        rules.append((value.abs() > MAX_AMOUNT, TOO_LARGE))
    if name in (*AMOUNTS, "position"):
        rules.append((value < 0, "is negative"))
    if name == "propensity":
        rules += [(value <= 0, "is not above zero"), (value > 1, "is above one")]
    return rules
