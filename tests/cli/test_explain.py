from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.shop import ODD_USERS, PHONES, UNAVAILABLE, USERS_WITH_HISTORY


def test_a_stage_is_told_in_both_languages(recsys: Run, shop_models: Path) -> None:
    said = recsys("explain", "--models", shop_models, "--user", ODD_USERS[0], "--item", UNAVAILABLE)
    assert "sold_out: it is not available" in said.out
    assert "该商品已下架或售罄" in said.out


def test_json_has_all_that_is_known(recsys: Run, shop_models: Path) -> None:
    words = ("--models", shop_models, "--user", ODD_USERS[0], "--json")
    first = json.loads(recsys("recommend", *words).out)["items"][0]
    why = json.loads(recsys("explain", *words, "--item", first["item_id"]).out)
    assert (why["stage"], why["rank"]) == ("listed", 1)
    assert why["sources"]


def test_an_item_that_nobody_knows_is_a_wrong_call(recsys: Run, shop_models: Path) -> None:
    said = recsys("explain", "--models", shop_models, "--item", "no such item")
    assert said.code == 2
    assert "no such item" in said.err


def test_a_list_is_explained_with_its_file_and_its_filter(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    path.write_text('[placements.mine]\nextends = "popular"\nfilter = "category = \'食品\'"\n', encoding="utf-8")
    words = ("explain", "--models", shop_models, "--placements", path, "--placement", "mine", "--json")
    stage = json.loads(recsys(*words, "--item", PHONES[0]).out)["stage"]
    assert stage == "filtered"
    words = ("--models", shop_models, "--placement", "popular", "--json")
    first = json.loads(recsys("recommend", *words, "--filter", "category = '食品'").out)["items"][0]["item_id"]
    why = json.loads(recsys("explain", *words, "--item", first, "--filter", "NOT category = '食品'").out)
    assert why["stage"] == "filtered"
    wrong = recsys("explain", *words, "--item", first, "--filter", "prize < 3")
    assert (wrong.code, "did you mean 'price'?" in wrong.err) == (2, True)


@pytest.mark.parametrize("option", ["--user", "--visitor", "--session"])
def test_a_visitor_and_a_session_have_lists_too(recsys: Run, shop_models: Path, option: str) -> None:
    words = ("--models", shop_models, option, USERS_WITH_HISTORY[5], "--json")
    listed = json.loads(recsys("recommend", *words).out)
    assert listed["placement"] == "for_you"
    assert listed["fallback_used"] == (option == "--session"), "nobody's session has this id"
    why = json.loads(recsys("explain", *words, "--item", listed["items"][0]["item_id"]).out)
    assert (why["stage"], why["rank"]) == ("listed", 1)
    blank = recsys("explain", "--models", shop_models, option, " ", "--item", "x")
    assert (blank.code, f"{option} is ' '" in blank.err) == (2, True)


@pytest.mark.parametrize("placement", ["similar", "complementary"])
def test_a_list_for_an_item_needs_one(recsys: Run, shop_models: Path, placement: str) -> None:
    said = recsys("explain", "--models", shop_models, "--item", PHONES[0], "--placement", placement)
    assert said.code == 2
    assert f"--placement {placement} is a list for an item: add --seed ID" in said.err
