"""The folder of tables that jobs read: written whole, beside its place, and then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.schema import DATASET_SCHEMA_VERSION, DatasetInfo


def check_replaceable(out: Path) -> None:
    """Refuse a place that holds anything but an older folder of tables.

    Raises:
        ConfigError: `out` is a file, or a folder with other things in it.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; name a folder for the tables")
    if out.is_dir() and any(out.iterdir()) and not (out / "dataset.json").is_file():
        raise ConfigError(f"{out} holds other files and no dataset.json; name a new or an empty folder")


def write_folder(
    tables: Mapping[str, pl.DataFrame],
    reports: Mapping[str, Any],
    timezone: str,
    out: Path,
    *,
    store_seq: int = 0,
    merges: Mapping[str, str] | None = None,
) -> DatasetInfo:
    """Write tables, `dataset.json` and further JSON files as one folder, all or nothing.

    Args:
        tables: frames by file name without its ending.
        reports: JSON values by file name without its ending.
        timezone: the shop's IANA zone.
        out: the folder; an older one is replaced.
        store_seq: number of the live log up to which its entries are in the tables.
        merges: by id, the one that the live log has joined it to.

    Returns:
        What `dataset.json` says; tables named `rejects` are no part of it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = out.parent / f".{out.name}.{os.getpid()}.new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        info = replace(_fill(staging, tables, reports, timezone), store_seq=store_seq, merges=dict(merges or {}))
        _write_json(staging / "dataset.json", asdict(info))
        _swap(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return info


def _fill(folder: Path, tables: Mapping[str, pl.DataFrame], reports: Mapping[str, Any], timezone: str) -> DatasetInfo:
    digests = hashlib.sha256()
    rows: dict[str, int] = {}
    for name, frame in tables.items():
        path = folder / f"{name}.parquet"
        frame.write_parquet(path, compression="zstd", compression_level=1)
        if name != "rejects":
            rows[name] = frame.height
            digests.update(f"{name} {file_digest(path)}\n".encode())
    digests.update(timezone.encode())
    info = DatasetInfo(DATASET_SCHEMA_VERSION, timezone, digests.hexdigest(), rows)
    for name, value in reports.items():
        _write_json(folder / f"{name}.json", value)
    return info


def file_digest(path: Path) -> str:
    """The sha256 of a file, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _swap(staging: Path, out: Path) -> None:
    """Put the new folder in the old one's place; the old one comes back if that fails."""
    old = out.parent / f".{out.name}.{os.getpid()}.old"
    if not out.exists():
        staging.rename(out)
        return
    out.rename(old)
    try:
        staging.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old)
