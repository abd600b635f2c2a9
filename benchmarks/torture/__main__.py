"""`make torture`: attacks on the server, the jobs and the live log, and a table of what was lost.

python -m benchmarks.torture --models models --minutes 22          # all attacks, recorded in the history
python -m benchmarks.torture --models models --short               # about a minute, not recorded
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from benchmarks.torture import callers_attacks, disks, fuzz, kills, load_attacks
from benchmarks.torture.attack import Arena, Attack, Outcome
from benchmarks.torture.history import HISTORY, record, table, totals

SHARES: Final[dict[Attack, float]] = {
    kills.kill_server: 0.2,
    kills.kill_store: 0.05,
    kills.kill_ingest: 0.07,
    kills.kill_training: 0.1,
    load_attacks.swaps: 0.1,
    load_attacks.overload: 0.06,
    callers_attacks.hostile_callers: 0.05,
    disks.full_disk: 0.05,
    disks.unwritable_disk: 0.02,
    fuzz.parsers: 0.1,
    fuzz.calls: 0.06,
    fuzz.schema: 0.04,
    load_attacks.soak: 0.1,
}
"""Each attack's share of the time."""

SHORT: Final[dict[Attack, float]] = {
    kills.kill_server: 4,
    kills.kill_store: 3,
    kills.kill_ingest: 4,
    callers_attacks.hostile_callers: 1,
    disks.full_disk: 1,
    disks.unwritable_disk: 1,
    fuzz.parsers: 8,
    fuzz.calls: 5,
    load_attacks.overload: 1,
}
"""Seconds of the attacks that a minute has room for."""


def run(attacks: dict[Attack, float], arena: Arena) -> Iterable[Outcome]:
    """Run attacks for some seconds each, and print each outcome as it is known."""
    for attack, seconds in attacks.items():
        started = time.monotonic()
        outcome = attack(arena, seconds)
        print(f"{time.monotonic() - started:6.0f} s  {outcome}", flush=True)
        yield outcome


def main() -> None:
    """Run the attacks that the command line names; the exit code is 1 if anything was lost or failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--minutes", type=float, default=22.0, help="time of all attacks together, about")
    parser.add_argument("--short", action="store_true", help="only what a minute has room for; not recorded")
    parser.add_argument("--seed", type=int, default=None, help="of all random choices; the time if not given")
    parser.add_argument("--only", help="attacks whose name contains this text; not recorded")
    parser.add_argument("--history", type=Path, default=HISTORY)
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    attacks = SHORT if options.short else {each: share * options.minutes * 60 for each, share in SHARES.items()}
    if options.only:
        attacks = {attack: seconds for attack, seconds in attacks.items() if options.only in attack.__name__}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        outcomes = list(run(attacks, Arena.of(options.models.absolute(), Path(folder), seed)))
    seconds = time.monotonic() - started
    print(f"\n{table(outcomes)}\n\n{seconds:.0f} s, seed {seed}")
    if not (options.short or options.only):
        record(options.history, outcomes, seconds)
    if recorded := totals(options.history):
        print(f"\nall recorded runs\n{table(recorded)}")
    raise SystemExit(any(each.lost or each.failed for each in outcomes))


if __name__ == "__main__":
    main()
