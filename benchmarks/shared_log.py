"""The live log and state in PostgreSQL: events per second, the way of a change to another server, and kills.

    python -m benchmarks.shared_log --models models --json shared-log.json

It starts a PostgreSQL server of its own, with the default durability, and removes it.

- **append**: events per second of one writer that sends batches one after the other, and of two processes at once. The
  processor time of writer and database is measured too, as another load on the machine changes only the rate.
- **visible**: two servers of this project; a new user sends an event to one, and asks the other for a list until it is
  personal. Another caller sends batches of events meanwhile.
- **state**: two such servers without a file of the shop; one gets other placements, the other is asked for a list until
  it has them. Half-way the database is killed: both must go on with the placements that they have.
- **kills**: processes that append are killed, and then the database; acknowledged events that are not in the log are
  lost.
"""

from __future__ import annotations

import argparse
import itertools
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.events import make_event
from benchmarks.postgres_server import PostgresServer
from benchmarks.results import Result, command
from benchmarks.server import benchmark_server
from benchmarks.torture.callers import PER_CALL, call
from recsys.core.documents import KEYS
from recsys.eventlog.opening import open_documents
from recsys.eventlog.postgres.store import PostgresStore
from recsys.eventlog.store import READ_BATCH, read_entries
from serving.runtime.auth import change_keys, new_key

PART: Final = "shared log"
HISTORY: Final = Path(__file__).parent / "history" / "shared-log.jsonl"
BATCH: Final = 1000
POLL_S: Final = 0.005
OTHERS_S: Final = 0.1
"""Pause between the batches of other users while the way of an event is measured."""

GIVEN_UP_S: Final = 30.0
LIMITS: Final = tuple(range(1, 21))
"""Numbers of items of a list, each of another version of the placements."""

WRITE: Final = """
import random, sys, time
from benchmarks.events import make_event
from recsys.eventlog.postgres.store import PostgresStore

url, seed, n_batches, size = sys.argv[1], *map(int, sys.argv[2:])
randomness, store = random.Random(seed), PostgresStore(url)
batches = [[make_event(randomness) for _ in range(size)] for _ in range(n_batches)]
print("ready", flush=True)
sys.stdin.readline()
for batch in batches:
    outcomes = store.append(batch)
    assert set(outcomes) == {"stored"}
    print(*(entry.key for entry in batch) if size < 1000 else "", flush=True)
store.close()
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--only", choices=["append", "visible", "state", "kills"], action="append", help="parts to measure"
    )
    parser.add_argument("--batches", type=int, default=100, help=f"batches of {BATCH} events per writer")
    parser.add_argument("--events", type=int, default=200, help="events whose way to the other server is measured")
    parser.add_argument("--changes", type=int, default=200, help="changes of placements, of which the same is measured")
    parser.add_argument("--kills", type=int, default=10, help="kills, of writers and of the database in turn")


def measure(options: argparse.Namespace) -> list[Result]:
    """Measure all parts with one database."""
    parts = {
        "append": lambda database: append(database, options.batches),
        "visible": lambda database: visible(database, options.models, options.events),
        "state": lambda database: state(database, options.models, options.changes),
        "kills": lambda database: kills(database, options.kills),
    }
    with PostgresServer() as database:
        return [result for name in options.only or parts for result in parts[name](database)]


def append(database: PostgresServer, n_batches: int) -> Iterator[Result]:
    """Measure events per second."""
    randomness = random.Random(0)
    batches = [[make_event(randomness) for _ in range(BATCH)] for _ in range(n_batches + n_batches // 10)]
    with closing(PostgresStore(database.schema("append"))) as store:
        for batch in batches[n_batches:]:  # warms up
            store.append(batch)
        cpu_s, started, used_s = database.cpu_s(), time.perf_counter(), time.process_time()
        for batch in batches[:n_batches]:
            store.append(batch)
        took = time.perf_counter() - started
        n = n_batches * BATCH
        values = {
            "events_per_s": n / took,
            "writer_us": (time.process_time() - used_s) / n * 1e6,
            "database_us": (database.cpu_s() - cpu_s) / n * 1e6,
        }
    yield Result(PART, "append, one writer", values, {"events_per_s": (">=", 20_000)})
    writers = [_writer(database.schema("append"), seed, n_batches, BATCH) for seed in (1, 2)]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    started = time.perf_counter()
    for writer in writers:
        writer.communicate("go\n")
    took = time.perf_counter() - started
    assert [writer.returncode for writer in writers] == [0, 0]
    yield Result(PART, "append, two processes", {"events_per_s": 2 * n_batches * BATCH / took})


def visible(database: PostgresServer, models: Path, n_events: int) -> Iterator[Result]:
    """Measure the time from the acknowledgement of an event to a list of another server with it."""
    log, body = database.schema("visible"), {"placement": "for_you", "limit": 5}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        one, two = (
            stack.enter_context(
                benchmark_server("--models", models, "--store", log, "--clock", "wall", log=folder / f"{name}.log")
            )
            for name in ("one", "two")
        )
        _, listed = call(one.port, "POST", "/v1/recommendations", {"placement": "popular", "limit": 1})
        item_id = listed["items"][0]["item_id"]
        is_over = threading.Event()
        others = threading.Thread(target=_send_others, args=(one.port, item_id, is_over))
        others.start()
        try:
            seconds = [_seconds_until_seen(one.port, two.port, f"new-{n}", item_id, body) for n in range(n_events)]
        finally:
            is_over.set()
            others.join()
    yield Result(PART, "visible on the other server", _times(seconds, "events"), {"p99_ms": ("<=", 1000)})


def _send_others(port: int, item_id: str, is_over: threading.Event) -> None:
    """Send batches of events of other users."""
    for number in itertools.count():
        if is_over.wait(OTHERS_S):
            return
        events = [
            {"event_id": f"other-{number}-{n}", "event": "view_item", "item_id": item_id, "user_id": f"other-{number}"}
            for n in range(PER_CALL)
        ]
        call(port, "POST", "/v1/events", {"events": events})


def _seconds_until_seen(one: int, two: int, user_id: str, item_id: str, body: dict[str, object]) -> float:
    event = {"event_id": user_id, "event": "purchase", "item_id": item_id, "user_id": user_id}
    status, _ = call(one, "POST", "/v1/events", {"events": [event]})
    assert status == 200
    started = time.perf_counter()
    while time.perf_counter() < started + GIVEN_UP_S:
        _, listed = call(two, "POST", "/v1/recommendations", {**body, "user_id": user_id})
        if not listed["fallback_used"]:
            break
        time.sleep(POLL_S)
    return time.perf_counter() - started


def state(database: PostgresServer, models: Path, n_changes: int) -> Iterator[Result]:
    """Measure the time from a change of placements to a list of another server by them, and lose the database."""
    log = database.schema("state")
    key, secret = new_key("benchmark", ("admin",), datetime.now(UTC))
    with closing(open_documents(log)) as documents:
        change_keys(documents / KEYS, lambda known: (*known, key))
    headers = {"X-API-Key": secret, "If-Match": "*"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        words = ("--models", models, "--store", log, "--state", "database", "--clock", "wall")
        ports = [
            stack.enter_context(benchmark_server(*words, log=folder / f"{name}.log")).port for name in ("one", "two")
        ]
        first = [_seconds_until_listed(ports, n, headers) for n in range(n_changes // 2)]
        present = LIMITS[(n_changes // 2 - 1) % len(LIMITS)]
        while {_n_listed(port, headers) for port in ports} != {present}:
            time.sleep(POLL_S)
        database.stop(signal.SIGKILL)
        refused, _ = _put_limit(ports[0], LIMITS[-1], headers)
        kept = [_n_listed(port, headers) == present for port in ports for _ in range(50)]
        database.start()
        started = time.perf_counter()
        while _put_limit(ports[0], LIMITS[-1], headers)[0] != 200 and time.perf_counter() < started + GIVEN_UP_S:
            time.sleep(POLL_S)
        recovered_s = time.perf_counter() - started
        later = [_seconds_until_listed(ports, n, headers) for n in range(n_changes - len(first))]
    yield Result(PART, "placements on the other server", _times(first + later, "changes"), {"p99_ms": ("<=", 1000)})
    values = {"refused": float(refused), "lists_kept": statistics.mean(kept), "recovered_ms": recovered_s * 1000}
    yield Result(PART, "placements without the database", values, {"refused": (">=", 503), "lists_kept": (">=", 1)})


def _seconds_until_listed(ports: list[int], number: int, headers: Mapping[str, str]) -> float:
    """Change the placements at one server; return how long the other one needs for a list by them."""
    limit, (one, two) = LIMITS[number % len(LIMITS)], ports[:: 1 if number % 2 else -1]
    status, answer = _put_limit(one, limit, headers)
    started = time.perf_counter()
    assert status == 200, answer
    while _n_listed(two, headers) != limit and time.perf_counter() < started + GIVEN_UP_S:
        time.sleep(POLL_S)
    return time.perf_counter() - started


def _put_limit(port: int, limit: int, headers: Mapping[str, str]) -> tuple[int, object]:
    toml = f'[placements.mine]\nextends = "popular"\nlimit = {limit}\n'
    return call(port, "PUT", "/v1/placements", {"toml": toml}, headers)


def _n_listed(port: int, headers: Mapping[str, str]) -> int:
    """Return the number of items of the list; 0 while there is no such list."""
    _, listed = call(port, "POST", "/v1/recommendations", {"placement": "mine"}, headers)
    return len(listed.get("items", ()))


def _times(seconds: list[float], what: str) -> dict[str, float]:
    return {
        what: float(len(seconds)),
        "p50_ms": statistics.median(seconds) * 1000,
        "p99_ms": statistics.quantiles(seconds, n=100)[98] * 1000,
    }


def kills(database: PostgresServer, n_kills: int) -> Iterator[Result]:
    """Kill writers and the database in turn, and count what was acknowledged and is lost."""
    log, acknowledged = database.schema("kills"), set[str]()
    for number in range(n_kills):
        writers = [_writer(log, 100 + 2 * number + n, 100_000 // BATCH * 10, 20) for n in range(2)]
        threads = [threading.Thread(target=_collect, args=(writer, acknowledged)) for writer in writers]
        for writer, thread in zip(writers, threads, strict=True):
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
            thread.start()
        before = len(acknowledged)
        while len(acknowledged) < before + 200 and any(writer.poll() is None for writer in writers):
            time.sleep(0.01)
        if number % 2:
            database.stop(signal.SIGKILL)
        for writer in writers:
            writer.kill()
        for writer, thread in zip(writers, threads, strict=True):
            thread.join()
            writer.wait()
        if database.is_stopped:
            database.start()
    with closing(PostgresStore(log)) as store:
        stored = [each.entry.key or "" for part in read_entries(store, READ_BATCH) for each in part]
    values = {
        "kills": float(n_kills),
        "acknowledged": float(len(acknowledged)),
        "lost": float(len(acknowledged - set(stored))),
        "doubled": float(len(stored) - len(set(stored))),
    }
    yield Result(PART, "kills", values, {"lost": ("<=", 0), "doubled": ("<=", 0)})


def _writer(url: str, seed: int, n_batches: int, size: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITE, url, *map(str, (seed, n_batches, size))]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _collect(writer: subprocess.Popen[str], acknowledged: set[str]) -> None:
    """Note the ids of whole lines: a kill may cut the last one."""
    assert writer.stdout is not None
    assert writer.stdin is not None
    for line in writer.stdout:
        if line.endswith("\n") and line != "ready\n":
            acknowledged.update(line.split())
    writer.stdout.close()
    writer.stdin.close()


if __name__ == "__main__":
    command("benchmarks.shared_log", __doc__, [add_options], measure, HISTORY)
