from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.ports import free_port
from tests.shop import USERS_WITH_HISTORY, WEEKLY_ITEM

EXAMPLE = Path(__file__).parents[2] / "docs" / "placements.toml"


def test_the_example_of_the_documentation_is_good(recsys: Run, shop_models: Path) -> None:
    said = recsys("placements", "check", EXAMPLE, "--models", shop_models)
    assert said.code == 0, said.err
    assert "is valid for" in said.out
    assert "page home: home_for_you, friday_comfort, new_and_niche, popular" in said.out
    told = json.loads(recsys("placements", "check", EXAMPLE, "--models", shop_models, "--json").out)
    rows = {row["placement"]: row for row in told["placements"]}
    assert rows["home_for_you"]["rules"] == "boosts 1, promotions 1, rotation 0.3"
    assert rows["pdp_complementary"]["fallback"] == "bought_together → popular_by_hour"
    assert told["pages"]["product"] == ["pdp_complementary", "similar", "home_for_you"]


def test_a_broken_file_is_one_message_and_exit_code_2(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    path.write_text('[placements.mine]\nextends = "for_you"\nlimitt = 3\nrotation = 9\n', encoding="utf-8")
    said = recsys("placements", "check", path, "--models", shop_models)
    assert said.code == 2
    assert "do you mean 'placements.mine.limit'?" in said.err
    assert "'placements.mine.rotation' is 9" in said.err
    served = recsys("serve", "--models", shop_models, "--placements", path, "--port", free_port())
    assert (served.code, "do you mean 'placements.mine.limit'?" in served.err) == (2, True)


def test_pins_that_nobody_knows_are_told_of(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    path.write_text('[placements.mine]\nextends = "for_you"\npins = [{item_id = "gone", rank = 1}]\n', encoding="utf-8")
    assert "mine pins unknown items: gone" in recsys("placements", "check", path, "--models", shop_models).out


def test_lists_of_a_file_can_be_looked_at_and_pushed(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    path, users, out = tmp_path / "placements.toml", tmp_path / "users.txt", tmp_path / "lists.parquet"
    path.write_text(
        f'[placements.mine]\nextends = "for_you"\nlimit = 4\npins = [{{item_id = "{WEEKLY_ITEM}", rank = 1}}]\n',
        encoding="utf-8",
    )
    words = ("--models", shop_models, "--placements", path, "--placement", "mine")
    said = recsys("recommend", *words, "--user", USERS_WITH_HISTORY[5], "--json")
    items = json.loads(said.out)["items"]
    assert len(items) == 4
    assert (items[0]["item_id"], items[0]["source"]) == (WEEKLY_ITEM, "pinned")
    users.write_text(USERS_WITH_HISTORY[5], encoding="utf-8")
    assert recsys("recommend", *words, "--users", users, "--out", out).code == 0


def test_weights_of_a_file_are_said_to_replace_the_learned_ones(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[placements.mine]\nextends = "for_you"\nsources = {als = 1, popular = 0.5}\n')
    found = recsys("placements", "check", str(file), "--models", str(shop_models))
    assert "mine has weights of its own" in found.out
    assert "for_you has weights of its own" not in found.out
