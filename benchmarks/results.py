"""Results of benchmarks: values, goals, a table and a JSON file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

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
        return [
            f"{self.name}: {name} is {self.values[name]:.3g}, the goal is {sign} {goal:g}"
            for name, (sign, goal) in self.goals.items()
            if not (self.values[name] >= goal if sign == ">=" else self.values[name] <= goal)
        ]


def show(results: Iterable[Result], file: Path | None = None) -> None:
    """Print a table per part and the missed goals, and write all results to a JSON file if one is chosen."""
    collected = list(results)
    for part in dict.fromkeys(each.part for each in collected):
        rows = [each for each in collected if each.part == part]
        columns = list(dict.fromkeys(name for each in rows for name in each.values))
        print(f"{part:34}" + "".join(f"{column:>18}" for column in columns))
        for each in rows:
            cells = (f"{each.values[name]:.4g}" if name in each.values else "" for name in columns)
            print(f"{each.name:34}" + "".join(f"{cell:>18}" for cell in cells))
        print()
    missed = [sentence for each in collected for sentence in each.missed()]
    n_goals = sum(len(each.goals) for each in collected)
    print("\n".join([f"{n_goals - len(missed)} of {n_goals} goals are met", *missed]))
    if file is not None:
        file.write_text(json.dumps([asdict(each) for each in collected], indent=2) + "\n", encoding="utf-8")


def command(
    name: str,
    description: str | None,
    options: Iterable[Callable[[argparse.ArgumentParser], None]],
    measure: Callable[[argparse.Namespace], Iterable[Result]],
) -> None:
    """Run a benchmark from the command line: parse the options, measure and show the results.

    Args:
        name: name of the module.
        description: description of the benchmark.
        options: functions that each add options to the parser.
        measure: returns the results.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", type=Path, help="write the results to this file")
    for add in options:
        add(parser)
    chosen = parser.parse_args()
    show(measure(chosen), chosen.json)
