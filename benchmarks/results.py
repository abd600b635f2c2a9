"""Results of benchmarks: values, goals, a table and a JSON file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import Machine, commit

Goals = dict[str, tuple[str, float]]


@dataclass(frozen=True)
class Result:
    """Measured values of one subject.

    Attributes:
        part: the benchmark.
        name: the subject.
        values: values by name; ratios are to a baseline of the same run.
        goals: by the name of a value, `>=` or `<=` and a limit.
    """

    part: str
    name: str
    values: dict[str, float]
    goals: Goals = field(default_factory=dict)

    def missed(self) -> list[str]:
        """Return a sentence for each value that does not meet its goal."""
        return [self._sentence(name) for name in self.goals if not self._meets(name)]

    def judged(self) -> list[str]:
        """Return a line for each goal: whether it is met, and the value."""
        return [f"{'met' if self._meets(name) else 'MISSED':8}{self._sentence(name)}" for name in self.goals]

    def _meets(self, name: str) -> bool:
        sign, goal = self.goals[name]
        return self.values[name] >= goal if sign == ">=" else self.values[name] <= goal

    def _sentence(self, name: str) -> str:
        sign, goal = self.goals[name]
        return f"{self.name}: {name} is {self.values[name]:.3g}, the goal is {sign} {goal:g}"


def show(results: Iterable[Result], file: Path | None = None) -> None:
    """Print a table per part and each goal with its value, and write all results to a JSON file if one is chosen."""
    collected = list(results)
    for part in dict.fromkeys(each.part for each in collected):
        rows = [each for each in collected if each.part == part]
        columns = list(dict.fromkeys(name for each in rows for name in each.values))
        print(f"{part:34}" + "".join(f"{column:>18}" for column in columns))
        for each in rows:
            cells = (f"{each.values[name]:.4g}" if name in each.values else "" for name in columns)
            print(f"{each.name:34}" + "".join(f"{cell:>18}" for cell in cells))
        print()
    judged = [line for each in collected for line in each.judged()]
    n_missed = sum(len(each.missed()) for each in collected)
    print("\n".join([f"{len(judged) - n_missed} of {len(judged)} goals are met", *judged]))
    if file is not None:
        file.write_text(json.dumps([asdict(each) for each in collected], indent=2) + "\n", encoding="utf-8")


def record(history: Path, results: Iterable[Result], before: Machine) -> None:
    """Add a run to a history: one line of JSON, with the machine before and the load after it."""
    run = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": asdict(before),
        "load_after": Machine.now().load,
        "results": [asdict(each) for each in results],
    }
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run, ensure_ascii=False) + "\n")


def command(
    name: str,
    description: str | None,
    options: Iterable[Callable[[argparse.ArgumentParser], None]],
    measure: Callable[[argparse.Namespace], Iterable[Result]],
    history: Path | None = None,
) -> None:
    """Run a benchmark from the command line: parse the options, measure and show the results.

    Args:
        name: name of the module.
        description: description of the benchmark.
        options: functions that each add options to the parser.
        measure: returns the results.
        history: file that each run is added to, None for none.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", type=Path, help="write the results to this file")
    for add in options:
        add(parser)
    chosen = parser.parse_args()
    before = Machine.now()
    print(f"{before}, commit {commit()}\n", flush=True)
    results = list(measure(chosen))
    show(results, chosen.json)
    print(f"load after the run: {Machine.now().load:g}")
    if history is not None:
        record(history, results, before)
