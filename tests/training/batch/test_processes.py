from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from recsys.core.errors import DataError
from recsys.pipeline.recommender import Recommender
from training.batch import processes as module
from training.batch.processes import WriterOptions, write_shards
from training.batch.run import ShardCounts
from training.batch.shards import BatchRequest, Shard, ShardWriter


def shards_in(folder: Path, n: int) -> list[Shard]:
    return [Shard(number, (f"u{number:03d}",), folder / f"{number}.ndjson") for number in range(n)]


def options_of(shop_models: Path) -> WriterOptions:
    bundle = Recommender.open(shop_models)
    return WriterOptions(shop_models / bundle.version, BatchRequest(limit=3), bundle.latest)


def end_at_once(shard: Shard) -> ShardCounts:
    """Die as a process that the system kills."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.parametrize("n_processes", [1, 2])
def test_each_shard_is_written_once(shop_models: Path, tmp_path: Path, n_processes: int) -> None:
    options, shards = options_of(shop_models), shards_in(tmp_path, 9)
    found = list(write_shards(options.open(), options, shards, n_processes))
    assert sorted(counts.shard for counts in found) == list(range(9))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}.ndjson" for n in range(9)]


def test_a_killed_process_is_reported(shop_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_write", end_at_once)
    options = options_of(shop_models)
    with pytest.raises(DataError, match="fewer --workers"):
        list(write_shards(options.open(), options, shards_in(tmp_path, 2), 2))


def test_a_process_opens_the_live_log(shop_models: Path, tmp_path: Path) -> None:
    options = options_of(shop_models)
    assert isinstance(options.open(), ShardWriter)
    assert options.open().recommender.live is None
