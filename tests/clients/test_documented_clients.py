"""The examples of docs/clients.md run against a real server."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.docs.test_pages import FENCE
from tests.serving.conftest import Server

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
ADDRESS: Final = "http://127.0.0.1:8000"
EXAMPLES: Final = {language: text for _, language, text in FENCE.findall(PAGE) if language == "js"}
PYTHON: Final = [text for _, language, text in FENCE.findall(PAGE) if language == "python"]


@pytest.mark.parametrize("example", PYTHON)
def test_python_examples_run(engine_server: Server, capsys: pytest.CaptureFixture[str], example: str) -> None:
    exec(compile(example.replace(ADDRESS, engine_server.url), "docs/clients.md", "exec"), {})
    assert capsys.readouterr().out.startswith("for_you ")


def test_the_javascript_example_runs(engine_server: Server, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None, "node is missing: install it, such as `apt-get install nodejs` (20 or newer)"
    folder = tmp_path / "node_modules" / "@recsys"
    folder.mkdir(parents=True)
    (folder / "client").symlink_to(ROOT / "clients" / "typescript")
    (tmp_path / "example.mjs").write_text(EXAMPLES["js"].replace(ADDRESS, engine_server.url), encoding="utf-8")
    done = subprocess.run([node, "example.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"for_you \d+\n1\n", done.stdout)


def test_there_are_examples() -> None:
    assert len(PYTHON) == 2
    assert set(EXAMPLES) == {"js"}
