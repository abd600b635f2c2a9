"""Benchmarks with goals: hot calls, fold-in, lists of all users, bundles exchanged under load.

    python -m benchmarks --models models --json bench.json
    python -m benchmarks --only fold-in

Every value is compared with a baseline of the same run. The machine and its load are printed, and each run is added to
`benchmarks/history/bench.jsonl`. `benchmarks.events` and `benchmarks.freshness` run separately.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import folding, serving, swap, top_items
from benchmarks.results import Result, command

HISTORY = Path(__file__).parent / "history" / "bench.jsonl"
PARTS = {"fold-in": folding, "top-items": top_items, "serving": serving, "swap": swap}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the choice of parts, and the options of each part."""
    parser.add_argument("--only", choices=PARTS, action="append", help="parts to measure; repeat it for several")
    for part in PARTS.values():
        part.add_options(parser)


def measure(options: argparse.Namespace) -> list[Result]:
    """Measure the parts, one after the other."""
    return [figure for name in options.only or PARTS for figure in PARTS[name].measure(options)]


if __name__ == "__main__":
    command("benchmarks", __doc__, [add_options], measure, HISTORY)
