"""Generates the parts of both clients that follow from the API; run it after the API has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from scripts.api_shapes import read_api
from scripts.python_client import calls_module, models_module
from scripts.typescript_client import declarations_module, operations_module

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = ROOT / "clients" / "python" / "src" / "recsys_client"
TYPESCRIPT: Final = ROOT / "clients" / "typescript" / "src"


def generated() -> dict[Path, str]:
    """Return the text of each generated file."""
    api = read_api()
    python = {
        PYTHON / "models.py": models_module(api),
        PYTHON / "sync_calls.py": calls_module(api, is_async=False),
        PYTHON / "async_calls.py": calls_module(api, is_async=True),
    }
    return {path: formatted(text) for path, text in python.items()} | {
        TYPESCRIPT / "operations.js": operations_module(api),
        TYPESCRIPT / "types.d.ts": declarations_module(api),
    }


def formatted(code: str) -> str:
    """Return Python code in the format of the project."""
    for command in (["check", "--fix", "--quiet", "--exit-zero"], ["format", "--quiet"]):
        ruff = [
            sys.executable,
            "-m",
            "ruff",
            *command,
            "--stdin-filename",
            "clients/python/src/recsys_client/x.py",
            "-",
        ]
        code = subprocess.run(ruff, cwd=ROOT, input=code, capture_output=True, text=True, check=True).stdout
    return code


def main() -> None:
    """Write the files that differ, and print their paths."""
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
