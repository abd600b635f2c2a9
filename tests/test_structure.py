"""The shape of the code base: the map of modules, directions of imports, sizes, and what the library must not know."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
MAPPED: Final = ("recsys", "training", "serving", "cli", "benchmarks")
FOLDERS: Final = (*MAPPED, "tests", "scripts", "clients", "deploy", "docs", "models", ".ci", ".github")
MAX_LINES: Final = 400
WORDS_OF_A_REGISTRY: Final = re.compile(r"pypi\.|pythonhosted|index-url|/simple\b|mirrors?\.\w+\.")


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def texts() -> Iterator[tuple[str, str]]:
    """Every file that people write, by its path."""
    tops = [path for path in ROOT.iterdir() if path.is_file() and path.suffix != ".pyc"]
    inner = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in {*tops, *inner}:
        place = path.relative_to(ROOT)
        is_bundle = place.parts[0] == "models" and place.name != "README.md"
        if not is_bundle and "__pycache__" not in place.parts and place.name != Path(__file__).name:
            yield str(place), path.read_text(encoding="utf-8", errors="replace")


def test_the_map_has_one_line_for_each_module_and_folder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| \*{0,2}`([^`]+)`\*{0,2} \| (.+) \|$", page.partition("\n## Map")[2], re.MULTILINE)
    listed = Counter(path for path, _ in lines)
    folders = {str(path.parent.relative_to(ROOT)) for path in modules(*MAPPED)} | set(FOLDERS)
    files = {str(path.relative_to(ROOT)) for path in modules(*MAPPED) if path.name != "__init__.py"}
    expected = files | {f"{folder}/" for folder in folders}
    assert sorted(expected - set(listed)) == [], "not on the map of docs/architecture.md"
    assert sorted(set(listed) - expected) == [], "on the map, and nowhere else"
    assert [path for path, count in listed.items() if count > 1] == []
    assert all(text.strip() for _, text in lines)


def test_imports_run_one_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_no_module_is_a_maze() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*MAPPED)}
    assert {str(path): length for path, length in lengths.items() if length > MAX_LINES} == {}


CLOCKS: Final = {"time.time", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
FORBIDDEN: Final = CLOCKS | {"os.environ", "os.getenv", "sys.argv", "pickle.load", "pickle.loads"}


def attributes_of(source: str) -> set[str]:
    """Every `name.attribute` of a program."""
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def test_library_and_jobs_are_told_the_time_and_their_settings() -> None:
    """No wall clock, no environment, no words of the process: the entry points pass them on."""
    assert attributes_of("import time\nprint(time.time())") & FORBIDDEN == {"time.time"}
    asked = {path: attributes_of(path.read_text(encoding="utf-8")) for path in modules("recsys", "training")}
    assert {str(path): found for path, names in asked.items() if (found := names & FORBIDDEN)} == {}


def test_no_file_names_a_registry() -> None:
    assert {place: found for place, text in texts() if (found := WORDS_OF_A_REGISTRY.findall(text))} == {}


def test_pins_are_versions_alone() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wrong = [pin for pin in pins if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin)]
    assert wrong == []
