"""Results of benchmarks: goals, the table and the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.results import Result, show

FAST = Result("calls", "fast", {"ratio": 2.0, "errors": 0.0}, {"ratio": (">=", 1.5), "errors": ("<=", 0)})
SLOW = Result("calls", "slow", {"ratio": 1.0}, {"ratio": (">=", 1.5)})


def test_a_value_on_the_wrong_side_of_its_goal_is_named() -> None:
    assert FAST.missed() == []
    (sentence,) = SLOW.missed()
    assert sentence == "slow: ratio is 1, the goal is >= 1.5"


def test_a_value_that_is_not_a_number_meets_no_goal() -> None:
    assert Result("calls", "broken", {"ratio": float("nan")}, {"ratio": (">=", 0)}).missed()


def test_the_table_has_a_row_per_subject_and_the_file_has_all_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show([FAST, SLOW], tmp_path / "bench.json")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["calls", "ratio", "errors"]
    assert [line.split()[0] for line in lines[1:3]] == ["fast", "slow"]
    assert "2 of 3 goals are met" in lines
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [each["values"] for each in written] == [FAST.values, SLOW.values]
