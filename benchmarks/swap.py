"""Bundles exchanged under load: number of failed requests, and of responses that mix two versions.

    python -m benchmarks.swap --models models --json swap.json

A copy of the current bundle is stored under another name. `activate` switches between the two, as a training job or an
operator does, while related items are requested without a pause. The baseline is the same load without switches. With
several servers of one folder, each follows for itself: `two_versions_s` is the longest time from the first that served
a version to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvloop

from benchmarks.load import Supply, ask_all, get, once
from benchmarks.results import Goals, Result, command
from benchmarks.server import benchmark_server
from recsys.bundles.bundle import MANIFEST, SEAL
from recsys.bundles.registry import activate, current_version
from recsys.pipeline.recommender import Recommender

CONNECTIONS = 16
BETWEEN_S = 0.2
VERSION = b'"model_version":"'


def twins(models: Path, folder: Path) -> tuple[str, str]:
    """Copy the current bundle under another name, and return both names."""
    version = current_version(models)
    if version is None:
        raise SystemExit(f"{models} has no current bundle")
    other = f"{version}-twin"
    for name in (version, other):
        shutil.copytree(models / version, folder / name)
    manifest = folder / other / MANIFEST
    document = json.loads(manifest.read_text(encoding="utf-8")) | {"version": other}
    del document[SEAL]
    document[SEAL] = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    manifest.write_text(json.dumps(document), encoding="utf-8")
    activate(folder, version)
    return version, other


@dataclass
class Swaps:
    """Switches between two bundles, and how many took effect.

    Attributes:
        folder: of the bundles.
        versions: their names; the first one is active.
        served: number of switches that took effect.
        two_versions_s: the longest time during which servers had different versions, in seconds.
    """

    folder: Path
    versions: tuple[str, str]
    served: int = 0
    two_versions_s: float = 0.0

    async def under(self, ports: Sequence[int], supply: Supply) -> None:
        """Switch back and forth while requests remain."""
        asking = asyncio.create_task(ask_servers(ports, supply))
        while not asking.done():
            wanted = self.versions[(self.served + 1) % 2]
            await asyncio.to_thread(activate, self.folder, wanted)
            behind, first = list(ports), 0.0
            while not asking.done() and behind:
                behind = [port for port in behind if await ready(port) != wanted]
                if len(behind) < len(ports):
                    first = first or time.monotonic()
                    self.two_versions_s = max(self.two_versions_s, time.monotonic() - first)
                await asyncio.sleep(BETWEEN_S)
            self.served += not asking.done()
            await asyncio.sleep(BETWEEN_S)
        await asking


async def ask_servers(ports: Sequence[int], supply: Supply) -> None:
    """Send all requests of a supply to some servers, over the same number of connections each."""
    await asyncio.gather(*(ask_all(port, supply, CONNECTIONS // len(ports)) for port in ports))


async def ready(port: int) -> str:
    """Return the version that serves."""
    status: dict[str, str] = json.loads(await asyncio.to_thread(once, port, get("/health/ready")))
    return status["model_version"]


def measure(options: argparse.Namespace) -> list[Result]:
    """Measure one server, and several."""
    return [measured(options, n_servers) for n_servers in options.swap_servers]


def measured(options: argparse.Namespace, n_servers: int) -> Result:
    """Measure the load on some servers with and without switches."""
    engine = Recommender.open(options.models).engine
    items = [quote(engine.items.ids[row], safe="") for row in engine.by_popularity[:200].tolist()]
    requests = [get(f"/v1/items/{item}/recommendations?limit=5") for item in items]
    with tempfile.TemporaryDirectory(dir=options.models) as name:
        folder = Path(name)
        versions = twins(options.models, folder)
        with ExitStack() as stack:
            servers = [stack.enter_context(benchmark_server("--models", folder)) for _ in range(n_servers)]
            ports = [server.port for server in servers]
            still = Supply(requests, max(options.swap_requests // 10, 1), VERSION)
            uvloop.run(ask_servers(ports, still))
            swaps = Swaps(folder, versions)
            moved = Supply(requests, options.swap_requests, VERSION, lambda: swaps.served < options.swaps)
            uvloop.run(swaps.under(ports, moved))
    mixed = sum(len(seen) != 1 for seen in moved.marked)
    unknown = sum(not seen <= {each.encode() for each in versions} for seen in moved.marked)
    still_p99, p99 = (sorted(each.latencies_s)[len(each.latencies_s) * 99 // 100] for each in (still, moved))
    values = {
        "requests": len(moved.latencies_s),
        "swaps": swaps.served,
        "failed": moved.failed + moved.taken - len(moved.latencies_s),
        "mixed": mixed + unknown,
        "slowest_ms": 1000 * max(moved.latencies_s),
        "p99_ratio": p99 / still_p99,
    }
    if n_servers > 1:
        values["two_versions_s"] = swaps.two_versions_s
    name = "swaps under load" if n_servers == 1 else f"swaps under load, {n_servers} servers"
    goals: Goals = {"failed": ("<=", 0), "mixed": ("<=", 0), "swaps": (">=", options.swaps)}
    return Result("swap", name, values, goals)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    parser.add_argument("--swap-requests", type=int, default=100_000)
    parser.add_argument("--swaps", type=int, default=10, help="requests go on until so many took effect")
    parser.add_argument("--swap-servers", type=int, nargs="+", default=[1, 3], help="numbers of servers")


if __name__ == "__main__":
    command("benchmarks.swap", __doc__, [add_options], measure)
