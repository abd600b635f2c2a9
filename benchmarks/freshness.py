"""Time until an event shows in a list, with two worker processes and a concurrent load of other requests.

    python -m benchmarks.freshness --models models --json freshness.json

A new user sends an event, and the user's list is requested on new connections until both workers return it with the
event applied. `acknowledged` is the duration of the call that sends the event, `effect` the time from sending it until
the last worker's list has it. Every list requested after the acknowledgement without the event counts as stale. The
baseline is the same list with no new event, under the same load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from benchmarks.server import benchmark_server
from benchmarks.server_process import HOST
from recsys.pipeline.recommender import Recommender

N_WORKERS = 2
ASKED_AT_ONCE = 4
GIVEN_UP_MS = 20_000


@dataclass
class Latencies:
    """Measured times, in ms.

    Attributes:
        acknowledged: from sending a change to its acknowledgement.
        effect: from sending it until the last worker's list has it.
        baseline: a list with no new change.
        stale: lists requested after an acknowledgement that do not have the change.
        asked: lists requested after an acknowledgement.
    """

    acknowledged: list[float] = field(default_factory=list)
    effect: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)
    stale: int = 0
    asked: int = 0

    def summary(self) -> dict[str, float]:
        """Return medians, 99th percentiles and counts."""
        summary: dict[str, float] = {"stale": self.stale, "asked": self.asked}
        for name in ("acknowledged", "effect", "baseline"):
            values = getattr(self, name)
            summary[f"{name}_p50_ms"] = statistics.median(values)
            summary[f"{name}_p99_ms"] = statistics.quantiles(values, n=100)[98]
        return summary


async def call(port: int, method: str, path: str, body: object = None) -> dict[str, object]:
    """Send one request on a connection of its own, so that either worker may accept it, and return the JSON body."""
    content = b"" if body is None else json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(HOST, port)
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {len(content)}\r\n"
    kind = "Content-Type: application/json\r\n" if content else ""
    writer.write(f"{head}{kind}\r\n".encode() + content)
    answer = await reader.read()
    writer.close()
    status, _, rest = answer.partition(b"\r\n")
    document: dict[str, object] = json.loads(rest.partition(b"\r\n\r\n")[2] or b"{}")
    if status.split()[1] != b"200":
        raise RuntimeError(f"{method} {path}: {status.decode()}: {document}")
    return document


@dataclass(frozen=True)
class Change:
    """A change that is sent to the server.

    Attributes:
        method, path, body: the call that sends it.
        asked: path of a list that must contain it.
        known: text of the list's JSON once it does.
    """

    method: str
    path: str
    body: object
    asked: str
    known: str


async def probe(port: int, latencies: Latencies, change: Change) -> None:
    """Send a change, and request the list until every worker has it."""
    started = time.perf_counter()
    await call(port, "GET", change.asked)
    latencies.baseline.append((time.perf_counter() - started) * 1e3)
    started = time.perf_counter()
    await call(port, change.method, change.path, change.body)
    latencies.acknowledged.append((time.perf_counter() - started) * 1e3)
    knowing: set[str] = set()
    while len(knowing) < N_WORKERS:
        if (time.perf_counter() - started) * 1e3 > GIVEN_UP_MS:
            raise RuntimeError(f"a worker does not know of {change}")
        # Several at once: one at a time would nearly always be taken by the same worker.
        for answer in await asyncio.gather(*(call(port, "GET", change.asked) for _ in range(ASKED_AT_ONCE))):
            latencies.asked += 1
            if change.known in json.dumps(answer, ensure_ascii=False):
                knowing.add(str(answer["recommendation_id"]).rpartition("-")[0])
            else:
                latencies.stale += 1
    latencies.effect.append((time.perf_counter() - started) * 1e3)


def events(item_id: str, count: int) -> Iterator[Change]:
    """Yield new users who buy one item."""
    for number in range(count):
        user_id = f"probe-{number}"
        event = {"user_id": user_id, "item_id": item_id, "event": "purchase"}
        asked = f"/v1/users/{user_id}/recommendations?placement=for_you&limit=100"
        yield Change("POST", "/v1/events", {"events": [event]}, asked, '"fallback_used": false')


def cold_items(item_id: str, like: dict[str, object], count: int) -> Iterator[Change]:
    """Yield new items that resemble an existing one."""
    asked = f"/v1/items/{quote(item_id, safe='')}/recommendations?placement=similar&limit=100"
    for number in range(count):
        yield Change("PUT", f"/v1/items/probe-{number}", like, asked, f'"probe-{number}"')


async def load(port: int, paths: list[str], rate: float, until: asyncio.Event) -> int:
    """Send other requests at a steady rate, and return how many were answered."""
    answered, tasks = 0, set[asyncio.Task[dict[str, object]]]()
    started, sent = time.perf_counter(), 0
    while not until.is_set():
        await asyncio.sleep(max(0.0, started + sent / rate - time.perf_counter()))
        task = asyncio.create_task(call(port, "GET", paths[sent % len(paths)]))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        sent += 1
        answered += 1
    await asyncio.gather(*tasks)
    return answered


async def measure(
    port: int, changes: dict[str, list[Change]], paths: list[str], rate: float
) -> dict[str, dict[str, float]]:
    """Measure each kind of change, under load."""
    results = {}
    for name, each in changes.items():
        latencies, done = Latencies(), asyncio.Event()
        started = time.perf_counter()
        background = asyncio.create_task(load(port, paths, rate, done))
        await asyncio.sleep(1)
        for change in each:
            await probe(port, latencies, change)
        done.set()
        answered = await background
        results[name] = latencies.summary() | {"load_rps": answered / (time.perf_counter() - started)}
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--count", type=int, default=300, help="events; a fifth as many new items")
    parser.add_argument("--rate", type=float, default=50, help="other requests a second")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    recommender = Recommender.open(options.models)
    engine = recommender.engine
    item = engine.items_table.row(int(engine.by_popularity[0]), named=True)
    like = {name: item[name] for name in ("title", "category", "tags", "brand") if item[name] is not None}
    changes = {
        "event": list(events(item["item_id"], options.count)),
        "new item": list(cold_items(item["item_id"], like, max(options.count // 5, 2))),
    }
    users = engine.users.ids[:: max(1, len(engine.users) // 200)]
    paths = [f"/v1/users/{quote(user_id, safe='')}/recommendations?placement=for_you" for user_id in users]
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "store.sqlite"
        with benchmark_server("--models", options.models, "--store", store, "--workers", N_WORKERS) as server:
            results = asyncio.run(measure(server.port, changes, paths, options.rate))
    for name, values in results.items():
        print(name)
        for what, value in values.items():
            print(f"  {what:22}{value:>10.1f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
