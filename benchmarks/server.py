"""The servers that are measured, each a process of its own with the same uvicorn settings.

python -m benchmarks.server --port 8123 --size 4000          # bare FastAPI with a fixed body
python -m benchmarks.server --port 8123 --models models      # ours
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from fastapi import FastAPI, Response

from benchmarks.load import HOST, get, once
from serving.runtime.settings import Settings, load_settings
from serving.server import run, serve

START_S = 180
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Server:
    """A server process, ended with the block that it is used in.

    Args:
        arguments: of this module, without the port.
    """

    def __init__(self, *arguments: object) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        words = [sys.executable, "-m", "benchmarks.server", "--port", self.port, *arguments]
        self._process = subprocess.Popen([str(word) for word in words])

    def __enter__(self) -> Server:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                once(self.port, get("/health/ready"))
                return self
            except (OSError, RuntimeError):
                time.sleep(0.1)
        self.__exit__(None, None, None)
        raise SystemExit("a server did not get ready")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    def cpu_s(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


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


def main() -> None:
    """Be one of the servers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--size", type=int, help="bytes of the fixed body")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--placements", type=Path)
    parser.add_argument("--cache-mb", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--impressions", type=float, help="share of the lists that are logged")
    given = parser.parse_args()
    if given.size:
        serve(Settings(port=given.port), fixed_app(given.size))
        return
    settings = load_settings(
        models=given.models,
        port=given.port,
        clock="data",
        store=given.store,
        placements=given.placements,
        cache_mb=given.cache_mb,
        workers=given.workers,
        impression_sample=given.impressions,
    )
    run(settings)


if __name__ == "__main__":
    main()
