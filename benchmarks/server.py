"""Servers that are measured, each a process of its own with the same uvicorn settings.

python -m benchmarks.server --port 8123 --size 4000          # bare FastAPI with a fixed body
python -m benchmarks.server --port 8123 --size 4000 --layer query-model     # one of `benchmarks.layers`
python -m benchmarks.server --port 8123 --models models      # this project
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fastapi import FastAPI, Response

from benchmarks.layers import LAYERS
from benchmarks.server_process import ServerProcess
from serving.runtime.settings import Settings, load_settings
from serving.server import bound, run, serve


def benchmark_server(*arguments: object, log: Path | None = None, max_file_kb: int | None = None) -> ServerProcess:
    """Start this module as a process with the options arguments and a free port.

    Args:
        arguments: options of this module.
        log: file for its output; the caller's own streams if None.
        max_file_kb: no file may grow beyond it, as on a full disk; unlimited if None.
    """
    words = [sys.executable, "-m", "benchmarks.server", *map(str, arguments)]
    if max_file_kb is not None:
        words = ["bash", "-c", f'ulimit -f {max_file_kb} && exec "$@"', "bash", *words]
    return ServerProcess("benchmark", lambda port: [*words, "--port", str(port)], log=log)


def fixed_app(body: bytes) -> FastAPI:
    """Build the baseline: a FastAPI application with a fixed response body."""
    app = FastAPI()

    @app.get("/fixed")
    async def fixed() -> Response:
        return Response(body, media_type="application/json")

    @app.get("/health/ready")
    async def ready() -> Response:
        return Response(b"{}")

    return app


def main() -> None:
    """Run the server that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--size", type=int, help="bytes of the fixed body")
    parser.add_argument("--layer", choices=LAYERS, help="HTTP layer in front of the fixed body")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--store", help="a file, or the address of a database")
    parser.add_argument("--state", choices=["files", "database"], help="where keys, placements and experiments are")
    parser.add_argument("--placements", type=Path)
    parser.add_argument("--clock", choices=["data", "wall"], default="data")
    parser.add_argument("--cache-mb", type=int)
    parser.add_argument("--personal-cache-mb", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--impressions", type=float, help="share of the lists that are logged")
    options = parser.parse_args()
    if options.size:
        make = LAYERS[options.layer] if options.layer else fixed_app
        settings = Settings(port=options.port)
        with bound(settings) as listener:
            serve(settings, make(b"x" * options.size), listener)
        return
    settings = load_settings(
        models=options.models,
        port=options.port,
        clock=options.clock,
        store=options.store,
        state=options.state,
        placements=options.placements,
        cache_mb=options.cache_mb,
        personal_cache_mb=options.personal_cache_mb,
        workers=options.workers,
        impression_sample=options.impressions,
    )
    run(settings)


if __name__ == "__main__":
    main()
