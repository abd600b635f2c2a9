"""Ids that a spreadsheet or a data frame has turned into numbers."""

from __future__ import annotations

from typing import Final

import polars as pl

ID_COLUMNS: Final = frozenset(
    {"item_id", "item_group_id", "user_id", "visitor_id", "session_id", "basket_id", "event_id", "id"}
)
"""Columns of the tables that contain ids."""

SHORTENED: Final = r"^[+-]?\d(?:[.,]\d+)?[eE]\+\d{2,3}$"
"""A number of many digits as a spreadsheet shows it."""

LOST_DIGITS: Final = "lost its digits in a spreadsheet"


def plain_ids(ids: pl.Series) -> pl.Series:
    """Remove the `.0` of ids that were read as numbers (`12003.0`), unless other ids of the column have decimals.

    >>> plain_ids(pl.Series(["12003.0", "A7", None])).to_list(), plain_ids(pl.Series(["1.0", "1.1"])).to_list()
    (['12003', 'A7', None], ['1.0', '1.1'])
    """
    if not ids.str.ends_with(".0").any() or ids.str.contains(r"^\d+\.(?:\d*[1-9]\d*|0{2,})$").any():
        return ids
    return ids.str.replace(r"^(\d+)\.0$", "$1")


def are_shortened(ids: pl.Series) -> pl.Series:
    """Return whether each id is a number whose last digits are lost, such as `4,00638E+12`."""
    with_sign = ids.str.contains("+", literal=True)
    return ids.str.contains(SHORTENED) if with_sign.any() else with_sign
