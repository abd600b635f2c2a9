"""Schemathesis tests the server against its OpenAPI document, with valid and invalid requests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving.conftest import Server
from tests.serving.runtime.test_auth import keys_of

EXAMPLES = 20
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422, 428, 429, 431, "5xx"]

[checks.missing_required_header]
expected-statuses = [401, 428]
"""
"""Parameters that are too long are refused before they are read: with 414, or 431 for all of the head."""


@pytest.mark.parametrize("with_keys", [False, True])
def test_the_openapi_document_is_true(
    start: Callable[..., Server], own_models: Path, tmp_path: Path, with_keys: bool
) -> None:
    """Run all checks but one: a schema cannot limit `as_of` to the present, or an id to a number of bytes.

    Random values are tried without keys: a key concerns the head of a call, not its values.
    """
    keys, headers, phases = {}, [], "examples,coverage,fuzzing"
    if with_keys:
        phases = "examples,coverage"
        (secret,) = keys_of(tmp_path / "keys.json", "admin")
        keys, headers = {"keys": tmp_path / "keys.json"}, ["-H", f"Authorization: Bearer {secret}"]
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    server = start(own_models, **keys)
    server.wait()
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--no-color"),
            *("--phases", phases, "--max-examples", str(EXAMPLES), "--seed", "1"),
            *("--exclude-checks", "positive_data_acceptance", *headers),
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},  # each call searches all variables for proxies, which no call here has
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
