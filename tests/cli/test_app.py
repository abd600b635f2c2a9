from __future__ import annotations

import logging
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from cli.output import tell
from recsys.bundles import registry
from recsys.core.errors import BundleError
from tests.cli.conftest import Run

FAMILIES = {
    "models": ["list", "verify", "activate", "rollback"],
    "placements": ["check"],
    "keys": ["create", "list", "revoke"],
    "store": ["prune", "check"],
}
JOBS = ["demo-data", "ingest", "doctor", "train", "tune", "evaluate", "attribution", "serve", "recommend", "explain"]
COMMANDS = [[], *([job] for job in (*JOBS, *FAMILIES)), *([one, two] for one, more in FAMILIES.items() for two in more)]
HEAVY = {"faiss", "lightgbm", "implicit", "polars", "numpy", "scipy", "matplotlib", "optuna", "sqlglot", "fastapi"}


def test_help_names_every_command(recsys: Run) -> None:
    said = recsys("--help")
    assert said.code == 0
    assert all(command in said.out for command in (*JOBS, *FAMILIES))


def test_the_version_is_that_of_the_package(recsys: Run) -> None:
    said = recsys("--version")
    assert (said.code, said.out) == (0, f"recsys {version('recsys')}\n")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_a_short_help_option(recsys: Run, words: list[str]) -> None:
    short, long = recsys(*words, "-h"), recsys(*words, "--help")
    assert (short.code, short.out) == (0, long.out)
    assert "--help" in short.out


def test_help_imports_no_heavy_module() -> None:
    """All commands in one process: what one of them imports stays imported."""
    code = f"""
import contextlib, io, sys
from cli.main import main
for words in {COMMANDS}:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main([*words, "--help"])
print(*sorted({HEAVY} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("words", [["--nonsense"], ["nonsense"], ["ingest"], ["doctor"], ["recommend", "--limit", "x"]])
def test_a_wrong_call_is_2(recsys: Run, words: list[str]) -> None:
    said = recsys(*words)
    assert said.code == 2
    assert said.out == ""
    assert "Traceback" not in said.err


def test_our_errors_are_one_line_and_2(recsys: Run, tmp_path: Path) -> None:
    said = recsys("recommend", "--models", tmp_path, "--user", "u")
    assert said.code == 2
    assert said.err == f"recsys: {tmp_path} has no current bundle: run `recsys train --models {tmp_path}` first\n"


def test_the_unexpected_is_1_and_says_how_to_see_more(
    recsys: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(models: Path) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(registry, "versions", fail)
    said = recsys("models", "list", "--models", tmp_path)
    assert said.code == 1
    assert said.err == "recsys: unexpected ZeroDivisionError: by zero (`recsys --debug …` shows the traceback)\n"
    assert "Traceback" in recsys("--debug", "models", "list", "--models", tmp_path).err
    monkeypatch.setenv("RECSYS_DEBUG", "1")
    assert "Traceback" in recsys("models", "list", "--models", tmp_path).err


def test_debug_says_where_our_errors_come_from_too(recsys: Run, tmp_path: Path) -> None:
    said = recsys("--debug", "recommend", "--models", tmp_path)
    assert said.code == 2
    assert BundleError.__name__ in said.err
    assert "Traceback" in said.err


def test_messages_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    tell("a message")
    assert capfd.readouterr() == ("", "a message\n")


def test_the_process_itself_leaves_with_the_code(tmp_path: Path) -> None:
    code = "from cli.main import main; main()"
    command = [sys.executable, "-c", code, "doctor", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("recsys: ")
    assert done.stderr.count("\n") == 1


def test_libraries_log_from_warning_on(recsys: Run) -> None:
    said = recsys("keys", "list", "--file", "none.json")
    assert said.code == 2
    assert not logging.getLogger("faiss.loader").isEnabledFor(logging.INFO)
    assert logging.getLogger("serving.server").isEnabledFor(logging.INFO)
