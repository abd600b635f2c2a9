"""What Spark needs is checked before it starts, with the command that installs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from training.spark import session
from training.spark.session import check_java


def java_of(tmp_path: Path, shown: str, code: int = 0) -> str:
    program = tmp_path / "java"
    program.write_text(f"#!/bin/sh\necho '{shown}' >&2\nexit {code}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("shown", "version"), [('openjdk version "17.0.15" 2025-04-15', 17), ('java version "21"', 21)]
)
def test_java_that_is_new_enough_is_taken(tmp_path: Path, shown: str, version: int) -> None:
    assert check_java(java_of(tmp_path, shown)) == version


@pytest.mark.parametrize("shown", ['java version "1.8.0_392"', 'openjdk version "11.0.2"', "something else"])
def test_older_java_is_refused_with_the_command(tmp_path: Path, shown: str) -> None:
    with pytest.raises(ConfigError, match="Spark needs 17 or newer; install it with: apt-get install"):
        check_java(java_of(tmp_path, shown))


def test_java_that_does_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not run"):
        check_java(java_of(tmp_path, 'version "17"', code=1))
    with pytest.raises(ConfigError, match="does not run"):
        check_java(str(tmp_path / "nothing"))


def test_missing_java_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match="there is none; install it with: apt-get install"):
        check_java()
