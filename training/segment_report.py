"""The job that writes the segments of all users, and what a report says about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.files import replacing
from recsys.core.schema import SEGMENTS
from recsys.pipeline.recommender import Recommender
from recsys.segments.churn import ChurnModel
from recsys.segments.life_cycle import STAGES

LIST_SEPARATOR: Final = " | "
"""Between the entries of a list in a CSV file."""

SUFFIXES: Final = (".parquet", ".csv")


@dataclass(frozen=True)
class StageSummary:
    """The users of one stage of the life cycle.

    Attributes:
        life_cycle: the stage; "unknown" for users with neither an event nor a date of creation.
        n_users: number of users.
        share: share of all users.
        n_high_value: users of high value.
        n_slowing: users whose orders slow down.
        churn_probability: mean over the users with orders; None without any.
        lifetime_value: sum over the users; None where no price is known.
    """

    life_cycle: str
    n_users: int
    share: float
    n_high_value: int
    n_slowing: int
    churn_probability: float | None
    lifetime_value: float | None


@dataclass(frozen=True)
class SegmentReport:
    """The segments of a shop in numbers.

    Attributes:
        version: the bundle.
        as_of: the moment of the segments, RFC 3339.
        n_users: number of users.
        stages: one entry per stage of the life cycle that has users, in the order of the rules.
        known: number of users with a value, by segment.
        churn: the model of the next order, how it was chosen, and its calibration.
        out: the file that was written, "" for none.
    """

    version: str
    as_of: str
    n_users: int
    stages: tuple[StageSummary, ...]
    known: Mapping[str, int]
    churn: Mapping[str, Any]
    out: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def report_segments(recommender: Recommender, table: pl.DataFrame, as_of: str, out: Path | None) -> SegmentReport:
    """Summarize a table of segments, and write it to a file.

    Args:
        recommender: the bundle that the table was made with.
        table: the segments of all users.
        as_of: their moment, RFC 3339.
        out: a .parquet or .csv file; None for none.

    Raises:
        ConfigError: the file has another ending.
    """
    if out is not None:
        write_segments(table, out)
    churn: ChurnModel = recommender.engine.segments.churn
    known = {name: table.height - table[name].null_count() for name in SEGMENTS}
    return SegmentReport(
        version=recommender.version,
        as_of=as_of,
        n_users=table.height,
        stages=_stages(table),
        known=known,
        churn=churn.to_dict(),
        out="" if out is None else str(out),
    )


def check_out(out: Path | None) -> None:
    """Refuse a file that segments cannot be written to.

    Raises:
        ConfigError: it is neither a .parquet nor a .csv file.
    """
    if out is not None and out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out is {str(out)!r}, expected a file that ends in {' or '.join(SUFFIXES)}")


def write_segments(table: pl.DataFrame, out: Path) -> None:
    """Write a table as Parquet, or as CSV with the entries of a list joined by " | ".

    Raises:
        ConfigError: the file has another ending.
    """
    check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as partial:
        if out.suffix.lower() == ".parquet":
            table.write_parquet(partial)
        else:
            lists = [name for name, dtype in table.schema.items() if isinstance(dtype, pl.List)]
            table.with_columns(pl.col(lists).list.join(LIST_SEPARATOR)).write_csv(partial)


def _stages(table: pl.DataFrame) -> tuple[StageSummary, ...]:
    value = pl.col("lifetime_value")
    grouped = table.group_by(pl.col("life_cycle").fill_null("unknown")).agg(
        n_users=pl.len(),
        n_high_value=pl.col("is_high_value").sum(),
        n_slowing=pl.col("is_slowing").sum(),
        churn_probability=pl.col("churn_probability").mean(),
        lifetime_value=pl.when(value.is_not_null().any()).then(value.sum()),
    )
    rows = {row["life_cycle"]: row for row in grouped.iter_rows(named=True)}
    return tuple(
        StageSummary(share=rows[stage]["n_users"] / table.height, **rows[stage])
        for stage in (*STAGES, "unknown")
        if stage in rows
    )
