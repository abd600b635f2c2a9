"""The machine that a run was measured on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks.machine import Machine, commit


def test_the_machine_of_this_test() -> None:
    machine = Machine.now()
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.cpu
    assert machine.load >= 0
    assert str(machine).startswith(f"{machine.cpu}, {machine.cores} cores, Python {machine.python}")


def test_the_commit_is_that_of_the_sources() -> None:
    shown = ["git", "-C", str(Path(__file__).parent), "log", "-1", "--format=%H"]
    found = subprocess.run(shown, capture_output=True, text=True, check=False).stdout.strip()
    assert commit() == "unknown" if not found else found.startswith(commit())
