from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.serving.conftest import Server

FOLDER: Final = Path(__file__).parents[2] / "clients" / "typescript"


def test_the_client_works_against_a_real_server(engine_server: Server) -> None:
    node = shutil.which("node")
    assert node is not None, "node is missing: install it, such as `apt-get install nodejs` (20 or newer)"
    done = subprocess.run(
        [node, "--test", "test/client.test.js"],
        cwd=FOLDER,
        env=os.environ | {"ENGINE_URL": engine_server.url},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_declared_exports_are_those_of_the_module() -> None:
    module, declared = ((FOLDER / "src" / name).read_text(encoding="utf-8") for name in ("index.js", "index.d.ts"))
    classes = set(re.findall(r"^export class (\w+)", declared, re.MULTILINE))
    reexported = re.findall(r"^export \{ (.+) \};", module, re.MULTILINE)
    assert classes == {"Client", *(name.strip() for name in reexported[0].split(","))}


def test_every_call_is_declared() -> None:
    operations, declared = (
        (FOLDER / "src" / name).read_text(encoding="utf-8") for name in ("operations.js", "types.d.ts")
    )
    names = re.findall(r"^  (\w+): \{", operations, re.MULTILINE)
    assert names
    assert re.findall(r"^  (\w+)\(", declared.partition("interface Calls")[2], re.MULTILINE) == names
