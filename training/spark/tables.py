"""The tables of a data folder as Spark reads them: one file, or a folder with a partition per day."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import EVENTS, PERSONALIZATION, USERS
from recsys.data.dataset import find_table

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

FILE, ROW = "file of the row", "row of the file"
"""Columns with the place of a row, which is its order among events of one moment: the file's number and its own."""

PATH: Final = "path of the file"

SPARK_TYPES: Final = {
    "String": "string",
    "Float64": "double",
    "Int64": "bigint",
    "Boolean": "boolean",
    "Datetime": "timestamp",
    "List": "array<string>",
}


def read_events(session: SparkSession, data_dir: Path, files: Sequence[str] | None = None) -> DataFrame:
    """Read the events with the place of each row.

    Args:
        session: the session.
        data_dir: has `events.parquet`, or the folder `events` with `day=YYYY-MM-DD` in it.
        files: paths in the data folder of the files to read; None for all.

    Raises:
        DataError: it has neither.
    """
    path = find_table(data_dir, "events")
    if not path.exists():
        raise DataError(f"{data_dir} has neither events.parquet nor a folder events: run `recsys ingest` first")
    from pyspark.sql import functions as F  # noqa: N812

    paths = [path] if files is None else [data_dir / name for name in files]
    table = session.read.parquet(*map(location, paths))
    place = (F.col("_metadata.file_path").alias(PATH), F.col("_metadata.row_index").alias(ROW))
    numbers = F.broadcast(_file_numbers(session, path))
    return table.select(*_columns(table, EVENTS), *place).join(numbers, PATH).drop(PATH)


def _file_numbers(session: SparkSession, path: Path) -> DataFrame:
    """Number the files of a table by their paths, which are longer than most events are."""
    from pyspark.sql import functions as F  # noqa: N812

    found = session.read.parquet(location(path)).select(F.col("_metadata.file_path")).distinct().collect()
    numbered = [(name, number) for number, name in enumerate(sorted(row[0] for row in found))]
    return session.createDataFrame(numbered, f"`{PATH}` string, `{FILE}` int")


def read_users(session: SparkSession, data_dir: Path) -> DataFrame | None:
    """Read the users with the shop's own columns; None where there is no such table."""
    path = find_table(data_dir, "users")
    if not path.exists():
        return None
    table = session.read.parquet(location(path))
    own = [name for name in table.columns if name not in USERS]
    return table.select(*_columns(table, USERS), *(table[f"`{name}`"] for name in own))


def location(path: Path) -> str:
    """Return a path as Spark reads it: unlike in a URL nothing is percent-encoded, and signs of patterns are escaped.

    >>> print(location(Path("/data/my shop {1}/day=2026-11-27")).replace(chr(92), "!"))
    file:///data/my shop !{1!}/day=2026-11-27
    """
    return "file://" + re.sub(r"([\\*?\[\]{}])", r"\\\1", str(path.resolve()))


def without_opted_out(events: DataFrame, users: DataFrame) -> DataFrame:
    """Leave out the events of users who opted out of personalization."""
    return events.join(users.where(~users[PERSONALIZATION]).select("user_id"), "user_id", "left_anti")


def spark_types(schema: Mapping[str, pl.DataType]) -> dict[str, str]:
    """Return the type of each column as Spark names it."""
    return {name: SPARK_TYPES[str(dtype.base_type())] for name, dtype in schema.items()}


def _columns(table: DataFrame, schema: Mapping[str, pl.DataType]) -> list[Column]:
    from pyspark.sql import functions as F  # noqa: N812

    kinds = spark_types(schema).items()
    return [(F.col(name) if name in table.columns else F.lit(None)).cast(kind).alias(name) for name, kind in kinds]
