from __future__ import annotations

import json
from pathlib import Path

from benchmarks.torture.attack import Outcome
from benchmarks.torture.history import HISTORY, record, table, totals


def test_runs_add_up_by_attack(tmp_path: Path) -> None:
    path = tmp_path / "torture.jsonl"
    assert totals(path) == []
    record(path, [Outcome("kills", 3, 500, note="第一"), Outcome("inputs", 1000, 1000, failed=1)], 61.7)
    record(path, [Outcome("kills", 2, 100, lost=1), Outcome("swaps", 5, 5)], 60.0)
    assert totals(path) == [Outcome("kills", 5, 600, 1), Outcome("inputs", 1000, 1000, 0, 1), Outcome("swaps", 5, 5)]
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert (first["seconds"], first["outcomes"][0]["note"]) == (62, "第一")


def test_the_table_has_a_row_per_attack() -> None:
    lines = table([Outcome("kills", 1234, 5, note="two workers")]).splitlines()
    assert lines[0].split() == ["attack", "tries", "checked", "lost", "failed", "note"]
    assert lines[1].split() == ["kills", "1,234", "5", "0", "0", "two", "workers"]


def test_the_recorded_history_can_be_read() -> None:
    assert all(outcome.tries > 0 for outcome in totals(HISTORY))
