"""What is measured of a training on Spark: memory of all its processes, its stages and the exponents."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.spark_size import (
    Point,
    Usage,
    add_options,
    descendants,
    largest,
    parents,
    results,
    run,
    settings,
    usage,
)
from training.config import read_config


def point(n_events: int, seconds: float, memory: float) -> Point:
    kinds = {"driver": memory / 2, "java": memory / 2, "workers": 0.0, "all": memory}
    return Point("spark", n_events, Usage(seconds, 2 * seconds, kinds, 9.0), {"content": 1.0})


def test_exponents_are_of_time_and_memory_of_each_engine() -> None:
    found = list(results([point(10, 1.0, 100.0), point(1000, 100.0, 1000.0)]))
    assert [each.part for each in found] == ["training", "stages, s", "training", "stages, s", "exponents"]
    assert found[-1].values == pytest.approx({"s": 1.0, "processor, s": 1.0, "all, MB": 0.5})
    assert "exponents" not in [each.part for each in results([point(10, 1.0, 100.0)])]


def test_memory_and_processor_time_are_those_of_all_processes_below_one() -> None:
    code = "x = bytearray(50 * 2**20); input(); sum(range(10**7)); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        while usage(child.pid)[0]["driver"] < 50:
            assert child.poll() is None
        assert child.pid in descendants(os.getpid(), parents())
        memory, before = usage(os.getpid())
        assert memory["workers"] > 50
        child.stdin.write(b"\n")
        child.stdin.flush()
        while usage(child.pid)[1][child.pid] < before[child.pid] + 0.05:
            assert child.poll() is None
        child.communicate(b"\n")
    assert usage(child.pid)[0]["all"] == 0


def test_peaks_are_of_each_kind() -> None:
    assert largest({"java": 3.0}, {"java": 2.0, "all": 5.0}) == {"java": 3.0, "all": 5.0}


def test_a_program_that_fails_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such thing"):
        run([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path / "log", tmp_path)
    output, used = run([sys.executable, "-c", "print(1)"], tmp_path / "log", tmp_path)
    assert output == "1\n"
    assert used.seconds > 0


@pytest.mark.parametrize("learn", [True, False])
def test_settings_are_those_of_a_training(tmp_path: Path, learn: bool) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    chosen = parser.parse_args(["--folder", "x", "--part-events", "1e5", *(["--learn"] if learn else [])])
    (tmp_path / "settings.toml").write_text(settings(chosen))
    found = read_config(tmp_path / "settings.toml")
    assert (found.engine.ranker.enabled, found.engine.blend.enabled, found.spark.part_events) == (learn, learn, 100_000)
