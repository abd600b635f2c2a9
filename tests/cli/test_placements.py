from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from recsys.pipeline.recommender import Recommender
from tests.cli.conftest import Run
from tests.ports import free_port
from tests.shop import PHONES, UNAVAILABLE, USERS_WITH_HISTORY, WEEKLY_ITEM

EXAMPLE = Path(__file__).parents[2] / "docs" / "placements.toml"


def test_the_example_of_the_documentation_is_good(recsys: Run, shop_models: Path) -> None:
    said = recsys("placements", "check", EXAMPLE, "--models", shop_models)
    assert said.code == 0, said.err
    assert "is valid for" in said.out
    assert "page home: home_for_you, friday_comfort, new_and_niche, popular" in said.out
    report = json.loads(recsys("placements", "check", EXAMPLE, "--models", shop_models, "--json").out)
    rows = {row["placement"]: row for row in report["placements"]}
    assert rows["home_for_you"]["rules"] == "boosts 1, promotions 1, rotation 0.3, rests, new_share 0.1, blend next"
    assert rows["pdp_complementary"]["fallback"] == "bought_together → popular_by_hour"
    assert report["pages"]["product"] == ["pdp_complementary", "similar", "home_for_you"]


def test_a_broken_file_is_one_message_and_exit_code_2(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    path.write_text('[placements.mine]\nextends = "for_you"\nlimitt = 3\nrotation = 9\n', encoding="utf-8")
    said = recsys("placements", "check", path, "--models", shop_models)
    assert said.code == 2
    assert "do you mean 'placements.mine.limit'?" in said.err
    assert "'placements.mine.rotation' is 9" in said.err
    served = recsys("serve", "--models", shop_models, "--placements", path, "--port", free_port())
    assert (served.code, "do you mean 'placements.mine.limit'?" in served.err) == (2, True)


RULES = f"""
[placements.mine]
extends = "for_you"
filter = "NOT item_id = '{PHONES[0]}'"
boosts = [{{filter = "price < 0", factor = 2}}]
promotions = [{{filter = "has(tags, context.wanted) OR user.region = 'x'", share = 0.2}}]
pins = [
    {{item_id = "gone", rank = 1}}, {{item_id = "{UNAVAILABLE}", rank = 2}},
    {{item_id = "{WEEKLY_ITEM}", rank = 3}}, {{item_id = "{PHONES[0]}", rank = 4}},
]

[placements.rare]
extends = "long_tail"
filter = "price IS NOT NULL OR price IS NULL"
"""


def test_every_rule_says_what_it_keeps(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    path.write_text(RULES, encoding="utf-8")
    said = recsys("placements", "check", path, "--models", shop_models)
    engine = Recommender.open(shop_models).engine
    items = engine.items_table.with_columns(pl.Series("listable", engine.listable["all"]))
    n_items, n_tail = items["listable"].sum(), int(engine.listable["tail"].sum())
    kept = n_items - 1
    assert items.filter(pl.col("item_id") == PHONES[0])["listable"].item()
    for sentence in (
        f"mine.filter keeps {kept:,} of {n_items:,} items: NOT item_id",
        f"mine.boosts[0].filter keeps 0 of {n_items:,} items: price < 0",
        f"mine.promotions[0].filter keeps 0 of {n_items:,} items, without a value of context.wanted, user.region: has(",
        "mine.pins[0] pins 'gone', which is not in the catalog: the next item takes its rank",
        f"mine.pins[1] pins '{UNAVAILABLE}', which is not available",
        f"mine.pins[2] pins '{WEEKLY_ITEM}', which may be listed",
        f"mine.pins[3] pins '{PHONES[0]}', which is left out by the filter of the list",
        f"rare.filter keeps {n_tail:,} of {n_tail:,} items",
    ):
        assert sentence in said.out
    report = json.loads(recsys("placements", "check", path, "--models", shop_models, "--json").out)
    by_key = {(rule["placement"], rule["key"]): rule["kept"] for rule in report["rules"]}
    assert [by_key["mine", f"pins[{n}]"] for n in range(4)] == [0, 0, 1, 0]
    assert (by_key["mine", "filter"], by_key["mine", "boosts[0].filter"]) == (kept, 0)
    assert report["unknown_pins"] == {"mine": ["gone"]}


def test_values_that_order_a_list_are_shown(recsys: Run, shop_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    path.write_text(
        '[placements.calm]\nextends = "for_you"\nrests = false\nnew_share = 0.25\n'
        '[placements.mine]\nextends = "for_you"\nsources = {als = 1, popular = 0.5}\n',
        encoding="utf-8",
    )
    report = json.loads(recsys("placements", "check", path, "--models", shop_models, "--json").out)
    rows = {row["placement"]: row for row in report["placements"]}
    values = {name: tuple(rows[name][key] for key in ("rests", "new_share", "blend")) for name in rows}
    assert (values["calm"], values["mine"]) == ((False, 0.25, "next"), (True, 0.1, ""))
    assert values["popular"] == (False, 0.0, "")
    assert rows["mine"]["order"] == "weights of the file"
    assert rows["for_you"]["order"] != "weights of the file"
    assert report["own_weights"] == ["mine"]
    assert "new_share 0.25, blend next" in recsys("placements", "check", path, "--models", shop_models).out


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
    assert "mine has weights of its own (als 1, popular 0.5)" in found.out
    assert "for_you has weights of its own" not in found.out
