"""Results of benchmarks: goals, the table and the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.machine import Machine
from benchmarks.results import Result, record, show

FAST = Result("calls", "fast", {"ratio": 2.0, "errors": 0.0}, {"ratio": (">=", 1.5), "errors": ("<=", 0)})
SLOW = Result("calls", "slow", {"ratio": 1.0}, {"ratio": (">=", 1.5)})


def test_a_value_on_the_wrong_side_of_its_goal_is_named() -> None:
    assert FAST.missed() == []
    (sentence,) = SLOW.missed()
    assert sentence == "slow: ratio is 1, the goal is >= 1.5"


def test_each_goal_is_shown_with_its_value() -> None:
    assert FAST.judged() == [
        "met     fast: ratio is 2, the goal is >= 1.5",
        "met     fast: errors is 0, the goal is <= 0",
    ]
    assert SLOW.judged() == ["MISSED  slow: ratio is 1, the goal is >= 1.5"]


def test_each_run_is_added_to_the_history(tmp_path: Path) -> None:
    history = tmp_path / "history" / "bench.jsonl"
    for _ in range(2):
        record(history, [FAST, SLOW], Machine("processor", 2, "3.11", 0.5))
    runs = [json.loads(line) for line in history.read_text().splitlines()]
    assert [run["machine"]["cores"] for run in runs] == [2, 2]
    assert all(run["load_after"] >= 0 and run["commit"] and run["at"] for run in runs)
    assert [each["values"] for each in runs[1]["results"]] == [FAST.values, SLOW.values]


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
