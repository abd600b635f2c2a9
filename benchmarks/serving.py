"""Throughput, latency and processor time of the hot calls, as ratios to a bare FastAPI route with a fixed body.

    python -m benchmarks.serving --models models --json serving.json

The fixed body has the size of a list of related items. Rounds are short and interleaved, because the speed of a
processor changes by half within seconds on shared machines: ratios are the medians of the rounds' own ratios.
`rps_cpu_ratio` compares the requests per second of processor time, which other load affects least. The users of
`for_you` are not in the bundle: they have 50 events each, sent over HTTP.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.event_calls import event_calls
from benchmarks.load import get, load, once, post
from benchmarks.results import Goals, Result, command
from benchmarks.server import benchmark_server
from benchmarks.server_process import ServerProcess
from recsys.pipeline.recommender import Recommender

N_USERS = 200
N_EVENTS = 50
EVENTS_A_CALL = 1000
SAMPLES = 50
SESSION_ITEMS = 10
RETURNING = 10
"""Users whose lists are asked for again and again."""
CONNECTIONS = (1, 16, 64)
BARE = "bare FastAPI, fixed body"
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
    """Requests of one kind over some connections, and their measurements.

    Attributes:
        server: the server that they are sent to.
        requests: returns raw requests, as many as one round needs or fewer.
        connections: number of connections.
        share: share of the number of requests per round.
        n_units: events of one request; processor time is per unit.
        base: the baseline, which is measured right before each round; None for a baseline.
        rps: throughput of each round, in requests per second.
        latencies_s: latency of every request of all rounds, in seconds.
        cpu_us: the server's processor time per unit in each round, in microseconds.
        rps_ratios, rps_cpu_ratios: of each round to the baseline, by time and by processor time.
    """

    server: ServerProcess
    requests: Callable[[int], list[bytes]]
    connections: int
    share: float = 1.0
    n_units: int = 1
    base: ServedCall | None = None
    rps: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    rps_ratios: list[float] = field(default_factory=list)
    rps_cpu_ratios: list[float] = field(default_factory=list)

    def measure(self, n_requests: int, *, counts: bool) -> None:
        """Measure one round, and one of the baseline before it; the first round warms up and does not count."""
        if self.base is not None:
            self.base.measure(n_requests, counts=counts)
        count = max(int(n_requests * self.share), 2 * self.connections)
        requests = self.requests(count)
        load(self.server.port, requests, max(count // 5, 1), self.connections)  # it rested while others were measured
        before = self.server.cpu_s()
        took, latencies_s = load(self.server.port, requests, count, self.connections)
        if not counts:
            return
        self.cpu_us.append(1e6 * (self.server.cpu_s() - before) / count / self.n_units)
        self.rps.append(count / took)
        self.latencies_s += latencies_s
        if self.base is not None:
            self.rps_ratios.append(self.rps[-1] / self.base.rps[-1])
            self.rps_cpu_ratios.append(self.base.cpu_us[-1] / self.cpu_us[-1])

    def summary(self) -> dict[str, float]:
        """Return medians and percentiles, and the medians of the ratios to the baseline."""
        ordered = sorted(self.latencies_s)
        p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
        found = {
            "rps": statistics.median(self.rps),
            "p50_ms": 1000 * p50,
            "p99_ms": 1000 * p99,
            "p99_by_p50": p99 / p50,
            "cpu_us": statistics.median(self.cpu_us),
        }
        if self.base is not None:
            found["rps_ratio"] = statistics.median(self.rps_ratios)
            found["rps_cpu_ratio"] = statistics.median(self.rps_cpu_ratios)
            found["p99_ratio"] = found["p99_ms"] / self.base.summary()["p99_ms"]
        return found


def always(requests: list[bytes]) -> Callable[[int], list[bytes]]:
    """Return a supply of the same requests in each round."""
    return lambda count: requests


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
    """Start the servers and build their requests; the first ones are the baseline, per number of connections."""
    recommender = Recommender.open(options.models)
    engine = recommender.engine
    (folder / "placements.toml").write_text(PLACEMENTS.format(condition=condition(recommender)), encoding="utf-8")
    item_ids = [engine.items.ids[row] for row in engine.by_popularity[: options.ids].tolist()]
    of_items = [get(f"/v1/items/{quote(item, safe='')}/recommendations") for item in item_ids]
    models = ("--models", options.models, "--placements", folder / "placements.toml")
    server = stack.enter_context(benchmark_server(*models, "--store", folder / "a.sqlite"))
    silent = stack.enter_context(benchmark_server(*models, "--store", folder / "b.sqlite", "--impressions", 0))
    no_caches = ("--cache-mb", 0, "--personal-cache-mb", 0)
    uncached = stack.enter_context(benchmark_server(*models, "--store", folder / "c.sqlite", *no_caches))
    size = int(statistics.median(len(once(server.port, request)) for request in of_items[:SAMPLES]))
    bare = stack.enter_context(benchmark_server("--size", size))
    randomness = random.Random(0)
    for events in new_users(recommender, randomness):
        once(server.port, post("/v1/events", {"events": events}))
        once(uncached.port, post("/v1/events", {"events": events}))
    of_users = {
        name: [get(f"/v1/users/bench-{number}/recommendations?placement={name}") for number in range(N_USERS)]
        for name in ("for_you", "without_ranker", "filtered")
    }
    lengths = engine.history.indptr[1:] - engine.history.indptr[:-1]
    known = [quote(engine.users.ids[row], safe="") for row in (-lengths).argsort()[: options.ids].tolist()]
    of_known = [get(f"/v1/users/{user}/recommendations") for user in known]
    sessions = [
        post(
            LISTS, {"placement": "for_you", "item_ids": randomness.sample(item_ids, min(SESSION_ITEMS, len(item_ids)))}
        )
        for _ in range(N_USERS)
    ]

    def calls(n_events: int) -> Callable[[int], list[bytes]]:
        return lambda count: event_calls(item_ids, randomness, count, n_events)

    bases = {n: ServedCall(bare, always([get("/fixed")]), n) for n in CONNECTIONS}

    def served(
        of: ServerProcess, requests: Callable[[int], list[bytes]], n: int = 16, share: float = 1.0, n_units: int = 1
    ) -> ServedCall:
        return ServedCall(of, requests, n, share, n_units, bases[n])

    every = {f"{BARE}, {n}": base for n, base in bases.items()}
    every |= {f"complementary, {n}": served(server, always(of_items), n) for n in CONNECTIONS}
    returning = always(of_users["for_you"][:RETURNING])
    every |= {f"for_you, repeated, {n}": served(server, returning, n) for n in CONNECTIONS}
    every |= {f"for_you, 50 events, {n}": served(uncached, always(of_users["for_you"]), n, 0.1) for n in (16, 64)}
    return every | {
        "complementary, impressions off, 16": served(silent, always(of_items)),
        "complementary, made anew, 16": served(uncached, always(of_items), share=0.5),
        "for_you without ranker, 16": served(uncached, always(of_users["without_ranker"]), share=0.1),
        "for_you with a filter, 16": served(uncached, always(of_users["filtered"]), share=0.1),
        "for_you, longest histories, 16": served(uncached, always(of_known), share=0.1),
        "session of 10 items, 16": served(uncached, always(sessions), share=0.1),
        "single events, 1": served(silent, calls(1), 1, 0.2),
        "single events, 16": served(silent, calls(1), share=0.2),
        "events in batches of 1000, 1": served(silent, calls(EVENTS_A_CALL), 1, 0.001, EVENTS_A_CALL),
    }


GOALS: dict[str, Goals] = {
    "complementary, 1": {"rps_cpu_ratio": (">=", 0.7)},
    "complementary, 16": {"rps_cpu_ratio": (">=", 1.0), "p99_ratio": ("<=", 1.2)},
    "complementary, 64": {"rps_cpu_ratio": (">=", 1.0)},
    "complementary, made anew, 16": {"rps_cpu_ratio": (">=", 0.4)},
    "for_you, 50 events, 16": {"rps_cpu_ratio": (">=", 0.12), "p99_by_p50": ("<=", 3)},
    "for_you, 50 events, 64": {"p99_by_p50": ("<=", 3)},
    "for_you with a filter, 16": {"rps_cpu_ratio": (">=", 0.1)},
    "for_you, longest histories, 16": {"rps_cpu_ratio": (">=", 0.08), "p99_by_p50": ("<=", 3)},
    "session of 10 items, 16": {"rps_cpu_ratio": (">=", 0.15)},
    "single events, 16": {"rps_cpu_ratio": (">=", 0.25)},
    "events in batches of 1000, 1": {"cpu_us": ("<=", 18)},
}


def measure(options: argparse.Namespace) -> list[Result]:
    """Measure all subjects in interleaved rounds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        every = subjects(stack, options, folder)
        for round_number in range(options.rounds + 1):
            for each in every.values():
                if each.base is not None:
                    each.measure(options.requests, counts=round_number > 0)
    return [Result("serving", name, each.summary(), GOALS.get(name, {})) for name, each in every.items()]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    parser.add_argument("--requests", type=int, default=1000, help="a round; a tenth for user lists")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--ids", type=int, default=500, help="different items, and users, that are asked for")


if __name__ == "__main__":
    command("benchmarks.serving", __doc__, [add_options], measure)
