"""How time and memory grow with the shop: generated shops of several sizes, each trained and asked.

    python -m benchmarks.scale --json scale.json --plot scale.svg
    python -m benchmarks.scale --items 1e4,1e5,1e6 --events 1e6 --users 1e5

One axis at a time grows while the others keep their middle size. A curve is fitted as `time ~ size^exponent`, by least
squares of the logarithms: 0 is flat, 1 is linear. Times are of the processor, so that other work counts less.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.generated_shop import ShopSize, generate
from benchmarks.results import Result, command
from recsys import Recommender
from recsys.core.request import Request

HISTORY: Final = Path(__file__).parent / "history" / "scale.jsonl"
TRAIN: Final = "from cli.main import main; main()"
SESSION_ITEMS: Final = 10

AXES: Final = {"events": "2e5,6e5,2e6", "items": "1e4,3e4,1e5", "users": "2e4,6e4,2e5"}
"""Sizes of each axis; the middle one serves where another axis grows."""

GOALS: Final = {
    ("items", "complementary"): 0.1,
    ("items", "similar"): 0.1,
    ("items", "for_you"): 0.15,
    ("events", "training"): 1.1,
    ("items", "training"): 1.1,
    ("users", "training"): 1.1,
}
"""Largest exponents: related items are flat, `for_you` is at most logarithmic (from 10⁴ to 10⁶ the logarithm grows by
half, which is 0.09), training at most n log n."""


@dataclass(frozen=True)
class Point:
    """What was measured at one size.

    Attributes:
        axis: what grows.
        shop: all sizes.
        seconds: processor time by subject: of a training, and the median of a list.
        memory_mb: peak memory of the training.
        bundle_mb: size of the bundle's files.
        server_mb: peak memory of the process that made the lists, with what it read of the bundle's files.
    """

    axis: str
    shop: ShopSize
    seconds: dict[str, float]
    memory_mb: float
    bundle_mb: float
    server_mb: float

    @property
    def size(self) -> int:
        """How large the axis is."""
        size: int = getattr(self.shop, f"n_{self.axis}")
        return size


def measure_point(axis: str, size: ShopSize, n_requests: int, folder: Path) -> Point:
    """Generate a shop, train on it and ask for lists."""
    data, models = folder / "data", folder / "models"
    generate(size, data)
    train_s, memory_mb = train(data, models)
    bundle = next(path.parent for path in models.glob("*/manifest.json"))
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        lists, server_mb = process.submit(ask, bundle, n_requests).result()
    return Point(axis, size, {"training": train_s} | lists, memory_mb, folder_mb(bundle), server_mb)


def ask(bundle: Path, n_requests: int) -> tuple[dict[str, float], float]:
    """Return the processor time of lists by kind, in seconds, and the peak memory of this process, in MB."""
    with threadpool_limits(1):  # as a server does
        lists = list_seconds(Recommender.of_bundle(bundle), n_requests)
    return lists, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def train(data: Path, models: Path) -> tuple[float, float]:
    """Train in a process of its own; return its processor time in seconds and its peak memory in MB."""
    log = data.with_name("training.log")
    command_line = [sys.executable, "-c", TRAIN, "train", "--data", str(data), "--models", str(models)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command_line, stdout=stream, stderr=stream)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the training on {data} failed:\n{log.read_text(encoding='utf-8')[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def list_seconds(recommender: Recommender, n_requests: int) -> dict[str, float]:
    """Return the median processor time of one list, in seconds, by kind; each request is new."""
    rng = np.random.default_rng(1)
    items, users = recommender.engine.items.ids, recommender.engine.users.ids
    moment = recommender.data_end + 3600
    sold = np.argsort(-recommender.engine.popularity.n_buyers, kind="stable")[: len(items) // 2]

    def related(placement: str) -> Iterator[Request]:
        for row in rng.choice(sold, n_requests):
            yield Request(placement, moment, item_ids=(items[row],))

    def personal() -> Iterator[Request]:
        for row in rng.integers(len(users), size=n_requests):
            yield Request("for_you", moment, user_id=users[row])

    def sessions() -> Iterator[Request]:
        for rows in rng.choice(sold, (n_requests, SESSION_ITEMS)):
            yield Request("for_you", moment, item_ids=tuple(items[row] for row in rows))

    kinds: dict[str, Callable[[], Iterator[Request]]] = {
        "complementary": lambda: related("complementary"),
        "similar": lambda: related("similar"),
        "for_you": personal,
        "session": sessions,
    }
    return {name: median_seconds(recommender, requests()) for name, requests in kinds.items()}


def median_seconds(recommender: Recommender, requests: Iterator[Request]) -> float:
    """Return the median processor time of a list, after one that is not counted."""
    recommender.recommend_for(next(requests))
    found = []
    for request in requests:
        started = time.process_time_ns()
        recommender.recommend_for(request)
        found.append(time.process_time_ns() - started)
    return float(np.median(found)) / 1e9


def folder_mb(folder: Path) -> float:
    """Return the size of the files of a folder, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Fit `value ~ size^x` by least squares of the logarithms.

    >>> round(exponent([10, 100, 1000], [3, 30, 300]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def results(points: Sequence[Point]) -> Iterator[Result]:
    """Return the values of every point, and the exponents of every curve with their goals."""
    for point in points:
        times = {f"{name}, {unit}": value * factor for name, (unit, factor, value) in _in_units(point).items()}
        sizes = {"events": point.shop.n_events, "items": point.shop.n_items, "users": point.shop.n_users}
        memory = {"training, MB": point.memory_mb, "bundle, MB": point.bundle_mb, "server, MB": point.server_mb}
        values = {name: float(size) for name, size in sizes.items()} | times | memory
        yield Result("scale", f"{point.size:,} {point.axis}", values)
    for axis in dict.fromkeys(point.axis for point in points):
        along = [point for point in points if point.axis == axis]
        if len(along) < 2:
            continue
        sizes = [point.size for point in along]
        found = {name: exponent(sizes, [point.seconds[name] for point in along]) for name in along[0].seconds}
        goals = {name: ("<=", GOALS[axis, name]) for name in found if (axis, name) in GOALS}
        yield Result("exponents", f"by {axis}", found, goals)


def _in_units(point: Point) -> dict[str, tuple[str, float, float]]:
    return {
        name: ("s", 1, value) if name == "training" else ("ms", 1000, value) for name, value in point.seconds.items()
    }


def plot(points: Sequence[Point], file: Path) -> None:
    """Draw the curves of each axis, with logarithmic scales, into an SVG or PNG file."""
    from matplotlib.figure import Figure

    axes_names = list(dict.fromkeys(point.axis for point in points))
    figure = Figure(figsize=(4.2 * len(axes_names), 7), layout="constrained")
    panels = figure.subplots(2, len(axes_names), squeeze=False)
    for column, axis in enumerate(axes_names):
        along = [point for point in points if point.axis == axis]
        sizes = [point.size for point in along]
        for panel, names in zip(
            panels[:, column], (["training"], [n for n in along[0].seconds if n != "training"]), strict=True
        ):
            for name in names:
                values = [point.seconds[name] for point in along]
                label = f"{name}: size^{exponent(sizes, values):.2f}" if len(sizes) > 1 else name
                panel.loglog(sizes, values, marker="o", label=label)
            panel.set(xlabel=axis, ylabel="processor seconds")
            panel.grid(visible=True, color="#E3E3E3")
            panel.legend(fontsize=8)
    figure.savefig(file)


def parse_sizes(text: str) -> list[int]:
    """Parse sizes such as `1e4,1e5`."""
    return [int(float(part)) for part in text.split(",")]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes, the number of requests and the plot."""
    for axis, sizes in AXES.items():
        parser.add_argument(f"--{axis}", type=parse_sizes, default=parse_sizes(sizes), help=f"sizes, default {sizes}")
    parser.add_argument("--requests", type=int, default=200, help="lists of each kind")
    parser.add_argument("--plot", type=Path, help="write the curves to this SVG or PNG file")


def sizes_of(options: argparse.Namespace) -> Iterator[tuple[str, ShopSize]]:
    """Yield the sizes to measure: along one axis after the other, each size once."""
    middle = {axis: getattr(options, axis)[len(getattr(options, axis)) // 2] for axis in AXES}
    for axis in AXES:
        for size in getattr(options, axis):
            shop = middle | {axis: size}
            yield axis, ShopSize(shop["events"], shop["items"], shop["users"])


def measure(options: argparse.Namespace) -> list[Result]:
    """Measure every size; equal shops once."""
    known: dict[ShopSize, Point] = {}
    points: list[Point] = []
    for axis, size in sizes_of(options):
        if size not in known:
            with tempfile.TemporaryDirectory() as folder:
                known[size] = measure_point(axis, size, options.requests, Path(folder))
            print(f"{size}: training {known[size].seconds['training']:.0f} s of processor", flush=True)
        found = known[size]
        points.append(replace(found, axis=axis))
    if options.plot:
        plot(points, options.plot)
    return list(results(points))


if __name__ == "__main__":
    command("benchmarks.scale", __doc__, [add_options], measure, HISTORY)
