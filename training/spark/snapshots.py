"""Snapshots of kept counts: a folder of Parquet tables per training, and the files of events that each one counts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recsys.bundles.serialization import SerializedModel, flatten, unflatten
from recsys.core.errors import ConfigError
from recsys.core.files import file_signature, replacing
from recsys.core.ids import UNKNOWN, IdMap
from training.spark.kept import KeptCounts

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
COUNTS: Final = "counts.parquet"
RECENT: Final = "recent.parquet"
USERS: Final = "users.parquet"

HIDDEN: Final = ("_", ".")
"""What the names of files begin with that Spark does not read."""

N_SNAPSHOTS: Final = 8
"""Snapshots that stay: where a file of last week changes, the snapshot before it is still there."""

BY_COLUMN: Final = ("popularity.late",)
"""Arrays whose last axis is that of the items, not the first."""

Files = Mapping[str, tuple[int, ...]]
"""Signatures of files of events, by their path in the data folder."""


@dataclass(frozen=True)
class Basis:
    """What a snapshot has counted.

    Attributes:
        digest: of the facts, the settings and the code that decide the counts of given events.
        now: moment of the counts, seconds since 1970.
        files: the files of events.
    """

    digest: str
    now: int
    files: Files


@dataclass(frozen=True)
class Snapshot:
    """Counts of the events in some files.

    Attributes:
        basis: what was counted.
        folder: where the counts are.
    """

    basis: Basis
    folder: Path

    def counts(self, items: IdMap) -> KeptCounts:
        """Read the counts, with the rows of another catalog.

        Args:
            items: has all items of the counts, see `has_only`, and others.
        """
        manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        table = pl.read_parquet(self.folder / COUNTS, glob=False)
        rows = items.encode(table["item_id"])
        known = rows != UNKNOWN
        arrays = {name: _spread(name, table[name], rows, known, len(items)) for name in table.columns[1:]}
        recent = pl.read_parquet(self.folder / RECENT, glob=False)
        row = items.encode(recent["item_id"])
        known = row != UNKNOWN
        entries = (recent["n"].to_numpy()[known], (row[known], recent["second"].to_numpy()[known]))
        shape = (len(items), manifest["n_seconds"])
        matrix = flatten(_Recent(sparse.csr_matrix(entries, shape=shape, dtype=np.int32)))
        values = manifest["numbers"] | matrix.values
        return unflatten(KeptCounts, SerializedModel(arrays | matrix.arrays, {}, values))

    def has_only(self, items: IdMap) -> bool:
        """Return whether a catalog has all items of the counts: those of users who have opted out since may be gone."""
        return bool((items.encode(pl.read_parquet(self.folder / COUNTS, glob=False)["item_id"]) != UNKNOWN).all())

    def users(self) -> pl.DataFrame:
        """Read the users with a zone or a choice of their own: `user_id`, `timezone` and `personalization`."""
        return pl.read_parquet(self.folder / USERS, glob=False)


@dataclass(frozen=True)
class _Recent:
    recent: sparse.csr_matrix


def signatures(data_dir: Path) -> dict[str, tuple[int, ...]]:
    """Return the signature of each file of events; a file that was written again has another one.

    Args:
        data_dir: has the folder `events`.

    Raises:
        ConfigError: it has not.
    """
    folder = data_dir / "events"
    if not folder.is_dir():
        raise ConfigError(
            f"{data_dir} has no folder events with a file per day, which --state needs: "
            "write events/day=YYYY-MM-DD/part-0.parquet, or train without --state"
        )
    paths = (Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names)
    read = sorted(path for path in paths if not path.name.startswith(HIDDEN))
    found = {str(path.relative_to(data_dir)): file_signature(path) for path in read}
    return {name: signature for name, signature in found.items() if signature is not None}


def latest(state: Path, digest: str, files: Files) -> Snapshot | None:
    """Return the latest snapshot whose files are still the same, and only some of those there are; None without one."""
    for folder in sorted(state.glob("[0-9]*"), reverse=True):
        basis = _read_basis(folder / MANIFEST)
        if basis is not None and basis.digest == digest and all(files.get(f) == s for f, s in basis.files.items()):
            return Snapshot(basis, folder)
    return None


def write(state: Path, basis: Basis, counts: KeptCounts, users: pl.DataFrame, items: IdMap) -> None:
    """Add a snapshot, and remove those before the latest `N_SNAPSHOTS`.

    Args:
        state: folder of the snapshots.
        basis: what was counted.
        counts: the counts.
        users: see `Snapshot.users`.
        items: whose rows the counts have.
    """
    state.mkdir(parents=True, exist_ok=True)
    numbers = sorted(int(folder.name) for folder in state.glob("[0-9]*") if folder.name.isdigit())
    with replacing(state / f"{(numbers[-1] if numbers else 0) + 1:08d}") as folder:
        folder.mkdir()
        _fill(folder, basis, counts, users, items)
    for number in numbers[: max(0, len(numbers) + 1 - N_SNAPSHOTS)]:
        shutil.rmtree(state / f"{number:08d}")


def _fill(folder: Path, basis: Basis, counts: KeptCounts, users: pl.DataFrame, items: IdMap) -> None:
    parts, recent = flatten(counts), counts.recent.tocoo()
    arrays = {
        name: array.T if name in BY_COLUMN else array
        for name, array in parts.arrays.items()
        if not name.startswith("recent.")
    }
    counted = np.zeros(len(items), np.bool_)
    for array in arrays.values():
        counted |= array.reshape(len(items), -1).any(axis=1)
    rows = np.flatnonzero(counted)
    ids = pl.Series("item_id", items.ids, pl.String)
    columns = {name: pl.Series(name, np.ascontiguousarray(array[rows])) for name, array in arrays.items()}
    pl.DataFrame([ids[rows], *columns.values()]).write_parquet(folder / COUNTS)
    lines = {"second": recent.col.astype(np.int64), "n": recent.data}
    pl.DataFrame([ids[recent.row.astype(np.int64)], *(pl.Series(k, v) for k, v in lines.items())]).write_parquet(
        folder / RECENT
    )
    users.write_parquet(folder / USERS)
    numbers = {name: value for name, value in parts.values.items() if not name.startswith("recent")}
    found = {"schema_version": SCHEMA_VERSION, **asdict(basis), "n_seconds": recent.shape[1], "numbers": numbers}
    (folder / MANIFEST).write_text(json.dumps(found, indent=2), encoding="utf-8")


def _read_basis(path: Path) -> Basis | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["schema_version"] != SCHEMA_VERSION:
            return None
        files = {name: tuple(signature) for name, signature in found["files"].items()}
        return Basis(found["digest"], found["now"], files)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _spread(
    name: str, values: pl.Series, rows: npt.NDArray[np.int32], known: npt.NDArray[np.bool_], n_items: int
) -> npt.NDArray[Any]:
    """Return the values at the rows of their items, zero elsewhere."""
    given = values.to_numpy()
    found = np.zeros((n_items, *given.shape[1:]), given.dtype)
    found[rows[known]] = given[known]
    return found.T if name in BY_COLUMN else found
