"""The settings of a training on Spark, and the command that starts one."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.main import main
from recsys.core.errors import ConfigError
from training.config import parse_config


def test_settings_are_read_from_their_table() -> None:
    found = parse_config({"spark": {"part_events": 7, "driver_memory_mb": 900}}).spark
    assert (found.part_events, found.driver_memory_mb) == (7, 900)


@pytest.mark.parametrize("name", ["part_events", "sample_events", "driver_memory_mb"])
def test_sizes_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"spark.{name}"):
        parse_config({"spark": {name: 0}})


def test_the_command_checks_java_first(
    shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "no-java"))
    call = ["train", "--data", str(shop_folder), "--models", str(tmp_path / "models"), "--engine", "spark"]

    with pytest.raises(SystemExit) as stopped:
        main(call)
    assert stopped.value.code == 2
    assert "apt-get install" in capsys.readouterr().err
    assert not list((tmp_path / "models").glob(".partial*"))
