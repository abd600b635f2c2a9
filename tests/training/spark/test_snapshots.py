"""Snapshots of kept counts: read as they were written, for the files that are still the same."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.core.ids import IdMap
from recsys.data.dataset import Dataset
from recsys.fitting.engine import EngineConfig
from tests.training.spark.test_kept import assert_equal
from training.spark.kept import KeptCounts, KeptSettings, count_kept
from training.spark.snapshots import MANIFEST, N_SNAPSHOTS, Basis, latest, signatures, write

USERS = pl.DataFrame({"user_id": ["a", "b"], "timezone": [None, "UTC"], "personalization": [False, True]})
OLD = {"events/day=2026-01-01/part-0.parquet": (1, 2, 3)}
NEW = OLD | {"events/day=2026-01-02/part-0.parquet": (4, 5, 6)}


@pytest.fixture(scope="module")
def counts(shop_dataset: Dataset) -> KeptCounts:
    return count_kept(shop_dataset, KeptSettings.of(EngineConfig()), shop_dataset.end)


def test_counts_come_back_with_the_rows_of_another_catalog(
    tmp_path: Path, shop_dataset: Dataset, counts: KeptCounts
) -> None:
    items = shop_dataset.items
    write(tmp_path, Basis("d", shop_dataset.end, OLD), counts, USERS, items)
    found = latest(tmp_path, "d", NEW)
    assert found is not None
    assert found.basis == Basis("d", shop_dataset.end, OLD)
    assert found.users().equals(USERS)
    assert_equal(found.counts(items), counts)
    more = IdMap.of([*items.ids, "0 first", "zzz last"])
    moved = found.counts(more)
    rows = more.rows(items.ids)
    assert (moved.n_buyers[rows] == counts.n_buyers).all()
    assert moved.n_buyers.sum() == counts.n_buyers.sum()
    assert (moved.popularity.late[:, rows] == counts.popularity.late).all()
    assert (moved.recent[rows] != counts.recent).nnz == 0
    assert len(moved.hours) == len(items) + 2


def test_the_latest_one_that_fits_is_taken(tmp_path: Path, shop_dataset: Dataset, counts: KeptCounts) -> None:
    for now, files in ((1, OLD), (2, NEW)):
        write(tmp_path, Basis("d", now, files), counts, USERS, shop_dataset.items)
    changed = OLD | {"events/day=2026-01-02/part-0.parquet": (4, 5, 7)}
    found = [latest(tmp_path, "d", files) for files in (NEW, changed, {})]
    assert [None if each is None else each.basis.now for each in found] == [2, 1, None]
    assert latest(tmp_path, "of other settings", NEW) is None
    assert latest(tmp_path / "nothing", "d", NEW) is None


@pytest.mark.parametrize("content", ["", "{}", '{"schema_version": 99}', "[]"])
def test_one_that_cannot_be_read_is_passed_over(
    tmp_path: Path, shop_dataset: Dataset, counts: KeptCounts, content: str
) -> None:
    for now in (1, 2):
        write(tmp_path, Basis("d", now, OLD), counts, USERS, shop_dataset.items)
    (tmp_path / "00000002" / MANIFEST).write_text(content)
    found = latest(tmp_path, "d", OLD)
    assert found is not None
    assert found.basis.now == 1


def test_old_ones_are_removed(tmp_path: Path, shop_dataset: Dataset, counts: KeptCounts) -> None:
    for now in range(N_SNAPSHOTS + 2):
        write(tmp_path, Basis("d", now, OLD), counts, USERS, shop_dataset.items)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"{number:08d}" for number in range(3, N_SNAPSHOTS + 3)]
    assert json.loads((tmp_path / names[-1] / MANIFEST).read_text())["now"] == N_SNAPSHOTS + 1


def test_a_file_that_is_written_again_has_another_signature(tmp_path: Path) -> None:
    files = [tmp_path / "events" / f"day=2026-01-0{day}" / "part-0.parquet" for day in (1, 2)]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"one")
    before = signatures(tmp_path)
    assert list(before) == [str(file.relative_to(tmp_path)) for file in files]
    os.utime(files[1], ns=(1, 1))
    after = signatures(tmp_path)
    assert [name for name in after if after[name] != before[name]] == [str(files[1].relative_to(tmp_path))]


def test_events_in_one_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "events.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match="no folder events with a file per day, which --state needs"):
        signatures(tmp_path)
