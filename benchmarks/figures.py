"""What benchmarks find: figures, goals, and how they are told."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

Goals = dict[str, tuple[str, float]]


@dataclass(frozen=True)
class Figure:
    """What was measured of one thing.

    Attributes:
        part: the benchmark.
        name: of the thing.
        values: by name; ratios are to a baseline of the same run.
        goals: by the name of a value, `>=` or `<=` and what.
    """

    part: str
    name: str
    values: dict[str, float]
    goals: Goals = field(default_factory=dict)

    def missed(self) -> list[str]:
        """Values that are on the wrong side of their goals."""
        return [
            f"{self.name}: {name} is {self.values[name]:.3g}, the goal is {sign} {goal:g}"
            for name, (sign, goal) in self.goals.items()
            if not (self.values[name] >= goal if sign == ">=" else self.values[name] <= goal)
        ]


def show(figures: Iterable[Figure], file: Path | None = None) -> None:
    """Print a table of each part, what missed its goal, and write all to a JSON file where one is given."""
    told = list(figures)
    for part in dict.fromkeys(each.part for each in told):
        rows = [each for each in told if each.part == part]
        columns = list(dict.fromkeys(name for each in rows for name in each.values))
        print(f"{part:34}" + "".join(f"{column:>18}" for column in columns))
        for each in rows:
            cells = (f"{each.values[name]:.4g}" if name in each.values else "" for name in columns)
            print(f"{each.name:34}" + "".join(f"{cell:>18}" for cell in cells))
        print()
    missed = [sentence for each in told for sentence in each.missed()]
    n_goals = sum(len(each.goals) for each in told)
    print("\n".join([f"{n_goals - len(missed)} of {n_goals} goals are met", *missed]))
    if file is not None:
        file.write_text(json.dumps([asdict(each) for each in told], indent=2) + "\n", encoding="utf-8")


def command(
    name: str,
    description: str | None,
    options: Iterable[Callable[[argparse.ArgumentParser], None]],
    measure: Callable[[argparse.Namespace], Iterable[Figure]],
) -> None:
    """The command line of a benchmark over a folder of bundles: read it, measure and show.

    Args:
        name: of the module.
        description: of the benchmark.
        options: each adds some of its own.
        measure: gives the figures.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    for add in options:
        add(parser)
    given = parser.parse_args()
    show(measure(given), given.json)
