"""Server processes: awaited, measured and ended, with real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from benchmarks import server_process
from benchmarks.server_process import ServerProcess, free_port, is_ready

READY: Final = """
import http.server, signal, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
BROKEN: Final = "print('no such bundle'); raise SystemExit(3)"


def command(program: str, *words: str) -> Callable[[int], Sequence[str]]:
    return lambda port: [sys.executable, "-c", program, str(port), *words]


def test_a_server_is_ready_inside_the_block_and_gone_after_it(tmp_path: Path) -> None:
    with ServerProcess("good", command(READY), log=tmp_path / "log") as server:
        assert is_ready(server.port)
        assert server.cpu_s() > 0
    assert not is_ready(server.port)


def test_a_process_that_ends_at_once_is_reported_with_its_output(tmp_path: Path) -> None:
    server = ServerProcess("broken", command(BROKEN), log=tmp_path / "log")
    with pytest.raises(SystemExit, match="broken: the server is not ready:\nno such bundle"):
        server.__enter__()


def test_a_process_that_ignores_the_request_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ServerProcess("stubborn", command(READY, "stubborn"), log=tmp_path / "log") as server:
        monkeypatch.setattr(server_process, "STOP_S", 0.2)
    assert server._process.returncode == -9
    assert not is_ready(server.port)


def test_the_environment_and_the_folder_are_those_given(tmp_path: Path) -> None:
    program = "import os; print(os.environ['COLOR'], os.getcwd())"
    server = ServerProcess(
        "environment", command(program), folder=tmp_path, environment={"COLOR": "red"}, log=tmp_path / "log"
    )
    with pytest.raises(SystemExit, match=f"red {tmp_path}"):
        server.__enter__()


def test_a_free_port_can_be_taken() -> None:
    port = free_port()
    taken = subprocess.run(
        [sys.executable, "-c", f"import socket; socket.socket().bind(('127.0.0.1', {port}))"], check=False
    )
    assert taken.returncode == 0
    assert not is_ready(port)
