"""The check of a text of placements."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.core.schema import ITEMS
from recsys.drafts.check import changes_between, effects_of, filter_faults, lists_of_text, order_of
from recsys.drafts.toml_edit import parsed
from recsys.fitting.engine import Engine
from recsys.rules.placement_registry import BUILT_IN
from tests.recsys.experiments.files import write_experiments

WRONG = """
[placements.a]
extends = "for_you"
limit = 0
filter = "prce < 3"
boosts = [{filter = "price < 3", factor = 2}, {filter = "price <", factor = 2}]
[placements.b]
extends = "nothing"
promotions = [{filter = "colour = 'red'", share = 0.1}]
"""


def test_all_faults_are_found_at_once_each_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"^the text: ") as raised:
        lists_of_text(WRONG.encode(), "the text", None, ITEMS)
    assert sorted(fault.field for fault in raised.value.faults) == [
        "placements.a.boosts[1].filter",
        "placements.a.filter",
        "placements.a.limit",
        "placements.b.extends",
        "placements.b.promotions[0].filter",
    ]


@pytest.mark.parametrize("text", ["placements = 1", "[placements]\na = 1", "[placements.a]\nboosts = [1]\nfilter = 3"])
def test_tables_of_a_wrong_form_have_no_filters(text: str) -> None:
    assert filter_faults(parsed(text), ITEMS) == []
    with pytest.raises(ConfigError):
        lists_of_text(text.encode(), "x", None, ITEMS)


@pytest.mark.parametrize("key", ["boosts", "promotions"])
def test_rules_are_bounded_as_each_request_pays_for_them(key: str) -> None:
    value = "factor = 2" if key == "boosts" else "share = 0"

    def text(n: int) -> bytes:
        rules = ", ".join([f'{{filter = "price < 3", {value}}}'] * n)
        return f'[placements.a]\nextends = "for_you"\n{key} = [{rules}]'.encode()

    assert len(getattr(lists_of_text(text(100), "x").placements["a"], key)) == 100
    with pytest.raises(ConfigError, match="0 to 100 entries"):
        lists_of_text(text(101), "x")


def test_a_text_without_its_experiments_is_refused(tmp_path: Path) -> None:
    path = write_experiments(
        tmp_path,
        "[experiments.e]\nvariants.control = {}\nvariants.two = {placements.mine = {limit = 2}}\n",
    )
    good = b'[placements.mine]\nextends = "for_you"\n'
    assert lists_of_text(good, "x", path, ITEMS).variants is not None
    with pytest.raises(ConfigError, match="mine"):
        lists_of_text(b"", "x", path, ITEMS)


def test_changes_are_added_changed_and_removed() -> None:
    one = lists_of_text(b'[placements.a]\nextends = "for_you"\n[placements.b]\nextends = "for_you"\n', "x")
    two = lists_of_text(
        b'[placements.b]\nextends = "for_you"\nlimit = 3\n[placements.c]\nextends = "b"\n[pages.p]\nplacements = ["c"]',
        "x",
    )
    found = [(each.name, each.is_page, each.change) for each in changes_between(one, two)]
    assert found == [("b", False, "changed"), ("c", False, "added"), ("a", False, "removed"), ("p", True, "added")]
    assert changes_between(BUILT_IN, BUILT_IN) == []


def test_effects_and_orders_of_a_catalog(shop_engine: Engine) -> None:
    book = lists_of_text(b'[placements.a]\nextends = "long_tail"\nfilter = "price < 50"\n', "x")
    (effect,) = effects_of(book.placements["a"], shop_engine, shop_engine.dataset_info.end)
    tail = shop_engine.listable["tail"]
    assert tail is not None
    cheap = shop_engine.items_table.select(pl.col("price") < 50)["price"].fill_null(value=False).to_numpy()
    assert (effect.kept, effect.of) == (int((cheap & tail).sum()), int(tail.sum()))
    assert order_of(BUILT_IN.placements["popular"], shop_engine) == ""
    assert order_of(BUILT_IN.placements["for_you"], shop_engine) != ""
