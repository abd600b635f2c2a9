"""Throughput and latency of the two hot calls, as ratios to a bare FastAPI route with a fixed body of the same size.

    python -m benchmarks.serving --models models --json serving.json

Each contender is its own server process with the same uvicorn settings; rounds are interleaved, so that a busy machine
is busy for all of them alike. The client is this process: keep-alive connections, each with one request in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import uvloop
from fastapi import FastAPI, Response

from recsys.recommender import Recommender
from serving.app import create_app
from serving.server import serve
from serving.settings import Settings

HOST = "127.0.0.1"
BASELINE = "bare FastAPI, fixed body"
START_S = 120
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Contender:
    """One server process and what is asked of it.

    Attributes:
        name: in the report.
        process: the server.
        port: where it listens.
        requests: raw requests, asked in turn.
        rps: throughput of each round.
        latencies_s: of every request of all rounds.
        cpu_s: the server's processor time over all rounds.
    """

    name: str
    process: subprocess.Popen[bytes]
    port: int
    requests: list[bytes]
    rps: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


class Connection(asyncio.Protocol):
    """A keep-alive connection that asks the next request as soon as an answer is whole."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first request."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Go on once the answer is whole."""
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        start = self._buffer.index(b"content-length: ") + 16
        length = int(self._buffer[start : self._buffer.index(b"\r", start)])
        if len(self._buffer) < end + 4 + length:
            return
        self._supply.answered(self._buffer, time.perf_counter() - self._sent)
        self._buffer = b""
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the supply."""
        self._supply.lost(exc)

    def _ask(self) -> None:
        request = self._supply.take()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)


class Supply:
    """Requests still to be asked, and what came of those that were."""

    def __init__(self, requests: list[bytes], count: int) -> None:
        self._requests, self._left, self._open = requests, count, 0
        self.latencies_s: list[float] = []
        self.failed = 0
        self.done = asyncio.Event()

    def take(self) -> bytes | None:
        """The next request, None when there are no more."""
        self._left -= 1
        return self._requests[self._left % len(self._requests)] if self._left >= 0 else None

    def answered(self, response: bytes, seconds: float) -> None:
        """Note an answer."""
        self.latencies_s.append(seconds)
        self.failed += not response.startswith(b"HTTP/1.1 200")

    def opened(self, connections: int) -> None:
        """Note how many connections must end."""
        self._open = connections

    def lost(self, error: Exception | None) -> None:
        """Note the end of a connection."""
        self.failed += error is not None
        self._open -= 1
        if self._open == 0:
            self.done.set()


async def load(port: int, requests: list[bytes], count: int, connections: int) -> tuple[float, list[float]]:
    """Ask `count` requests over some connections; returns the seconds that it took and each latency."""
    supply = Supply(requests, count)
    supply.opened(connections)
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(supply), HOST, port)
    await supply.done.wait()
    took = time.perf_counter() - started
    if supply.failed or len(supply.latencies_s) != count:
        raise SystemExit(f"{supply.failed} of {count} requests failed: the figures would mean nothing")
    return took, supply.latencies_s


def get(path: str) -> bytes:
    """A raw request."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n\r\n".encode()


def launch(name: str, paths: list[str], *arguments: str) -> Contender:
    """Start a server of this file and wait until it is ready."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.serving", "--port", str(port), *arguments])
    contender = Contender(name, process, port, [get(path) for path in paths])
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((HOST, port), timeout=5) as connection:
                connection.sendall(get("/health/ready"))
                if connection.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                    return contender
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"server {name!r} did not get ready")


def run_server(options: argparse.Namespace) -> None:
    """Be one of the servers: of fixed bodies if a size is given, else of the models."""
    settings = Settings(models=options.models, port=options.port, clock="data", cache_mb=options.cache_mb)
    serve(settings, fixed_app(options.size) if options.size else create_app(settings))


def fixed_app(size: int) -> FastAPI:
    """The baseline: what FastAPI does at the least."""
    app = FastAPI()
    body = b"x" * size

    @app.get("/fixed")
    async def fixed() -> Response:
        return Response(body, media_type="application/json")

    @app.get("/health/ready")
    async def ready() -> Response:
        return Response(b"{}")

    return app


def contenders(options: argparse.Namespace) -> list[Contender]:
    """Start all servers, over the best selling items and over users with a history."""
    engine = Recommender.open(options.models).engine
    ids = engine.items.ids
    items = [quote(ids[row], safe="") for row in engine.by_popularity[: options.ids].tolist()]
    lengths = engine.history.indptr[1:] - engine.history.indptr[:-1]
    users = [quote(engine.users.ids[row], safe="") for row in (-lengths).argsort()[: options.ids].tolist()]
    of_items = [f"/v1/items/{item}/recommendations" for item in items]
    of_users = [f"/v1/users/{user}/recommendations" for user in users]
    models = ("--models", str(options.models))
    related = launch("items, complementary", of_items, *models)
    size = median_size(related)
    return [
        launch(BASELINE, ["/fixed"], "--size", str(size), *models),
        related,
        launch("items, complementary, no cache", of_items, *models, "--cache-mb", "0"),
        launch("users, for_you", of_users, *models),
    ]


def median_size(contender: Contender) -> int:
    """Bytes of a typical answer."""
    sizes = []
    for request in contender.requests[:50]:
        with socket.create_connection((HOST, contender.port)) as connection:
            connection.sendall(request.replace(b"Accept: */*", b"Connection: close"))
            response = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            sizes.append(len(response.split(b"\r\n\r\n", 1)[1]))
    return int(statistics.median(sizes))


def measure(every: list[Contender], options: argparse.Namespace) -> None:
    """Interleave the rounds; the first, to warm up, is not counted."""
    for turn in range(options.rounds + 1):
        for contender in every:
            count = options.requests if "for_you" not in contender.name else max(options.requests // 10, 1)
            count = count if turn else max(len(contender.requests), count // 10)
            before = cpu_s(contender.process.pid)
            took, latencies_s = uvloop.run(load(contender.port, contender.requests, count, options.connections))
            if turn:
                contender.cpu_s += cpu_s(contender.process.pid) - before
                contender.rps.append(count / took)
                contender.latencies_s += latencies_s


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def report(every: list[Contender]) -> dict[str, dict[str, float]]:
    """Figures of each contender, and their ratios to the baseline."""
    figures = {}
    for contender in every:
        ordered = sorted(contender.latencies_s)
        figures[contender.name] = {
            "rps": statistics.median(contender.rps),
            "p50_ms": 1000 * ordered[len(ordered) // 2],
            "p99_ms": 1000 * ordered[len(ordered) * 99 // 100],
            "cpu_us": 1e6 * contender.cpu_s / len(ordered),
        }
    baseline = figures[BASELINE]
    for each in figures.values():
        each["rps_ratio"] = each["rps"] / baseline["rps"]
        each["p99_ratio"] = each["p99_ms"] / baseline["p99_ms"]
    return figures


def main() -> None:
    """Measure and print; or, with a port, be a server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--requests", type=int, default=10_000, help="a round; a tenth for user lists")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ids", type=int, default=500, help="different items, and users, that are asked for")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument(
        "--cache-mb", type=int, default=Settings.model_fields["cache_mb"].default, help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.port:
        run_server(options)
        return
    every = contenders(options)
    try:
        measure(every, options)
    finally:
        for contender in every:
            contender.process.terminate()
    figures = report(every)
    columns = list(figures[BASELINE])
    print(f"{'':34}" + "".join(f"{column:>11}" for column in columns))
    for name, each in figures.items():
        print(f"{name:34}" + "".join(f"{each[column]:>11.{0 if column == 'rps' else 2}f}" for column in columns))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
