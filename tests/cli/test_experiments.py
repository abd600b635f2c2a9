"""`recsys experiments`: definitions, assignment and the changes of states."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recsys.bundles.registry import current_version, pinned
from recsys.experiments.assignment import variant_of
from recsys.experiments.state import read_experiments
from tests.cli.conftest import Run
from tests.recsys.experiments.files import EXPERIMENTS, write_experiments
from tests.shop import OPTED_OUT, USERS_WITH_HISTORY, copied_models


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_experiments(tmp_path)


def test_a_life_on_the_command_line(recsys: Run, file: Path) -> None:
    for words, status in (
        (("start", file, "calm"), "running with 10%"),
        (("ramp", file, "calm", "--share", 0.5, "--why", "no harm"), "running with 50%"),
        (("retire", file, "calm", "short"), "running"),
        (("promote", file, "calm", "mixed"), "promoted"),
        (("undo", file), "running"),
        (("stop", file, "calm"), "stopped"),
    ):
        said = recsys("experiments", *words)
        assert said.code == 0, said.err
        assert status in said.err
    listed = json.loads(recsys("experiments", "list", file, "--json").out)
    assert [each["command"] for each in listed["history"]] == ["start", "ramp", "retire", "promote", "undo", "stop"]
    assert listed["experiments"][0]["variants"] == "control, mixed, short (retired)"
    table = recsys("experiments", "list", file).out
    assert "no harm" in table
    assert "stopped" in table


def test_assign_gives_what_the_server_gives(recsys: Run, file: Path, tmp_path: Path) -> None:
    recsys("experiments", "start", file, "calm", "--share", 1)
    users = tmp_path / "users.txt"
    users.write_text("u1\nu2\n\n用户\n", encoding="utf-8")
    running = read_experiments(file).as_running("calm")
    said = json.loads(recsys("experiments", "assign", file, "calm", "--users", users, "--json").out)
    assert said == [{"user_id": user, "variant": variant_of(running, user)} for user in ("u1", "u2", "用户")]
    assert recsys("experiments", "assign", file, "calm", "--users", users).out.startswith("user_id\tvariant\nu1\t")


def test_assign_leaves_out_who_opted_out(recsys: Run, file: Path, tmp_path: Path, shop_models: Path) -> None:
    recsys("experiments", "start", file, "calm", "--share", 1)
    users = tmp_path / "users.txt"
    users.write_text(f"{OPTED_OUT}\n{USERS_WITH_HISTORY[0]}\nnobody-yet\n", encoding="utf-8")
    said = json.loads(
        recsys("experiments", "assign", file, "calm", "--users", users, "--models", shop_models, "--json").out
    )
    running = read_experiments(file).as_running("calm")
    known = (USERS_WITH_HISTORY[0], "nobody-yet")
    assert said == [
        {"user_id": OPTED_OUT, "variant": ""},
        *({"user_id": user, "variant": variant_of(running, user)} for user in known),
    ]
    assert all(each["variant"] for each in said[1:])


def test_check_reads_the_lists_of_all_variants(recsys: Run, file: Path, tmp_path: Path) -> None:
    assert "its variants change complementary, for_you\n" in recsys("experiments", "check", file).out
    write_experiments(tmp_path, EXPERIMENTS.replace("diversity = 0.3", "diversty = 0.3"))
    said = recsys("experiments", "check", file)
    assert said.code == 2
    assert "do you mean 'experiments.calm.variants.mixed.placements.for_you.diversity'" in said.err
    refused = recsys("experiments", "start", file, "calm")
    assert refused.code == 2
    assert not read_experiments(file).states.history


def test_wrong_calls(recsys: Run, file: Path) -> None:
    assert "there is no experiment 'clam'" in recsys("experiments", "start", file, "clam").err
    assert recsys("experiments", "ramp", file, "calm", "--share", 0.5).code == 2
    assert recsys("experiments", "list", file.parent / "none.toml").code == 2
    assert "nothing to undo" in recsys("experiments", "undo", file).err


def test_variants_may_be_bundles_and_plans(recsys: Run, tmp_path: Path, shop_models: Path) -> None:
    models = copied_models(shop_models, tmp_path / "models")
    version = current_version(models) or ""
    file = write_experiments(
        tmp_path,
        f'[experiments.new.variants]\ncontrol = {{}}\nb = {{bundle = "{version}"}}\n'
        "[experiments.five.variants]\ncontrol = {}\nb = {plan = {caps = {messages_per_week = 5}}}\n",
    )
    assert f"its variants change bundle {version}, push plan\n" in recsys("experiments", "check", file).out
    refused = recsys("experiments", "start", file, "new")
    assert refused.code == 2
    assert "its variants name bundles; give their folder with --models" in refused.err
    assert recsys("experiments", "start", file, "new", "--models", models).code == 0
    assert pinned(models) == (version,)
    promoted = recsys("experiments", "promote", file, "new", "b")
    assert f"recsys models activate {version}" in promoted.err
    assert recsys("experiments", "start", file, "five").code == 0
    assert "copy its settings into the file of the plan" in recsys("experiments", "promote", file, "five", "b").err
    changes = {each["experiment"]: each["changes"] for each in json.loads(listed(recsys, file))["experiments"]}
    assert changes == {"new": f"bundle {version}", "five": "push plan"}
    described = json.loads(recsys("models", "list", "--models", models, "--json").out)
    assert [each["is"] for each in described] == ["current"]
    write_experiments(tmp_path, "[experiments.six.variants]\ncontrol = {}\nb = {plan = {cap = {}}}\n")
    (tmp_path / "experiments.state.json").unlink()
    assert "do you mean 'caps'" in recsys("experiments", "check", file).err
    assert recsys("experiments", "start", file, "six").code == 2


def listed(recsys: Run, file: Path) -> str:
    return recsys("experiments", "list", file, "--json").out
