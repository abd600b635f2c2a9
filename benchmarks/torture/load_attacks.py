"""Attacks by load: swaps of bundles, more callers than the server can answer, and a soak."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Final
from urllib.parse import quote

import uvloop

from benchmarks import swap
from benchmarks.load import Supply, ask_all, get, post, status_of
from benchmarks.server_process import ServerProcess
from benchmarks.torture.attack import Arena, Outcome, rounds, tracebacks

ACCEPTABLE: Final = {200, 503}
MAX_GROWTH: Final = 0.02
MIN_SOAK_S: Final = 90
"""Shorter soaks do not show whether memory is flat."""
MB: Final = 1 << 20


class StatusSupply(Supply):
    """A supply that counts responses by status."""

    def __init__(self, requests: list[bytes], count: int) -> None:
        super().__init__(requests, count)
        self.statuses: Counter[int] = Counter()

    def answered(self, response: bytes, seconds: float) -> None:
        """Record a response."""
        super().answered(response, seconds)
        self.statuses[int(response[9:12])] += 1


def swaps(arena: Arena, seconds: float) -> Outcome:
    """Swap bundles under load: no request fails, and none has two versions."""
    models = arena.room("swaps") / "models"
    shutil.copytree(arena.models, models)
    requests = failed = mixed = served = 0
    for _ in rounds(seconds):
        options = argparse.Namespace(models=models, swap_requests=5_000, swaps=2, swap_servers=[1])
        (found,) = swap.measure(options)
        requests += int(found.values["requests"])
        failed += int(found.values["failed"])
        mixed += int(found.values["mixed"])
        served += int(found.values["swaps"])
    return Outcome("requests over swaps", requests, requests, mixed, failed, f"{served} swaps")


def overload(arena: Arena, seconds: float) -> Outcome:
    """Send more than the server can answer: each response is a list or a 503, and health answers meanwhile."""
    room = arena.room("overload")
    requests = [get(f"/v1/users/{quote(user, safe='')}/recommendations?limit=10") for user in arena.users]
    statuses: Counter[int] = Counter()
    lost, slowest = 0, 0.0
    with arena.server(room, "--workers", 2) as server:
        for number in rounds(seconds):
            connections = (64, 256, 1_000)[number % 3]
            supply = StatusSupply(requests, connections * 3)
            slowest = max(slowest, uvloop.run(_health_during(server.port, supply, connections)))
            statuses += supply.statuses
            lost += connections * 3 - sum(supply.statuses.values())
        recovers = status_of(server.port, requests[0]) == 200
    wrong = sum(count for status, count in statuses.items() if status not in ACCEPTABLE)
    failed = wrong + tracebacks(room / "log") + (not recovers)
    note = f"{statuses[503]:,} times 503, slowest health check {slowest:.1f} s"
    return Outcome("requests in overload", statuses.total() + lost, statuses.total() + lost, lost, failed, note)


async def _health_during(port: int, supply: Supply, connections: int) -> float:
    """Send all requests, and return the seconds of the slowest health check meanwhile."""
    asking, slowest = asyncio.create_task(ask_all(port, supply, connections)), 0.0
    while not asking.done():
        started = time.perf_counter()
        await asyncio.to_thread(status_of, port, get("/health/live"))
        slowest = max(slowest, time.perf_counter() - started)
        await asyncio.sleep(0.1)
    await asking
    return slowest


def soak(arena: Arena, seconds: float) -> Outcome:
    """Send a steady mix of lists and events: memory and descriptors stay flat in the last half."""
    room = arena.room("soak")
    users = [quote(user, safe="") for user in arena.users]
    lists = [get(f"/v1/users/{user}/recommendations?limit=10") for user in users]
    event = {"event": "view_item", "item_id": arena.items[0], "user_id": arena.users[0]}
    requests = [*lists, *[get(f"/v1/items/{quote(item, safe='')}/recommendations") for item in arena.items]]
    requests += [post("/v1/events", {"events": [event]})] * 50
    memory, descriptors, tries, failed = [], [], 0, 0
    with arena.server(room) as server:
        for _ in rounds(seconds):
            supply = StatusSupply(requests, len(requests))
            uvloop.run(ask_all(server.port, supply, 8))
            tries += supply.statuses.total()
            failed += supply.failed
            memory.append(private_bytes(server))
            descriptors.append(open_files(server))
    half = len(memory) // 2
    growth = max(memory[half:]) / memory[half] - 1
    if seconds < MIN_SOAK_S:
        return Outcome("requests of a soak", tries, len(memory), 0, failed, f"{memory[-1] / MB:.0f} MB, not judged")
    failed += (growth > MAX_GROWTH) + (max(descriptors[half:]) > max(descriptors[1:half]))
    note = f"{memory[-1] / MB:.0f} MB, {growth:+.1%} in the last half, {descriptors[-1]} descriptors"
    return Outcome("requests of a soak", tries, len(memory), 0, failed, note)


def private_bytes(server: ServerProcess) -> int:
    """Return the memory that a server and its workers do not share with others."""
    kilobytes = 0
    for pid in server.pids():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return kilobytes << 10


def open_files(server: ServerProcess) -> int:
    """Return the number of descriptors that a server and its workers have open."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in server.pids())
