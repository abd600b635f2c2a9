from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from recsys.core.errors import ConfigError
from training.batch.run import FINISHED, RUN, RunInputs, ShardCounts, clear, interrupted, prepared

INPUTS = RunInputs(bundle="b1", placement="p", limit=5, as_of=7, context={}, ids="i", shard_size=2, suffix="ndjson")
COUNTS = [ShardCounts(shard, items=shard, fallbacks=0, empty=0, erased=0) for shard in range(3)]


def run_with_shards(folder: Path, n: int) -> None:
    run = prepared(folder, INPUTS)
    with run.recording() as record:
        for counts in COUNTS[:n]:
            run.path(counts.shard).write_text("lists")
            record(counts)


def test_what_is_finished_stays_for_the_same_inputs(tmp_path: Path) -> None:
    run_with_shards(tmp_path / "run", 2)
    assert interrupted(tmp_path / "run") == INPUTS
    assert prepared(tmp_path / "run", INPUTS).finished() == {0: COUNTS[0], 1: COUNTS[1]}


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "b2"},
        {"placement": "q"},
        {"limit": 6},
        {"as_of": 8},
        {"context": {"region": "上海"}},
        {"ids": "j"},
        {"shard_size": 3},
        {"suffix": "parquet"},
    ],
)
def test_nothing_stays_for_other_inputs(tmp_path: Path, change: dict[str, object]) -> None:
    run_with_shards(tmp_path / "run", 2)
    other = msgspec.structs.replace(INPUTS, **change)
    run = prepared(tmp_path / "run", other)
    assert run.finished() == {}
    assert [path.name for path in run.folder.iterdir()] == [RUN]
    assert interrupted(run.folder) == other


def test_a_complete_run_is_not_continued(tmp_path: Path) -> None:
    run_with_shards(tmp_path / "run", 3)
    prepared(tmp_path / "run", INPUTS).complete()
    assert interrupted(tmp_path / "run") is None
    assert prepared(tmp_path / "run", INPUTS).finished() == {}


@pytest.mark.parametrize("n_bytes", range(1, 70, 6))
def test_a_record_cut_by_a_crash_costs_one_shard(tmp_path: Path, n_bytes: int) -> None:
    run_with_shards(tmp_path / "run", 2)
    log = tmp_path / "run" / FINISHED
    whole = log.read_bytes()
    log.write_bytes(whole[: whole.rindex(b"{") + n_bytes - 1])
    run = prepared(tmp_path / "run", INPUTS)
    kept = set(run.finished())
    assert kept in ({0}, {0, 1})
    with run.recording() as record:
        run.path(2).write_text("lists")
        record(COUNTS[2])
    assert set(run.finished()) == kept | {2}


def test_a_shard_whose_file_is_gone_is_not_finished(tmp_path: Path) -> None:
    run_with_shards(tmp_path / "run", 2)
    run = prepared(tmp_path / "run", INPUTS)
    run.path(0).unlink()
    assert set(run.finished()) == {1}


def test_clearing_leaves_what_others_wrote(tmp_path: Path) -> None:
    run_with_shards(tmp_path / "run", 2)
    (tmp_path / "run" / "mine.txt").write_text("mine")
    (tmp_path / "run" / ".lists-000002.ndjson.99.new").write_text("cut")
    with pytest.raises(ConfigError, match="other files"):
        prepared(tmp_path / "run", INPUTS)
    clear(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_damaged_description_starts_anew(tmp_path: Path) -> None:
    run_with_shards(tmp_path / "run", 2)
    (tmp_path / "run" / RUN).write_text('{"bundle": 3}')
    assert interrupted(tmp_path / "run") is None
    assert prepared(tmp_path / "run", INPUTS).finished() == {}
