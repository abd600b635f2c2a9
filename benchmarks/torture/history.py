"""The running total of all recorded runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.machine import commit
from benchmarks.torture.attack import Outcome

HISTORY: Final = Path(__file__).parents[1] / "history" / "torture.jsonl"
COUNTS: Final = ("tries", "checked", "lost", "failed")


def record(path: Path, outcomes: Iterable[Outcome], seconds: float) -> None:
    """Add a run to a history: one line of JSON."""
    run = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "seconds": round(seconds),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run, ensure_ascii=False) + "\n")


def totals(path: Path) -> list[Outcome]:
    """Return the sums over all runs of a history by attack, in the order of their first run; none without a file."""
    if not path.is_file():
        return []
    sums: dict[str, dict[str, int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        for outcome in json.loads(line)["outcomes"]:
            found = sums.setdefault(outcome["attack"], dict.fromkeys(COUNTS, 0))
            for name in COUNTS:
                found[name] += outcome[name]
    return [Outcome(attack, **counts) for attack, counts in sums.items()]


def table(outcomes: Iterable[Outcome]) -> str:
    """Return outcomes as a table."""
    head = f"{'attack':30}" + "".join(f"{name:>12}" for name in COUNTS) + "  note"
    return "\n".join([head, *map(_row, outcomes)])


def _row(outcome: Outcome) -> str:
    return f"{outcome.attack:30}" + "".join(f"{getattr(outcome, name):>12,}" for name in COUNTS) + f"  {outcome.note}"
