"""The states of experiments: read and replaced as a whole, and held to the definitions."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from recsys.core.errors import ConfigError
from recsys.experiments.assignment import planned_shares
from recsys.experiments.state import change_state, read_experiments, states_of
from recsys.experiments.transitions import promote, ramp, start, stop
from tests.recsys.experiments.files import EXPERIMENTS, write_experiments

AT = "2026-11-01T00:00:00Z"


def test_without_a_state_all_are_drafts(tmp_path: Path) -> None:
    book = read_experiments(write_experiments(tmp_path))
    assert [book.state(name).status for name in book.file.experiments] == ["draft"] * 3
    assert book.running() == ()


def test_a_change_is_on_the_disk_with_its_history(tmp_path: Path) -> None:
    path = write_experiments(tmp_path)
    changed = change_state(path, start("calm", AT, why="planned"))
    assert read_experiments(path) == changed
    (experiment,) = changed.running()
    assert (experiment.definition.name, experiment.share, experiment.holdout.share) == ("calm", 0.1, 0.05)
    assert [(each.command, each.why) for each in changed.states.history] == [("start", "planned")]


def test_promoted_winners_are_in_the_order_of_their_promotion(tmp_path: Path) -> None:
    path = write_experiments(tmp_path)
    for change in (start("pairs", AT), start("calm", AT), promote("pairs", "own", "2026-11-03T00:00:00Z")):
        change_state(path, change)
    book = change_state(path, promote("calm", "mixed", "2026-11-02T00:00:00Z"))
    assert [(each.name, winner) for each, winner in book.promoted()] == [("calm", "mixed"), ("pairs", "own")]


def test_a_running_definition_cannot_change(tmp_path: Path) -> None:
    path = write_experiments(tmp_path)
    change_state(path, start("calm", AT))
    write_experiments(tmp_path, EXPERIMENTS.replace("diversity = 0.3", "diversity = 0.4"))
    with pytest.raises(ConfigError, match="'calm' is running, but its variants"):
        read_experiments(path)
    write_experiments(tmp_path, EXPERIMENTS.replace("0.03", "0.04"))  # a rule of the analysis may
    assert read_experiments(path).running()


def test_a_running_definition_cannot_be_removed_until_it_is_stopped(tmp_path: Path) -> None:
    path = write_experiments(tmp_path)
    change_state(path, start("pairs", AT))
    without = EXPERIMENTS[: EXPERIMENTS.index("[experiments.pairs")]
    write_experiments(tmp_path, without)
    with pytest.raises(ConfigError, match="'pairs' is running: put its definition back"):
        read_experiments(path)
    write_experiments(tmp_path)
    change_state(path, stop("pairs", AT))
    write_experiments(tmp_path, without)
    assert list(read_experiments(path).file.experiments) == ["calm", "tail"]


def test_a_refused_change_leaves_the_file(tmp_path: Path) -> None:
    path = write_experiments(tmp_path)
    change_state(path, start("calm", AT))
    before = states_of(path).read()

    def refuse(*_: object) -> None:
        raise ConfigError("no")

    for change, check in ((ramp("calm", AT, 0.05), lambda *_: None), (ramp("calm", AT, 0.5), refuse)):
        with pytest.raises(ConfigError):
            change_state(path, change, check)
    assert states_of(path).read() == before


def test_a_damaged_state_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write_experiments(tmp_path)
    states_of(path).write(b'{"experiments": {"calm": {"status": "lost"}}}')
    with pytest.raises(ConfigError, match=r"experiments\.state\.json is damaged .* restore it"):
        read_experiments(path)


def test_changes_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    path = write_experiments(tmp_path)
    change_state(path, start("calm", AT, 0.01))
    done: list[float] = []

    def ramp_a_little() -> None:
        for _ in range(10):
            book = change_state(path, lambda book: ramp("calm", AT, book.state("calm").share + 0.01)(book))
            done.append(book.state("calm").share)

    threads = [Thread(target=ramp_a_little) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(round(share, 2) for share in done) == [round(0.02 + 0.01 * n, 2) for n in range(30)]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml cannot be read"):
        read_experiments(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match=r"missing\.toml cannot be read"):
        change_state(tmp_path / "missing.toml", start("calm", AT))


def test_the_holdout_is_analyzed_as_an_experiment(tmp_path: Path) -> None:
    book = read_experiments(write_experiments(tmp_path))
    assert planned_shares(book.definition("holdout")) == {"control": 0.05, "winners": 0.95}
    without = read_experiments(write_experiments(tmp_path, EXPERIMENTS.replace("share = 0.05", "share = 0.0")))
    with pytest.raises(ConfigError, match="there is no experiment 'holdout'"):
        without.definition("holdout")
