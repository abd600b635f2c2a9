from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.shop import ODD_USERS, UNAVAILABLE


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
