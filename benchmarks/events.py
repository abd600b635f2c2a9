"""Durable events per second, as ratios to the disk's own rate of syncs measured in the same run.

    python -m benchmarks.events --json events.json

The baseline appends one page to a file and calls `fdatasync`, the least that a durable log can do. A ratio of 1 is one
batch per sync. Rounds are interleaved, so that a busy disk affects all subjects alike. `callers` are threads that each
append one event and wait, as concurrent requests do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry

PAGE = b"x" * 4096
BATCHES = (1, 100, 1000)
CALLERS = 64
FILL_BATCH = 5000
VERSION_CALLS = 20_000


@dataclass
class EventWriter:
    """One way to store events.

    Attributes:
        name: name in the report.
        batch: events that one sync can make durable.
        run: stores about as many syncs' worth of events as its argument; returns the number of events and the seconds.
        rates: events per second of each round.
    """

    name: str
    batch: int
    run: Callable[[int], tuple[int, float]]
    rates: list[float] = field(default_factory=list)


def make_event(randomness: random.Random) -> LogEntry:
    """Return an event with a random id."""
    key = str(UUID(int=randomness.getrandbits(128), version=4))
    body = {
        "event_id": key,
        "event": "view_item",
        "item_id": f"item-{randomness.randrange(20_000)}",
        "user_id": f"user-{randomness.randrange(200_000)}",
        "session_id": f"session-{randomness.randrange(10**9)}",
        "timestamp": "2024-05-01T10:00:00.000000+00:00",
        "price": 19.9,
        "currency": "CNY",
    }
    return LogEntry("event", key, 1714557600.0, 1714557600.5, body)


def syncs(folder: Path, count: int) -> tuple[int, float]:
    """Append pages to a file and sync each."""
    descriptor = os.open(folder / "syncs", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    started = time.perf_counter()
    for _ in range(count):
        os.write(descriptor, PAGE)
        os.fdatasync(descriptor)
    took = time.perf_counter() - started
    os.close(descriptor)
    return count, took


def batches(store: SqliteStore, randomness: random.Random, batch: int, count: int) -> tuple[int, float]:
    """Append batches one after the other, from one caller."""
    made = [[make_event(randomness) for _ in range(batch)] for _ in range(count)]
    started = time.perf_counter()
    outcomes = [outcome for entries in made for outcome in store.append(entries)]
    took = time.perf_counter() - started
    assert set(outcomes) == {"stored"}
    return len(outcomes), took


def callers(store: SqliteStore, randomness: random.Random, count: int) -> tuple[int, float]:
    """Append single events from many threads concurrently."""
    made = [[make_event(randomness)] for _ in range(count * CALLERS)]
    with ThreadPoolExecutor(CALLERS) as pool:
        started = time.perf_counter()
        outcomes = [outcome for (outcome,) in pool.map(store.append, made)]
        took = time.perf_counter() - started
    assert set(outcomes) == {"stored"}
    return len(outcomes), took


def subjects(folder: Path, store: SqliteStore, randomness: random.Random) -> list[EventWriter]:
    """Return the subjects, the baseline first."""
    return [
        EventWriter("fdatasync of a page", 1, partial(syncs, folder)),
        *(EventWriter(f"batches of {batch}", batch, partial(batches, store, randomness, batch)) for batch in BATCHES),
        EventWriter(f"{CALLERS} callers", CALLERS, partial(callers, store, randomness)),
    ]


def measure(ways: list[EventWriter], rounds: int, count: int) -> None:
    """Measure the subjects in interleaved rounds; the first round warms up and does not count."""
    for round_number in range(rounds + 1):
        for way in ways:
            events, took = way.run(count if round_number else max(count // 10, 1))
            if round_number:
                way.rates.append(events / took)


def report(ways: list[EventWriter]) -> dict[str, dict[str, float]]:
    """Compute events per second and their ratio to batch × syncs per second: medians over rounds, and extremes."""
    results = {}
    for way in ways:
        ratios = [rate / way.batch / base for rate, base in zip(way.rates, ways[0].rates, strict=True)]
        results[way.name] = {
            "events_per_s": statistics.median(way.rates),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return results


def version_us(store: SqliteStore) -> float:
    """Measure the time of one check for new entries, in microseconds."""
    started = time.perf_counter()
    for _ in range(VERSION_CALLS):
        store.version()
    return (time.perf_counter() - started) / VERSION_CALLS * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; a temporary one by default")
    parser.add_argument("--syncs", type=int, default=100, help="batches, or syncs, a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=0, help="events in the store before the first round")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, randomness = Path(name), random.Random(0)
        store = SqliteStore(folder / "events.db")
        for _ in range(options.events // FILL_BATCH):
            batches(store, randomness, FILL_BATCH, 1)
        ways = subjects(folder, store, randomness)
        measure(ways, options.rounds, options.syncs)
        results = report(ways) | {"version": {"us": version_us(store)}}
        store.close()
    print(f"{'':22}{'events/s':>12}{'ratio':>9}{'min':>9}{'max':>9}")
    for way in ways:
        events_per_s, ratio, least, most = results[way.name].values()
        print(f"{way.name:22}{events_per_s:>12.0f}{ratio:>9.2f}{least:>9.2f}{most:>9.2f}")
    print(f"a look whether anything is new: {results['version']['us']:.1f} µs")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
