"""What `make bench` measures: the server's hot calls, fold-in, and bundles exchanged under load, with their goals.

    python -m benchmarks --models models --json bench.json
    python -m benchmarks --only fold-in

Every figure is held against a baseline of the same run. `benchmarks.events` and `benchmarks.freshness` run alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import folding, serving, swap
from benchmarks.figures import show

PARTS = {"fold-in": folding, "serving": serving, "swap": swap}


def main() -> None:
    """Measure all parts one after the other, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", choices=PARTS, action="append", help="parts to measure; repeat it for several")
    for part in PARTS.values():
        part.add_options(parser)
    options = parser.parse_args()
    show([figure for name in options.only or PARTS for figure in PARTS[name].measure(options)], options.json)


if __name__ == "__main__":
    main()
