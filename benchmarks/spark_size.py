"""How a training on Spark grows with the shop, beside the single-machine engine on the same tables.

    python -m benchmarks.spark_size --events 5e6,2e7 --engines spark,local --folder data/spark-size

Each shop is generated day by day and removed after its trainings. Memory is the sum of the proportional set sizes (PSS)
of a training and all its processes, Java and the Python workers included, read every two seconds; so is processor time,
as wall time depends on other work. Linux only. By default nothing is learned from the past of the shop (rankers,
weights of the sources, settings); `--learn` does this too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.results import Result, command
from benchmarks.scale import TRAIN, exponent, folder_mb, parse_sizes

HISTORY: Final = Path(__file__).parent / "history" / "spark.jsonl"
PROC: Final = Path("/proc")
PAUSE_S: Final = 2.0
PAUSES_PER_DISK: Final = 10
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")

EVENTS_PER_ITEM: Final = 20
EVENTS_PER_USER: Final = 10

NOTHING_LEARNED: Final = "[blend]\nenabled = false\n\n[ranker]\nenabled = false\n\n"


@dataclass(frozen=True)
class Usage:
    """What a program and all its processes used.

    Attributes:
        seconds: wall time.
        processor_s: processor time, but for the last two seconds of each process.
        memory_mb: largest sum over all processes, and the largest of each kind: `driver`, `java` and `workers`.
        disk_mb: largest size of its folder.
    """

    seconds: float
    processor_s: float
    memory_mb: Mapping[str, float]
    disk_mb: float


@dataclass(frozen=True)
class Point:
    """One training.

    Attributes:
        engine: `spark` or `local`.
        n_events: events of the shop, about.
        used: time and memory; the disk is that of temporary files and the bundle.
        stages: wall time of each stage, in seconds.
    """

    engine: str
    n_events: int
    used: Usage
    stages: Mapping[str, float]


def run(command_line: Sequence[str], log: Path, folder: Path) -> tuple[str, Usage]:
    """Run a program; return its output, and what it used of the machine and of a folder.

    Raises:
        SystemExit: it failed; the message has the end of its log.
    """
    started, disk = time.monotonic(), 0.0
    peaks: dict[str, float] = {}
    processor: dict[int, float] = {}
    with log.open("w") as errors, log.with_suffix(".out").open("w") as output:
        process = subprocess.Popen(command_line, stdout=output, stderr=errors)
        for turn in itertools.count():
            if process.poll() is not None:
                break
            memory, times = usage(process.pid)
            peaks, processor = largest(peaks, memory), processor | times
            if turn % PAUSES_PER_DISK == 0:
                disk = max(disk, used_mb(folder))
            time.sleep(PAUSE_S)
    seconds = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command_line)} failed:\n{log.read_text(encoding='utf-8')[-3000:]}")
    used = Usage(seconds, sum(processor.values()), peaks, disk)
    return log.with_suffix(".out").read_text(encoding="utf-8"), used


def used_mb(folder: Path) -> float:
    """Return the size of the files of a folder that others may remove meanwhile, in MB."""
    try:
        return folder_mb(folder)
    except OSError:
        return 0.0


def usage(pid: int) -> tuple[dict[str, float], dict[int, float]]:
    """Return the memory of a process and its descendants by kind, in MB, and the processor time of each, in seconds."""
    memory = {"driver": 0.0, "java": 0.0, "workers": 0.0}
    processor: dict[int, float] = {}
    for each in descendants(pid, parents()):
        try:
            name, rollup, stat = ((PROC / str(each) / file).read_text() for file in ("comm", "smaps_rollup", "stat"))
        except OSError:
            continue  # it has ended
        kind = "java" if name.strip() == "java" else "driver" if each == pid else "workers"
        memory[kind] += pss_mb(rollup)
        processor[each] = processor_s(stat)
    return memory | {"all": sum(memory.values())}, processor


def parents() -> dict[int, int]:
    """Return the parent of each process."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = parent_of((folder / "stat").read_text())
            except OSError:
                continue
    return found


def parent_of(stat: str) -> int:
    """Return the parent in a line of `/proc/PID/stat`; the name of a program may have blanks and brackets.

    >>> parent_of("12 (a) b) S 7 12 12")
    7
    """
    return int(stat.rpartition(")")[2].split()[1])


def processor_s(stat: str) -> float:
    """Return the processor time in a line of `/proc/PID/stat`, in seconds."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def descendants(pid: int, parent: Mapping[int, int]) -> list[int]:
    """Return a process and all processes below it.

    >>> descendants(2, {2: 1, 3: 2, 5: 3, 4: 1})
    [2, 3, 5]
    """
    found = [pid]
    for each in found:
        found += sorted(child for child, of in parent.items() if of == each)
    return found


def pss_mb(rollup: str) -> float:
    """Return the proportional set size in the text of `/proc/PID/smaps_rollup`, in MB.

    >>> pss_mb("Pss:    2048 kB")
    2.0
    """
    return next((int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0.0)


def largest(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Return the larger value of each name."""
    return {name: max(first.get(name, 0.0), value) for name, value in second.items()}


def settings(options: argparse.Namespace) -> str:
    """Return the settings of the trainings as TOML."""
    spark = {"part_events": options.part_events, "driver_memory_mb": options.memory_mb}
    spark["sample_events"] = options.sample_events
    lines = [f"{name} = {value}" for name, value in spark.items()]
    return ("" if options.learn else NOTHING_LEARNED) + "\n".join(["[spark]", *lines]) + "\n"


def train(engine: str, n_events: int, folder: Path, master: str) -> Point:
    """Train on the tables in `folder/data`; the bundle is removed."""
    models = folder / f"models-{engine}"
    line = [sys.executable, "-c", TRAIN, "train", "--data", str(folder / "data"), "--models", str(models), "--json"]
    line += ["--config", str(folder / "settings.toml"), "--engine", engine]
    line += ["--master", master] if engine == "spark" else []
    output, used = run(line, folder / f"{engine}.log", models)
    shutil.rmtree(models)
    return Point(engine, n_events, used, json.loads(output)["seconds"])


def results(points: Sequence[Point]) -> Iterator[Result]:
    """Return the time and memory of every training, its stages, and the exponents of each engine."""
    for point in points:
        name = f"{point.engine}, {point.n_events:,} events"
        memory = {f"{kind}, MB": value for kind, value in point.used.memory_mb.items()}
        time_s = {"s": point.used.seconds, "processor, s": point.used.processor_s}
        yield Result("training", name, {**time_s, **memory, "disk, MB": point.used.disk_mb})
        yield Result("stages, s", name, dict(point.stages))
    for engine in dict.fromkeys(point.engine for point in points):
        along = [point for point in points if point.engine == engine]
        if len(along) > 1:
            sizes = [point.n_events for point in along]
            values = {
                "s": [point.used.seconds for point in along],
                "processor, s": [point.used.processor_s for point in along],
                "all, MB": [point.used.memory_mb["all"] for point in along],
            }
            yield Result("exponents", engine, {name: exponent(sizes, found) for name, found in values.items()})


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes, the engines and the settings of Spark."""
    parser.add_argument("--events", type=parse_sizes, default=parse_sizes("5e6,2e7"), help="sizes, default 5e6,2e7")
    parser.add_argument("--engines", default="spark,local", help="in this order, default spark,local")
    parser.add_argument("--folder", type=Path, required=True, help="new folder for tables, logs and bundles")
    parser.add_argument("--master", default="local[2]", help="URL of the Spark master, default local[2]")
    for name, default in (("part-events", 500_000), ("sample-events", 3_000_000), ("memory-mb", 4096)):
        parser.add_argument(f"--{name}", type=lambda text: int(float(text)), default=default)
    parser.add_argument("--learn", action="store_true", help="learn rankers, weights and settings too")


def measure(options: argparse.Namespace) -> list[Result]:
    """Generate each shop, and train on it with each engine."""
    folder, points = options.folder, []
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.toml").write_text(settings(options), encoding="utf-8")
    for n_events in options.events:
        shape = {"events": n_events, "items": n_events // EVENTS_PER_ITEM, "users": n_events // EVENTS_PER_USER}
        line = [sys.executable, "-m", "benchmarks.generated_shop", "--by-day", "--out", str(folder / "data")]
        line += [text for name, count in shape.items() for text in (f"--{name}", str(count))]
        _, used = run(line, folder / "generate.log", folder / "data")
        print(f"{n_events:,} events: generated in {used.seconds:.0f} s, {used.memory_mb['all']:.0f} MB", flush=True)
        for engine in options.engines.split(","):
            points.append(train(engine, n_events, folder, options.master))
            used = points[-1].used
            print(f"{engine}: {used.seconds:.0f} s, {used.memory_mb['all']:.0f} MB", flush=True)
        shutil.rmtree(folder / "data")
    return list(results(points))


if __name__ == "__main__":
    command("benchmarks.spark_size", __doc__, [add_options], measure, HISTORY)
