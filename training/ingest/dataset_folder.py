"""The folder of tables that the jobs read, replaced as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.files import file_digest, replacing
from recsys.core.schema import DATASET_SCHEMA_VERSION, DatasetInfo


def check_replaceable(out: Path) -> None:
    """Refuse a path with anything but an older folder of tables.

    Raises:
        ConfigError: `out` is a file, or a folder with other content.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; name a folder for the tables")
    if out.is_dir() and any(out.iterdir()) and not (out / "dataset.json").is_file():
        raise ConfigError(f"{out} has other files and no dataset.json; name a new or an empty folder")


def write_folder(
    tables: Mapping[str, pl.DataFrame],
    reports: Mapping[str, Any],
    timezone: str,
    out: Path,
    **described: Any,
) -> DatasetInfo:
    """Write tables, `dataset.json` and further JSON files as one folder, all or nothing.

    Args:
        tables: frames by file name without suffix.
        reports: JSON values by file name without suffix.
        timezone: the shop's IANA zone.
        out: the folder; an older one is replaced.
        **described: further fields of `DatasetInfo`.

    Returns:
        The content of `dataset.json`; it does not count the tables `rejects` and `emptied`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as folder:
        folder.mkdir()
        info = replace(_fill(folder, tables, reports, timezone), **described)
        info = replace(info, fingerprint=_with_meaning(info))
        _write_json(folder / "dataset.json", asdict(info))
    return info


def _fill(folder: Path, tables: Mapping[str, pl.DataFrame], reports: Mapping[str, Any], timezone: str) -> DatasetInfo:
    digests = hashlib.sha256()
    rows: dict[str, int] = {}
    for name, frame in tables.items():
        path = folder / f"{name}.parquet"
        frame.write_parquet(path, compression="zstd", compression_level=1)
        if name not in ("rejects", "emptied"):
            rows[name] = frame.height
            digests.update(f"{name} {file_digest(path)}\n".encode())
    digests.update(timezone.encode())
    info = DatasetInfo(DATASET_SCHEMA_VERSION, timezone, digests.hexdigest(), rows)
    for name, value in reports.items():
        _write_json(folder / f"{name}.json", value)
    return info


def _with_meaning(info: DatasetInfo) -> str:
    """Return the digest of the tables and of what changes their meaning."""
    if not info.is_catalog_complete:
        return info.fingerprint
    return hashlib.sha256(f"{info.fingerprint} complete".encode()).hexdigest()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
