"""Kills of the server, of writers of the live log, and of the jobs, at any moment."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.torture.attack import Arena, Outcome, rounds, tracebacks
from benchmarks.torture.callers import Callers, lost_or_doubled
from recsys.bundles.registry import LIVE_LOG, current_version
from recsys.core.errors import RecsysError
from recsys.pipeline.recommender import Recommender

COMMAND: Final = "from cli.main import main; main()"
WRITER: Final = """
import sys, random
from pathlib import Path
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
store, name, number, chosen = SqliteStore(Path(sys.argv[1])), sys.argv[2], 0, random.Random(sys.argv[2])
while True:
    keys = [f"{name}-{number}-{n}" for n in range(chosen.randrange(1, 40))]
    store.append([LogEntry("event", key, 1.0, 1.0, {"item_id": "tea", "user_id": "u"}) for key in keys])
    print(*keys, flush=True)
    if number % 7 == 0:
        store.append([LogEntry("event", None, 0.0, 0.0, {"user_id": "old"})])
        erase = lambda: store.erase(["old"], 1.0)
        random.choice([lambda: store.delete_before(0.5), erase, store.purge, store.compact])()
    number += 1
"""


def kill_server(arena: Arena, seconds: float) -> Outcome:
    """Kill a server of two workers while four callers send events, again and again over one live log."""
    room = arena.room("kill-server")
    acknowledged: set[str] = set()
    kills = failed = 0
    for number in rounds(seconds):
        with arena.server(room, "--workers", 1 + number % 2) as server:
            callers = Callers(f"k{number}", arena.items[0])
            callers.start(server.port)
            time.sleep(arena.random.uniform(0.2, 2.0))
            server.kill()
            callers.join()
        kills += 1
        acknowledged |= callers.acknowledged
        failed += callers.statuses[500] + tracebacks(room / "log")
    return Outcome(
        "kills of the server", kills, len(acknowledged), lost_or_doubled(acknowledged, room / LIVE_LOG), failed
    )


def kill_store(arena: Arena, seconds: float) -> Outcome:
    """Kill two processes that write one live log, prune, erase and compact it."""
    path = arena.room("kill-store") / LIVE_LOG
    acknowledged: set[str] = set()
    kills = 0
    for number in rounds(seconds):
        words = [[sys.executable, "-c", WRITER, str(path), f"w{number}-{n}"] for n in range(2)]
        writers = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True) for each in words]
        for writer in writers:
            assert writer.stdout is not None
            acknowledged.update(writer.stdout.readline().split())  # it has started
        time.sleep(arena.random.uniform(0.05, 1.0))
        for writer in writers:
            writer.kill()
            out, _ = writer.communicate()
            *whole, _partial = out.split("\n")
            acknowledged.update(key for line in whole for key in line.split())
            kills += 1
    return Outcome("kills of writers of the log", kills, len(acknowledged), lost_or_doubled(acknowledged, path))


def kill_ingest(arena: Arena, seconds: float) -> Outcome:
    """Kill ingests that replace a data set: it is the old one or the new one, whole."""
    room = arena.room("kill-ingest")
    out, sizes = room / "data", (2_000, 3_000)
    for size in sizes:
        _write_events(room / f"{size}.csv", size, arena)
    first = _command("ingest", "--events", room / f"{sizes[0]}.csv", "--out", out)
    _, errors = first.communicate()
    if first.returncode:
        return Outcome("kills of ingest", 1, 1, failed=1, note=errors[-200:])
    took, kills, lost = 3.0, 0, 0
    for number in rounds(seconds):
        job = _command("ingest", "--events", room / f"{sizes[number % 2]}.csv", "--out", out)
        kills += _kill_within(job, arena.random.uniform(0.2, took))
        try:
            lost += pl.read_parquet(out / "events.parquet").height not in sizes or not (out / "dataset.json").is_file()
        except (OSError, pl.exceptions.PolarsError):
            lost += 1
    return Outcome("kills of ingest", kills, number + 1, lost)


def kill_training(arena: Arena, seconds: float) -> Outcome:
    """Kill trainings: the bundle that serves stays whole, and the next training is not locked out."""
    room = arena.room("kill-training")
    data, models = room / "data", room / "models"
    _write_events(room / "events.csv", 2_000, arena)
    for words in (
        ("ingest", "--events", room / "events.csv", "--out", data),
        ("train", "--data", data, "--models", models),
    ):
        job = _command(*words)
        _, errors = job.communicate()
        if job.returncode:
            return Outcome("kills of training", 1, 1, failed=1, note=errors[-200:])
    version, tries, kills, lost = current_version(models), 0, 0, 0
    for _ in rounds(seconds):
        tries += 1
        job = _command("train", "--data", data, "--models", models, "--no-gate")
        kills += _kill_within(job, arena.random.uniform(0.5, 12.0))
        try:
            lost += Recommender.open(models).version is None or current_version(models) is None
        except RecsysError:
            lost += 1
    return Outcome("kills of training", kills, tries, lost, note=f"first bundle {version}")


def _kill_within(job: subprocess.Popen[str], seconds: float) -> bool:
    """Kill a job after some seconds; False if it has ended before."""
    try:
        job.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        job.send_signal(signal.SIGKILL)
        job.communicate()
        return True
    return False


def _command(*words: object) -> subprocess.Popen[str]:
    """Start a `recsys` command."""
    command = [sys.executable, "-c", COMMAND, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _write_events(path: Path, count: int, arena: Arena) -> None:
    """Write purchases of some users on many days."""
    chosen: Callable[[int], int] = arena.random.randrange
    rows = [
        (
            f"u{chosen(60)}",
            f"i{chosen(80)}",
            "purchase",
            f"2024-{1 + chosen(6):02}-{1 + chosen(28):02}T{chosen(24):02}:00:00Z",
            n,
        )
        for n in range(count)
    ]
    names = ("user_id", "item_id", "event", "timestamp", "basket_id")
    pl.DataFrame(rows, names, orient="row").write_csv(path)
