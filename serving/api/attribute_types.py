"""Attributes of live changes, converted to the types of the columns that the tables and earlier changes have."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from recsys.data.row_changes import fitted
from serving.problems import FieldError, InvalidRequestError, shown


def wider_numbers(columns: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """Return columns that later changes may widen: one of whole numbers takes all numbers."""
    return {name: pl.Float64() if dtype == pl.Int64() else dtype for name, dtype in columns.items()}


def with_column_types(attributes: Mapping[str, Any], columns: Mapping[str, pl.DataType]) -> dict[str, Any]:
    """Convert attributes to the types of the columns of the same names; others are unchanged.

    Args:
        attributes: JSON values by name.
        columns: types by name.

    Returns:
        JSON values; a time stays as it was written.

    Raises:
        InvalidRequestError: names each attribute that does not fit its column.
    """
    converted: dict[str, Any] = {}
    faults: list[FieldError] = []
    for name, value in attributes.items():
        try:
            fit = fitted(value, columns.get(name, pl.Null()))
            converted[name] = value if isinstance(fit, date) else fit
        except ValueError as error:
            found, field = shown(str(value)), f"attributes.{shown(name)}"
            message = f"{field} is {found!r}: {error}, as in the column {shown(name)!r}"
            faults.append(FieldError(field, message, found))
    if faults:
        raise InvalidRequestError(faults)
    return converted
