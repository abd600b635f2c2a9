"""Print how many mutants of each module the tests kill, from the last run of mutmut; fail below the floor.

A mutant is a copy of the code with one small change, and a test that fails on it kills it. A run past its time limit
is not counted as killed. Some mutants survive because they behave like the original:

- an array without its dtype, where the default holds the same values: `np.zeros(n)` as a mask, int64 for integers;
- a minimal length of `np.bincount` or `np.fromiter` that the data reaches anyway;
- another case of a word that NumPy and Python read in any case: `kind="STABLE"`, `float("NAN")`;
- a check that saves time only, where an empty array gives the same result.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

FLOOR = 0.8


def read_results() -> dict[str, Counter[str]]:
    """Count the mutants of each module by what became of them; those that were not run are left out."""
    mutmut = Path(sys.executable).with_name("mutmut")
    command = [str(mutmut), "results", "--all", "true"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    modules: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in output.splitlines():
        name, separator, status = line.strip().rpartition(": ")
        if separator and status != "not checked":
            modules[name.rpartition(".")[0]][status] += 1
    return modules


def main() -> int:
    """Print one row per module; 1 if any is below the floor, or if nothing was run."""
    modules = read_results()
    if not modules:
        sys.exit("no mutant was run: run mutmut first")
    print(f"{'module':32} {'mutants':>8} {'killed':>7} {'survived':>9}  score")
    scores = {}
    for module, statuses in sorted(modules.items()):
        total, killed = statuses.total(), statuses["killed"]
        scores[module] = killed / total
        print(f"{module:32} {total:8} {killed:7} {total - killed:9}  {killed / total:5.1%}")
    return int(min(scores.values()) < FLOOR)


if __name__ == "__main__":
    sys.exit(main())
