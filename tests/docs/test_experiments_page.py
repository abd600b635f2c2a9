"""The page about experiments is played through: its files are written, its commands run and print what it says."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from cli.main import main
from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import activate, current_version
from recsys.fitting.engine import Engine
from tests.docs.test_pages import FENCE, read
from tests.shop import copied_models

PAGE: Final = "docs/experiments.md"
ELSEWHERE: Final = ("recsys serve", "recsys experiments counterfactual")
"""Begin the commands of the page that other tests run: a server, and what needs its log."""

TRAIN: Final = "recsys train"
VERSION: Final = r"\d{8}T\d{6}Z-[0-9a-f]{8}"
LEFT_OUT: Final = " …"


def sections() -> dict[str, list[tuple[str, str]]]:
    """The blocks of the page as language and text, by the section that they are in."""
    parts = re.split(r"^## ", read(PAGE), flags=re.MULTILINE)
    return {part.splitlines()[0]: [(language, text) for _, language, text in FENCE.findall(part)] for part in parts}


class Player:
    """Plays blocks in the current folder.

    Args:
        capfd: captures what commands print.
        engine: of the bundles that stand for trained ones.
    """

    def __init__(self, capfd: pytest.CaptureFixture[str], engine: Engine) -> None:
        self._capfd, self._engine = capfd, engine
        self._names: dict[str, str] = {}
        self.played: list[str] = []

    def play(self, blocks: list[tuple[str, str]]) -> None:
        for language, text in blocks:
            if language == "toml":
                Path("experiments.toml").write_text(self._renamed(text), encoding="utf-8")
                Path("experiments.state.json").unlink(missing_ok=True)
            elif language == "console":
                for command, expected in commands(text):
                    self._run(command, expected)

    def name(self, shown: str, real: str) -> None:
        """Let a version of the page stand for a real one."""
        self._names[shown] = real

    def _run(self, command: str, expected: list[str]) -> None:
        if command.startswith(ELSEWHERE):
            return
        if command.startswith(TRAIN):
            made = Provenance(datetime(2024, 7, 3, tzinfo=UTC), "candidate", {})
            activate(Path("models/shop"), write_bundle(self._engine, Path("models/shop"), made).version)
            return
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(shlex.split(self._renamed(command))[1:])
        out, err = self._capfd.readouterr()
        assert left.value.code in (0, None), err
        printed = [line.rstrip() for line in (out + err).splitlines()]
        check_output(command, printed, [self._renamed(line) for line in expected])
        self.played.append(command)

    def _renamed(self, text: str) -> str:
        return re.sub(VERSION, lambda found: self._names.get(found[0], found[0]), text)


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif found:
            found[-1][1].append(line.rstrip())
    return found


def check_output(command: str, printed: list[str], expected: list[str]) -> None:
    """The lines of the page are printed, all of them unless it leaves some out."""
    if not expected:
        return
    if LEFT_OUT not in expected:
        assert printed == expected, command
        return
    place = expected.index(LEFT_OUT)
    first, last = expected[:place], expected[place + 1 :]
    assert printed[: len(first)] == first, command
    assert printed[len(printed) - len(last) :] == last, command


@pytest.fixture
def player(
    tmp_path: Path,
    shop_models: Path,
    shop_engine: Engine,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Player:
    copied_models(shop_models, tmp_path / "models" / "shop")
    monkeypatch.chdir(tmp_path)
    Path("placements.toml").touch()
    Path("plan.toml").write_text('lists = "buy_again"\n[calibration]\nusers = 10\nweeks = 1\n', encoding="utf-8")
    return Player(capfd, shop_engine)


def test_the_month_is_as_printed(player: Player) -> None:
    page = sections()
    top, month = next(iter(page.values())), page["A month, from 10 % to a verdict"]
    player.play([*top, *month])
    assert len(player.played) == 12
    assert [command.split()[2] for command in player.played][-4:] == ["ramp", "simulate", "analyze", "promote"]


def test_two_models_are_served_as_printed(player: Player) -> None:
    blocks = sections()["Two models at once"]
    shown = sorted(set(re.findall(VERSION, "".join(text for _, text in blocks))))
    assert len(shown) == 2
    first, rest = blocks[0], blocks[1:]
    player.name(shown[0], current_version(Path("models/shop")) or "")
    player.play([first])
    player.name(shown[1], next(path.name for path in Path("models/shop").glob("20240703T*")))
    player.play(rest)
    assert [command.split()[1] for command in player.played] == ["models", "experiments"]


def test_a_push_plan_is_planned_as_printed(player: Player) -> None:
    player.play(sections()["Push plans"])
    assert [command.split()[1] for command in player.played] == ["experiments", "push"]
    assert list(Path("week-plan").glob("messages-*.parquet"))
