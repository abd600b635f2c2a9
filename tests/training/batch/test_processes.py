from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from recsys.core.errors import DataError
from recsys.pipeline.recommender import Recommender
from training.batch import BatchPlan, batch_recommend
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


N_IDS: Final = 400

JOB: Final = """
import sys
from pathlib import Path

from training.batch import BatchPlan, BatchRequest, batch_recommend

if __name__ == "__main__":
    models, ids, out = map(Path, sys.argv[1:])
    show = lambda done, total: print(done, flush=True)
    batch_recommend(models, ids, out, BatchRequest(limit=3), BatchPlan(2, shard_size=1), show)
"""


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_job_and_the_next_one_continues(
    shop_models: Path, tmp_path: Path, signal_: signal.Signals
) -> None:
    ids, out, script = tmp_path / "ids.txt", tmp_path / "lists.ndjson", tmp_path / "job.py"
    ids.write_text("\n".join(f"u{n:06d}" for n in range(N_IDS)))
    script.write_text(JOB)
    words = [sys.executable, str(script), str(shop_models), str(ids), str(out)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as job:
        assert job.stdout is not None
        while int(job.stdout.readline()) < 5:
            pass
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        assert len(children) >= 2
        job.send_signal(signal_)
    assert job.returncode != 0
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a process outlives its job"
        time.sleep(0.05)
    report = batch_recommend(shop_models, ids, out, BatchRequest(limit=3), BatchPlan(1, shard_size=1))
    assert 4 <= report.kept_shards < report.shards
    assert len(out.read_bytes().splitlines()) == N_IDS


def test_a_process_opens_the_live_log(shop_models: Path, tmp_path: Path) -> None:
    options = options_of(shop_models)
    assert isinstance(options.open(), ShardWriter)
    assert options.open().recommender.live is None
