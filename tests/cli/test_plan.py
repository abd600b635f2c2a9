from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.shop import OPTED_OUT, USERS_WITH_HISTORY


def test_a_plan_is_written_and_summed_up(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    plan, users = tmp_path / "plan.toml", tmp_path / "users.txt"
    plan.write_text('lists = "buy_again"\n[calibration]\nusers = 5\nweeks = 1\n')
    users.write_text("\n".join([*USERS_WITH_HISTORY[:3], OPTED_OUT]))
    words = ("push", "plan", "--models", shop_models, "--plan", plan, "--users", users, "--out", tmp_path / "out")
    said = recsys(*words)
    assert said.code == 0, said.err
    assert "messages for 4 shoppers" in said.out
    assert "messages: buy_again " in said.out
    assert "1 opted out or were erased" in said.out
    assert "push: to all 4 shoppers, of whom none refused (the users table has no column consent_push)" in said.out
    report = json.loads(recsys(*words, "--json").out)
    assert (report["shoppers"], report["refused"], report["lists"]) == (4, 1, ["buy_again"])


def test_a_wrong_plan_is_refused_with_the_remedy(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("messages = 3\n")
    said = recsys("push", "plan", "--models", shop_models, "--plan", plan, "--out", tmp_path / "out")
    assert said.code == 2
    assert "'messages' (3) is not a known key" in said.err
