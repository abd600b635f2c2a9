"""What the shop's catalog files are the truth of: whether they have every item on sale, and as of when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from recsys.core.config.ranges import NonNegativeFloat
from recsys.core.timestamps import MICROSECONDS, to_micros

MIN_COVERAGE: Final = 0.98
LAST_DAYS: Final = 30
CATALOG_TABLES: Final = ("items", "offers")


@dataclass(frozen=True)
class CatalogConfig:
    """What the items and offers files are the truth of.

    Attributes:
        complete: whether an item that the items files lack is not listed. Without it they are complete if they have
            the items of 98 % of the purchases of the last 30 days.
        export_lag: minutes by which the export of a file may be older than the file. A live change of that time or
            later wins over the file; an older one does not.
    """

    complete: bool | None = None
    export_lag: NonNegativeFloat = 60.0


@dataclass(frozen=True)
class CatalogState:
    """Facts about the catalog files of one ingest.

    Attributes:
        is_complete: whether an item that they lack is not listed.
        coverage: share of the purchases of the last days whose items they have; None without purchases or files.
        exported_at: moment that rows without `updated_at` are from, seconds since 1970, by table.
        notes: the same in words, by table.
    """

    is_complete: bool
    coverage: float | None
    exported_at: Mapping[str, float]
    notes: Mapping[str, tuple[str, ...]]


UNKNOWN_CATALOG: Final = CatalogState(is_complete=False, coverage=None, exported_at={}, notes={})


def find_catalog_state(
    tables: Mapping[str, pl.DataFrame],
    paths: Mapping[str, Iterable[Path]],
    config: CatalogConfig,
    as_of: datetime | None,
) -> CatalogState:
    """Find out whether the items files are complete, and when the catalog files were exported.

    Args:
        tables: the validated rows of the files by table; events with those of the live log.
        paths: the files, or folders of part files, by table.
        config: settings.
        as_of: aware moment of the export; None for the time of the oldest part file minus the lag.
    """
    coverage = _coverage(tables)
    is_complete = config.complete
    if is_complete is None:
        is_complete = "items" in tables and (coverage is None or coverage >= MIN_COVERAGE)
    exported_at = {
        table: _exported_at(paths[table], config, as_of)
        for table in CATALOG_TABLES
        if table in tables and table in paths
    }
    notes = {table: [_export_note(at, config, as_of)] for table, at in exported_at.items()}
    if "items" in notes:
        notes["items"].insert(0, _complete_note(is_complete, coverage, config))
    return CatalogState(is_complete, coverage, exported_at, {table: tuple(each) for table, each in notes.items()})


def _exported_at(paths: Iterable[Path], config: CatalogConfig, as_of: datetime | None) -> float:
    return modified_at(paths) - 60 * config.export_lag if as_of is None else to_micros(as_of) / MICROSECONDS


def modified_at(paths: Iterable[Path]) -> float:
    """Return the modification time of the oldest file of some files and folders, seconds since 1970."""
    files = [file for path in paths for file in (path.iterdir() if path.is_dir() else (path,)) if file.is_file()]
    return min(file.stat().st_mtime for file in files)


def _coverage(tables: Mapping[str, pl.DataFrame]) -> float | None:
    """Return the share of the last purchases, or of all last events without purchases, whose items are known."""
    if "items" not in tables or "events" not in tables:
        return None
    events, items = tables["events"], tables["items"]
    bought = events.filter(pl.col("event") == "purchase")
    bought = bought if bought.height else events.filter(pl.col("event") != "view_item_list")
    bought = bought.filter(pl.col("timestamp") > pl.col("timestamp").max() - timedelta(days=LAST_DAYS))
    known = pl.concat([items["item_id"], items["item_group_id"].drop_nulls()]).unique()
    share = bought.select(pl.col("item_id").is_in(known.implode()).mean()).item()
    return None if share is None else float(share)


def _complete_note(is_complete: bool, coverage: float | None, config: CatalogConfig) -> str:
    found = "" if coverage is None else f"it has the items of {coverage:.1%} of the last purchases"
    if config.complete is not None:
        found = "as set"
    if is_complete:
        reason, effect, other = found or "there is no purchase", "not listed", "false"
    else:
        reason, effect, other = f"{found}; {MIN_COVERAGE:.0%} is complete", "listed too", "true"
    name = "complete" if is_complete else "not complete"
    return (
        f"the catalog is {name} ({reason}): items that it lacks are {effect}; catalog.complete = {other} changes that"
    )


def _export_note(at: float, config: CatalogConfig, as_of: datetime | None) -> str:
    moment = f"{datetime.fromtimestamp(at).astimezone().isoformat(timespec='minutes')}"
    source = "--as-of" if as_of is not None else f"the time of the file minus {config.export_lag:g} min"
    return f"rows without updated_at are of {moment} ({source}): later live changes win over them, earlier ones do not"
