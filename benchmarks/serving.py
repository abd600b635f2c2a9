"""Throughput, latency and processor time of the hot calls, as ratios to a bare FastAPI route with a fixed body.

    python -m benchmarks.serving --models models --json serving.json

The fixed body has the size of a list of related items. Rounds are interleaved, so that other load on the machine
affects all subjects alike. The users of `for_you` are not in the bundle: they have 50 events each, sent over HTTP.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.load import get, load, once, post
from benchmarks.results import Result, command
from benchmarks.server import benchmark_server
from benchmarks.server_process import ServerProcess
from recsys.pipeline.recommender import Recommender

N_USERS = 200
N_EVENTS = 50
EVENTS_A_CALL = 1000
SAMPLES = 50
LISTS = "/v1/recommendations"
PLACEMENTS = """
[placements.without_ranker]
extends = "for_you"
ranker = ""

[placements.filtered]
extends = "for_you"
filter = "{condition}"
"""


@dataclass
class ServedCall:
    """Requests of one kind, and their measurements.

    Attributes:
        server: the server that they are sent to.
        requests: raw requests, sent in round_number.
        share: share of the number of requests per round.
        rps: throughput of each round, in requests per second.
        latencies_s: latency of every request of all rounds, in seconds.
        cpu_s: processor time of the server over all rounds, in seconds.
    """

    server: ServerProcess
    requests: list[bytes]
    share: float = 1.0
    rps: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    def measure(self, count: int, connections: int, *, counts: bool) -> None:
        """Measure one round; the first round warms up and does not count."""
        before = self.server.cpu_s()
        took, latencies_s = load(self.server.port, self.requests, count, connections)
        if counts:
            self.cpu_s += self.server.cpu_s() - before
            self.rps.append(count / took)
            self.latencies_s += latencies_s

    def summary(self) -> dict[str, float]:
        """Return medians and percentiles."""
        ordered = sorted(self.latencies_s)
        return {
            "rps": statistics.median(self.rps),
            "p50_ms": 1000 * ordered[len(ordered) // 2],
            "p99_ms": 1000 * ordered[len(ordered) * 99 // 100],
            "cpu_us": 1e6 * self.cpu_s / len(ordered),
        }


def new_users(recommender: Recommender, randomness: random.Random) -> list[list[dict[str, Any]]]:
    """Return calls with the events of new users, who view and buy popular items."""
    ids = recommender.engine.items.ids
    popular = [ids[row] for row in recommender.engine.by_popularity[:2000].tolist()]
    names = ["view_item"] * 6 + ["add_to_cart"] * 2 + ["purchase"] * 2
    events = [
        {"user_id": f"bench-{number}", "event": randomness.choice(names), "item_id": randomness.choice(popular)}
        for number in range(N_USERS)
        for _ in range(N_EVENTS)
    ]
    return [events[start : start + EVENTS_A_CALL] for start in range(0, len(events), EVENTS_A_CALL)]


def condition(recommender: Recommender) -> str:
    """Return a filter that keeps part of the catalog: the top category of the best-selling item."""
    engine = recommender.engine
    top_item = engine.items_table.row(int(engine.by_popularity[0]), named=True)
    category = top_item.get("category")
    return f"category = '{category[0]}'" if category else "available"


def subjects(stack: ExitStack, options: argparse.Namespace, folder: Path) -> dict[str, ServedCall]:
    """Start the servers and build their requests."""
    recommender = Recommender.open(options.models)
    engine = recommender.engine
    (folder / "placements.toml").write_text(PLACEMENTS.format(condition=condition(recommender)), encoding="utf-8")
    items = [quote(engine.items.ids[row], safe="") for row in engine.by_popularity[: options.ids].tolist()]
    of_items = [get(f"/v1/items/{item}/recommendations") for item in items]
    models = ("--models", options.models, "--placements", folder / "placements.toml")
    server = stack.enter_context(benchmark_server(*models, "--store", folder / "a.sqlite"))
    silent = stack.enter_context(benchmark_server(*models, "--store", folder / "b.sqlite", "--impressions", 0))
    uncached = stack.enter_context(benchmark_server(*models, "--store", folder / "c.sqlite", "--cache-mb", 0))
    size = int(statistics.median(len(once(server.port, request)) for request in of_items[:SAMPLES]))
    bare = stack.enter_context(benchmark_server("--size", size))
    for events in new_users(recommender, random.Random(0)):
        once(server.port, post("/v1/events", {"events": events}))
    users = [f"bench-{number}" for number in range(N_USERS)]
    lengths = engine.history.indptr[1:] - engine.history.indptr[:-1]
    known = [quote(engine.users.ids[row], safe="") for row in (-lengths).argsort()[: options.ids].tolist()]
    of_users = {
        name: [get(f"/v1/users/{user}/recommendations?placement={name}") for user in users]
        for name in ("for_you", "without_ranker", "filtered")
    }
    return {
        "bare FastAPI, fixed body": ServedCall(bare, [get("/fixed")]),
        "complementary": ServedCall(server, of_items),
        "complementary, impressions off": ServedCall(silent, of_items),
        "complementary, no cache": ServedCall(uncached, of_items),
        "for_you, 50 recent events": ServedCall(server, of_users["for_you"], 0.1),
        "for_you without ranker": ServedCall(server, of_users["without_ranker"], 0.1),
        "for_you with a filter": ServedCall(server, of_users["filtered"], 0.1),
        "for_you, longest histories": ServedCall(
            server, [get(f"/v1/users/{user}/recommendations") for user in known], 0.1
        ),
    }


GOALS = {
    "complementary": (("rps_ratio", ">=", 1.0), ("p99_ratio", "<=", 1.2)),
    "for_you, 50 recent events": (("rps_ratio", ">=", 0.04),),
    "for_you without ranker": (("rps_ratio", ">=", 0.10),),
}


def measure(options: argparse.Namespace) -> list[Result]:
    """Measure all subjects in interleaved rounds, and compute the ratios to the first."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        every = subjects(stack, options, folder)
        for round_number in range(options.rounds + 1):
            for each in every.values():
                count = max(int(options.requests * each.share), options.connections)
                count = count if round_number else max(len(each.requests), count // 10)
                each.measure(count, options.connections, counts=round_number > 0)
    summaries = {name: each.summary() for name, each in every.items()}
    base = next(iter(summaries.values()))
    results = []
    for name, each in summaries.items():
        each |= {"rps_ratio": each["rps"] / base["rps"], "p99_ratio": each["p99_ms"] / base["p99_ms"]}
        goals = {value: (sign, goal) for value, sign, goal in GOALS.get(name, ())}
        results.append(Result("serving", name, each, goals))
    return results


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--requests", type=int, default=10_000, help="a round; a tenth for user lists")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ids", type=int, default=500, help="different items, and users, that are asked for")


if __name__ == "__main__":
    command("benchmarks.serving", __doc__, [add_options], measure)
