"""The container files and the systemd units: this release accepts every command in them, and the jobs run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from cli.app import build_app
from tests.serving.conftest import Server
from tests.shop import TIMEZONE, ShopTables, small_config
from training.config import TrainingConfig, render_config
from training.ingest.ingest import IngestConfig

ROOT: Final = Path(__file__).parents[1]
NIGHTLY: Final = ROOT / "deploy" / "nightly.sh"
GUIDE: Final = ROOT / "docs" / "deployment.md"
CACHE: Final = "NUMBA_CACHE_DIR"
RECSYS: Final[Any] = typer.main.get_command(build_app())
COMMANDS: Final = frozenset(RECSYS.commands)
UNITS: Final = sorted((ROOT / "deploy").glob("recsys*.service"))


def logical_lines(path: Path) -> list[str]:
    """The lines of a file, continued ones joined."""
    return path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()


def dockerfile(instruction: str) -> list[str]:
    """The JSON form of an instruction of the image's last stage."""
    found = [line for line in logical_lines(ROOT / "Dockerfile") if line.startswith(instruction + " ")]
    return json.loads("[" + found[-1].partition("[")[2])


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def recsys_calls() -> Iterator[tuple[str, list[str]]]:
    """Every call of `recsys` in the deployment files and in their guide: the file, and the words after `recsys`."""
    guide = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [(GUIDE.name, line) for block in guide for line in block.splitlines()]
    lines += [(NIGHTLY.name, line) for line in logical_lines(NIGHTLY)]
    lines += [(unit.name, line.partition("=")[2]) for unit in UNITS for line in logical_lines(unit)]
    yield "Dockerfile", dockerfile("CMD")[1:]
    for name, line in lines:
        words = shlex.split(line, comments=True)
        for place, word in enumerate(words[:-1]):
            if Path(word).name == "recsys" and words[place + 1] in COMMANDS:
                yield name, [word for word in words[place + 1 :] if word != "$@"]


@pytest.mark.parametrize(("name", "words"), [*recsys_calls()], ids=str)
def test_every_command_parses(name: str, words: list[str]) -> None:
    command: Any = RECSYS
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    assert command.make_context(command.name, words).params


def test_every_file_has_its_commands() -> None:
    assert {name for name, _ in recsys_calls()} == {"Dockerfile", NIGHTLY.name, GUIDE.name, "recsys.service"}


def test_the_training_unit_runs_the_nightly_job_in_the_folders_of_the_server() -> None:
    train, serve = (dict(settings(ROOT / "deploy" / f"{name}.service")) for name in ("recsys-train", "recsys"))
    assert f"install -m 0755 deploy/{NIGHTLY.name} {train['ExecStart']}\n" in GUIDE.read_text(encoding="utf-8")
    places = dict(word.split("=") for word in environment_of(ROOT / "deploy" / "recsys-train.service"))
    assert set(places) == {"PATH", CACHE, *re.findall(r"\$\{([A-Z]+):=", NIGHTLY.read_text(encoding="utf-8"))}
    assert f"--models {places['MODELS']} " in serve["ExecStart"]
    assert train["User"] == serve["User"]
    state = {f"/var/lib/{folder}" for folder in train["StateDirectory"].split()}
    assert {places["MODELS"], places["DATA"]} <= state


def test_compiled_code_is_kept_where_the_service_can_write() -> None:
    for unit in UNITS:
        cache = dict(word.split("=") for word in environment_of(unit))[CACHE]
        assert cache == f"/var/cache/{dict(settings(unit))['CacheDirectory']}"
    lines = logical_lines(ROOT / "Dockerfile")
    (cache,) = (word.partition("=")[2] for line in lines for word in line.split() if word.startswith(f"{CACHE}="))
    assert any("--owner recsys" in line and cache in line for line in lines)


def settings(unit: Path) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (line.partition("=") for line in logical_lines(unit)) if value]


def environment_of(unit: Path) -> list[str]:
    return [word for name, value in settings(unit) if name == "Environment" for word in value.split()]


def test_compose_uses_the_image_of_this_release_and_its_paths() -> None:
    services = compose()["services"]
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    assert {service["image"] for service in services.values()} == {f"recsys:{version[1]}"}
    volumes = [volume.split(":")[1] for service in services.values() for volume in service["volumes"]]
    assert set(volumes) == {*dockerfile("VOLUME"), "/export"}
    (secret,) = services["server"]["secrets"]
    assert f"/run/secrets/{secret}" in dockerfile("CMD")
    assert services["train"]["command"][0] in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_contains_what_its_build_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[1:-1] for line in logical_lines(ROOT / "Dockerfile") if re.match(r"COPY (?!--from)", line)]
    sources = {source for words in copied for source in words if not source.startswith("--")}
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert {source for source in sources if f"!{source.split('/')[0]}" not in ignored} == set()


def test_the_health_check_follows_readiness(shop_models: Path) -> None:
    probe = dockerfile("HEALTHCHECK")
    server = Server(shop_models)
    try:
        server.wait()
        assert _run_probe(probe, server.port) == 0
    finally:
        server.stop()
    assert _run_probe(probe, server.port) != 0


def _run_probe(probe: list[str], port: int) -> int:
    program = probe[2].replace(":8000", f":{port}")
    assert program != probe[2]
    return subprocess.run([sys.executable, probe[1], program], capture_output=True, check=False).returncode


def test_the_nightly_job_trains_and_repeats_nothing(shop_tables: ShopTables, tmp_path: Path) -> None:
    export = tmp_path / "export"
    for name in ("events", "items"):
        (export / name).mkdir(parents=True)
        getattr(shop_tables, name).write_parquet(export / name / "part.parquet")
    config = TrainingConfig(engine=small_config(), ingest=IngestConfig(timezone=TIMEZONE))
    (export / "shop.toml").write_text(render_config(config), encoding="utf-8")
    first, second = _run_nightly(tmp_path), _run_nightly(tmp_path)
    assert first.returncode == 0, first.stderr
    assert (second.returncode, "up to date" in second.stdout) == (0, True), second.stderr
    (export / "events" / "part.parquet").unlink()
    broken = _run_nightly(tmp_path)
    assert broken.returncode != 0
    assert (tmp_path / "models" / "CURRENT").is_file()


def _run_nightly(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the job with a `recsys` that is this checkout's."""
    program = folder / "recsys"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from cli.main import main; main()" "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    (folder / "models").mkdir(exist_ok=True)
    places = {name.upper(): str(folder / name) for name in ("export", "data", "models")}
    environment = {**os.environ, **places, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(["sh", NIGHTLY], env=environment, capture_output=True, text=True, check=False)
