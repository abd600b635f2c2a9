"""Schemathesis asks all that the OpenAPI document promises, and much that it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.serving.test_keys import keys_of

from tests.serving.conftest import Server

EXAMPLES = 20


@pytest.mark.parametrize("with_keys", [False, True])
def test_the_document_is_true(start: Callable[..., Server], own_models: Path, tmp_path: Path, with_keys: bool) -> None:
    """All checks but one: a schema cannot say "no later than now" of `as_of`, nor count the bytes of an id."""
    keys, headers = {}, []
    if with_keys:
        (secret,) = keys_of(tmp_path / "keys.json", "admin")
        keys, headers = {"keys": tmp_path / "keys.json"}, ["-H", f"Authorization: Bearer {secret}"]
    server = start(own_models, **keys)
    server.wait()
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--no-color"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1"),
            *("--exclude-checks", "positive_data_acceptance", *headers),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
