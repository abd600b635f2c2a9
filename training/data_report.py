"""The report of the data that `recsys train` writes into a bundle, within bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from recsys.bundles.data_report import DataReport, IngestedTable, RejectedRow, RejectReason, SupportedLists
from recsys.data.dataset import Dataset
from recsys.fitting.fit_cache import LARGE_EVENTS
from training.doctor.doctor import findings, run_doctor
from training.ingest.casts import GOT

MAX_REASONS: Final = 20
"""Reasons of each table, the most frequent ones, and as many names, notes and findings."""

MAX_SAMPLES: Final = 3
MAX_CHARS: Final = 400
SEPARATOR: Final = "; "
NOT_EXAMINED: Final = "not examined at the training, as there are so many events: `recsys doctor` does it"
OF_LOG: Final = " of the live log"


def report_data(data_dir: Path, dataset: Dataset, *, examines: bool = True) -> DataReport:
    """Return what the ingest counted and left out, and, unless the shop is large, what the doctor finds.

    Args:
        data_dir: the folder that `recsys ingest` wrote.
        dataset: its content, or a sample of it.
        examines: whether the doctor may read all tables.

    Raises:
        DataError: a table cannot be read.
    """
    if len(dataset.events) >= LARGE_EVENTS or not examines:
        return DataReport(_tables(data_dir), (NOT_EXAMINED,), ())
    found = run_doctor(data_dir, dataset=dataset)
    unnamed = replace(found, bots=replace(found.bots, busiest=()))
    lists = (SupportedLists(feed.lists, feed.model, feed.grade, feed.why) for feed in (*found.feeds, *found.moments))
    return DataReport(_tables(data_dir), tuple(map(_cut, findings(unnamed)[:MAX_REASONS])), tuple(lists))


def _tables(data_dir: Path) -> tuple[IngestedTable, ...]:
    """Return the counts of each table with some rows of each reason; none without a report of the ingest."""
    path, rejects = data_dir / "report.json", data_dir / "rejects.parquet"
    if not path.exists():
        return ()
    tables: Mapping[str, Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    rows = pl.scan_parquet(rejects, glob=False) if rejects.exists() else None
    return tuple(_table(name, counts, rows, data_dir) for name, counts in tables.items())


def _table(name: str, counts: Mapping[str, Any], rejects: pl.LazyFrame | None, data_dir: Path) -> IngestedTable:
    examples = counts.get("examples", {})
    first, last = ("", "") if name.endswith(OF_LOG) else _span(data_dir / f"{name}.parquet")
    reasons, emptied = (list(counts.get(kind, {}).items())[:MAX_REASONS] for kind in ("reasons", "emptied"))
    table, unused = name.removesuffix(OF_LOG), frozenset(counts.get("ignored_columns", ()))
    samples = {} if rejects is None or not reasons else _samples(rejects, table, reasons, unused)
    return IngestedTable(
        name=name,
        rows=counts.get("rows", 0),
        kept=counts.get("kept", 0),
        duplicates=counts.get("duplicates", 0),
        rejected=counts.get("rejected", 0),
        skipped={_cut(event): count for event, count in list(counts.get("skipped", {}).items())[:MAX_REASONS]},
        first=first,
        last=last,
        reasons=tuple(
            _reason(reason, count, examples.get(reason, ""), samples.get(reason, ()), has_unused=bool(unused))
            for reason, count in reasons
        ),
        emptied=tuple(RejectReason(_cut(reason), count, _cut(examples.get(reason, ""))) for reason, count in emptied),
        notes=tuple(map(_cut, counts.get("notes", ())[:MAX_REASONS])),
    )


def _reason(
    reason: str, count: int, example: str, samples: tuple[RejectedRow, ...], *, has_unused: bool
) -> RejectReason:
    """Return a reason; the example of a line that could not be parsed is the line itself, with all of its columns."""
    is_line = has_unused and not any(row.content for row in samples)
    return RejectReason(_cut(reason), count, "" if is_line else _cut(example), samples)


def _samples(
    rejects: pl.LazyFrame, table: str, reasons: list[tuple[str, int]], unused: frozenset[str]
) -> dict[str, tuple[RejectedRow, ...]]:
    """Return the first rejected rows of each reason; a row that breaks two rules may be a sample of both."""
    chosen = (
        rejects.select("table", of=pl.col("reason").str.split(SEPARATOR))
        .with_row_index()
        .filter(pl.col("table") == table)
        .explode("of")
        .select("index", pl.col("of").str.split(GOT).list.first())
        .filter(pl.col("of").is_in([reason for reason, _ in reasons]))
        .group_by("of", maintain_order=True)
        .head(MAX_SAMPLES)
        .collect()
    )
    rows = rejects.with_row_index().filter(pl.col("index").is_in(chosen["index"].unique().to_list())).collect()
    each = chosen.join(rows, on="index", how="left", maintain_order="left")
    found: dict[str, tuple[RejectedRow, ...]] = {}
    for row in each.iter_rows(named=True):
        place = f"{row['file']}:{row['line']}" if row.get("line") is not None else f"row {row['row']}"
        found[row["of"]] = (*found.get(row["of"], ()), RejectedRow(_cut(place), _content(row["original"], unused)))
    return found


def _content(original: str | None, unused: frozenset[str]) -> str:
    """Return a rejected row without the columns that nothing reads, such as a mail address.

    Of a line that could not be parsed nothing is kept if there are such columns.
    """
    if not unused or original is None:
        return _cut(original or "")
    try:
        row = json.loads(original)
    except ValueError:
        return ""
    kept = {name: value for name, value in row.items() if name not in unused} if isinstance(row, dict) else {}
    return _cut(json.dumps(kept, ensure_ascii=False)) if kept else ""


def _span(path: Path) -> tuple[str, str]:
    """Return the times of the first and the last row of a table, empty if it has none."""
    if not path.exists():
        return "", ""
    table = pl.scan_parquet(path, glob=False)
    if "timestamp" not in table.collect_schema():
        return "", ""
    first, last = table.select(first=pl.col("timestamp").min(), last=pl.col("timestamp").max()).collect().row(0)
    return ("", "") if first is None else (first.isoformat(), last.isoformat())


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 1]}…"
