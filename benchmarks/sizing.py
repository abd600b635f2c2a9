"""The costs that `recsys size` computes with, fitted to the results of the benchmarks.

    python -m benchmarks.sizing --curves data/demo-scale.json --spark data/spark.json

Curves of one and two million events say little about a hundred times as many, so the training of 20 million events that
docs/measurements/speed.md has is a point of its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.machine import Machine
from benchmarks.spark_size import EVENTS_PER_ITEM, EVENTS_PER_USER
from training.sizing import costs
from training.sizing.costs import Costs, Curve, fit

OUT: Final = Path(costs.__file__).with_name(costs.FILE)
PER_SHOP: Final = ("training, s", "training, MB", "bundle, MB", "server, MB")
PER_LIST: Final = ("for_you, ms", "complementary, ms")
EVENTS_OF_A_USER: Final = 10
"""Lists are measured where users have so many: those of users with fewer cost less."""

LARGE: Final = {
    "events": 2e7,
    "items": 1e6,
    "users": 2e6,
    "training, s": 1912.0,
    "training, MB": 11.0 * 1024,
    "bundle, MB": 2.5 * 1024,
}
"""Measured at another time, on two idle cores of the same kind."""

CONSTANTS: Final = {
    "http_ms_per_call": 0.9,
    "search_ms_per_item": 2.6e-5,
    "events_per_s": 10_000.0,
    "log_bytes_per_event": 225.0,
}
"""A list that is made anew over HTTP, without its making in the library (1.8 ms and .9 ms: docs/measurements/speed.md);
a search by FAISS (2.1 ms in 80,000 items) beyond what codes cover;
what PostgreSQL stored durably on a busy machine (docs/postgresql.md); a view with user, session and recommendation in
the log of one file, with its index (100,000 events)."""


def curve_points(results: Iterable[dict[str, Any]]) -> Iterator[dict[str, float]]:
    """Yield the points of `benchmarks.scale`."""
    yield from (result["values"] for result in results if result["part"] == "scale")


def spark_points(results: Iterable[dict[str, Any]]) -> Iterator[dict[str, float]]:
    """Yield the processor time of each training on Spark by `benchmarks.spark_size`, with the sizes of its shop."""
    for result in results:
        engine, _, rest = result["name"].partition(", ")
        if result["part"] == "training" and engine == "spark":
            events = float(rest.removesuffix(" events").replace(",", ""))
            sizes = {"events": events, "items": events / EVENTS_PER_ITEM, "users": events / EVENTS_PER_USER}
            yield sizes | {"spark, s": result["values"]["processor, s"]}


def fit_lists(points: Sequence[Mapping[str, float]], name: str) -> Curve:
    """Fit the cost of a list: it grows with the catalog, and a user's own latest events count, not those of others."""
    usual = [point for point in points if point["events"] >= EVENTS_OF_A_USER * point["users"]]
    return fit(usual, name, ["items"])


def main() -> None:
    """Fit the costs and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, required=True, help="results of `make curves`")
    parser.add_argument("--spark", type=Path, help="results of benchmarks.spark_size")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    points = [*curve_points(json.loads(options.curves.read_text(encoding="utf-8"))), LARGE]
    found = {name: fit(points, name) for name in PER_SHOP} | {name: fit_lists(points, name) for name in PER_LIST}
    if options.spark is not None:
        found["spark, s"] = fit(list(spark_points(json.loads(options.spark.read_text(encoding="utf-8")))), "spark, s")
    machine = Machine.now()
    written = Costs(f"{machine.cores} cores, {machine.cpu}", found, CONSTANTS)
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=1) + b"\n")
    for name, curve in found.items():
        print(f"{name:20} largest error {curve.error:.0%}")


if __name__ == "__main__":
    main()
