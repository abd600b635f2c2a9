"""Schemathesis asks all that the OpenAPI document promises, and much that it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.serving.conftest import Server

EXAMPLES = 25


def test_the_document_is_true(server: Server, tmp_path: Path) -> None:
    """All checks but one: a schema cannot say "no later than now" of `as_of`, nor count the bytes of an id."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--no-color"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1"),
            *("--exclude-checks", "positive_data_acceptance"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
