"""`recsys item-sets`: a table with one set per row, JSON as over HTTP, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.shop import USERS_WITH_HISTORY


def test_the_best_sets_are_a_table(recsys: Run, shop_models: Path) -> None:
    said = recsys("item-sets", "--models", shop_models)
    head, columns, *rows = said.out.splitlines()
    assert head.startswith("item_sets by ")
    assert "fallback: the sources of the list have nothing for this user or item" in head
    assert columns.split() == ["rank", "items", "titles", "support", "lift", "total", "price", "reasons"]
    assert rows
    assert all(" + " in row and "bought together in " in row for row in rows)


def test_recommend_shows_the_same_table(recsys: Run, shop_models: Path) -> None:
    words = ("--models", shop_models, "--user", USERS_WITH_HISTORY[3])
    one = recsys("item-sets", *words).out
    assert recsys("recommend", "--placement", "item_sets", *words).out == one


def test_json_has_sets_with_titles_and_an_item_finds_its_own(recsys: Run, shop_models: Path) -> None:
    best = json.loads(recsys("item-sets", "--models", shop_models, "--limit", 1, "--json").out)["sets"][0]
    assert best["support"] >= 5
    assert best["total_price"] == pytest.approx(sum(item["price"] for item in best["items"]))
    assert all(item["title"] for item in best["items"])
    item_id = best["items"][0]["item_id"]
    answer = json.loads(recsys("item-sets", "--models", shop_models, "--item", item_id, "--json").out)
    assert answer["sets"]
    assert all(item_id in [item["item_id"] for item in each["items"]] for each in answer["sets"])
    assert item_id not in [item["item_id"] for item in answer["items"]]
    bound = best["total_price"] - 0.01
    words = ("--item", item_id, "--max-total-price", bound, "--json")
    cheaper = json.loads(recsys("item-sets", "--models", shop_models, *words).out)["sets"]
    assert all(each["total_price"] <= bound for each in cheaper)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--item", "no such item"], "'no such item' is unknown"),
        (["--placement", "for_you"], "--placement is 'for_you', expected a list of sets: item_sets"),
        (["--max-total-price", "0"], "max_total_price is 0.0, out of range"),
        (["--limit", "0"], "limit is 0, out of range"),
    ],
)
def test_what_cannot_be_served_is_refused(recsys: Run, shop_models: Path, words: list[str], message: str) -> None:
    said = recsys("item-sets", "--models", shop_models, *words)
    assert (said.code, message in said.err) == (2, True), said.err


def test_an_item_without_sets_has_an_empty_list(recsys: Run, shop_models: Path) -> None:
    said = recsys("item-sets", "--models", shop_models, "--item", "orphan-1")
    assert said.out.splitlines()[1] == "the list is empty: no set is known for it"


def test_a_price_that_no_set_costs_is_named(recsys: Run, shop_models: Path) -> None:
    said = recsys("item-sets", "--models", shop_models, "--max-total-price", "1e-300")
    assert said.out.splitlines()[-1] == (
        "the list is empty: no set is known for it that costs at most 1e-300 (--max-total-price)"
    )
