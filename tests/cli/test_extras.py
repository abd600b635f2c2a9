"""The commands whose packages only an extra installs, where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from training import extras


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (("evaluate", "--html", "report.html"), "matplotlib", "report"),
        (("evaluate", "--html", "report.html"), "jinja2", "report"),
        (("tune", "--out", "settings.toml"), "optuna", "tune"),
    ],
)
def test_a_missing_extra_stops_the_command_before_it_reads_data(
    recsys: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], package: str, extra: str
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else find_spec(name))
    monkeypatch.chdir(tmp_path)
    said = recsys(*words, "--data", "no-such-folder")
    assert said.code == 2
    assert f"{package} is not installed; install it with: pip install 'recsys[{extra}]'" in said.err
