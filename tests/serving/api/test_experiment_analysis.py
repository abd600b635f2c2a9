"""The analysis of an experiment over HTTP: the same as that of the command line, from the server's log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.experiments.looks import daily_looks, look_at
from recsys.experiments.state import change_state, read_experiments
from recsys.experiments.transitions import start
from tests.recsys.experiments.files import write_experiments
from tests.recsys.experiments.simulated_month import write_month
from tests.serving.conftest import Client, client_of
from training.experiments import load_log

TEXT = """
[holdout]
share = 0.1

[experiments.calm.variants]
control = {}
mixed = {placements.for_you = {diversity = 0.3}}

[experiments.unseen.variants]
control = {}
short = {placements.for_you = {limit = 3}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis")
    path = write_experiments(folder, TEXT)
    change_state(path, start("calm", "2026-11-01T00:00:00Z", 1.0))
    write_month(folder / "store.sqlite", path, "calm", [1.0] * 3, {"control": 0.05, "mixed": 0.15}, 400)
    return folder


@pytest.fixture(scope="module")
def running(shop_models: Path, folder: Path) -> Iterator[Client]:
    files = {"experiments": folder / "experiments.toml", "store": folder / "store.sqlite"}
    with client_of(shop_models, **files) as client:
        yield client


def analysis(client: Client, name: str = "calm", query: str = "") -> dict[str, Any]:
    response = client.get(f"/v1/experiments/{name}/analysis{query}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_the_verdict_and_the_effects_are_those_of_the_command_line(running: Client, folder: Path) -> None:
    found = analysis(running)
    definition = read_experiments(folder / "experiments.toml").definition("calm")
    with closing(SqliteStore(folder / "store.sqlite")) as store:
        log = load_log(store, "calm", timezone="Asia/Shanghai")
    expected, verdict = look_at(definition, log)
    assert (found["decision"], found["variant"], found["text"], found["text_zh"], found["days_to_go"]) == (
        *(verdict.decision, verdict.variant, verdict.text, verdict.text_zh),
        verdict.days,
    )
    assert found["decision"] == "ship"
    assert (found["shoppers"], found["days"]) == (expected.shoppers, expected.days)
    for ours, theirs in zip(found["effects"], expected.effects, strict=True):
        assert ours == {name: getattr(theirs, name) for name in ours}
    looks = daily_looks(definition, log)
    assert [day["shoppers"] for day in found["daily"]] == [look.analysis.shoppers for look in looks]
    assert [day["decision"] for day in found["daily"]] == [look.verdict.decision for look in looks]
    assert {effect["metric"] for day in found["daily"] for effect in day["effects"]} == {found["primary"]} == {"ctr"}
    assert found["is_complete"]


def test_an_experiment_that_nobody_has_seen_is_answered(running: Client) -> None:
    found = analysis(running, "unseen")
    assert (found["decision"], found["exposures"], found["first_at"], found["effects"], found["daily"]) == (
        *("no_data", 0, None),
        *([], []),
    )
    assert found["shoppers"] == {"control": 0, "short": 0}
    assert "no list of this experiment" in found["text"]
    assert "还没有" in found["text_zh"]
    assert analysis(running, "holdout")["decision"] == "no_data"


def test_what_cannot_be_analyzed_is_refused(running: Client, shop_models: Path, tmp_path: Path) -> None:
    unknown = running.get("/v1/experiments/none/analysis")
    assert unknown.status_code == 404
    assert "there are calm, unseen" in unknown.json()["detail"]
    for wrong in ("seconds=0", "seconds=61", "day=3"):
        assert running.get(f"/v1/experiments/calm/analysis?{wrong}").status_code == 422
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        assert client.get("/v1/experiments/calm/analysis").status_code == 404
    broken = write_experiments(tmp_path, "[experiments.calm]\nprimary = 3\n")
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        object.__setattr__(client.app.state.app_context.settings, "experiments", broken)
        refused = client.get("/v1/experiments/calm/analysis")
    assert refused.status_code == 409
    assert str(tmp_path) not in refused.text


def test_what_is_not_defined_is_null(shop_models: Path, tmp_path: Path) -> None:
    path = write_experiments(tmp_path, TEXT)
    change_state(path, start("calm", "2026-11-01T00:00:00Z", 1.0))
    write_month(tmp_path / "store.sqlite", path, "calm", [1.0], {"control": 0.0, "mixed": 0.1}, 100)
    with client_of(shop_models, experiments=path, store=tmp_path / "store.sqlite") as client:
        (effect,) = (each for each in analysis(client)["effects"] if each["metric"] == "ctr")
    assert (effect["control"], effect["lift"], effect["low"], effect["p_value"]) == (0, None, None, None)
