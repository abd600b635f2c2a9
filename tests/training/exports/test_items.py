from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import ITEMS
from training.exports.items import (
    category_and_tags,
    comma_list,
    first_filled,
    group_of_variants,
    is_in_force,
    option_name,
    paths_of,
)

TODAY = date(2024, 6, 15)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (None, []),
        ("", []),
        (" , > ", []),
        ("Food", [["Food"]]),
        ("Food > Tea, Sale", [["Food", "Tea"], ["Sale"]]),
        ("Pots\\, pans > Iron", [["Pots, pans", "Iron"]]),
        ("食品 > 茶", [["食品", "茶"]]),
    ],
)
def test_paths_of_categories(text: str | None, paths: list[list[str]]) -> None:
    assert paths_of(text, ">") == paths


def test_the_deepest_category_counts_and_the_others_are_tags() -> None:
    paths = [["Sale"], ["Food"], ["Food", "Tea"], ["New", "June"]]
    assert category_and_tags(paths, ["green", "Sale"]) == (["Food", "Tea"], ["green", "Sale", "June"])
    assert category_and_tags([]) == (None, None)


@pytest.mark.parametrize(
    ("starts", "ends", "is_on"),
    [
        (None, None, True),
        ("", "", True),
        ("2024-06-15", "2024-06-15", True),
        ("2024-06-16", None, False),
        (None, "2024-06-14T23:59-0800", False),
        ("soon", "9999-99-99", True),
    ],
)
def test_the_days_of_a_sale(starts: str | None, ends: str | None, is_on: bool) -> None:
    assert is_in_force(starts, ends, TODAY) is is_on


@given(st.text())
def test_an_option_never_has_the_name_of_a_column(name: str) -> None:
    assert option_name(name) not in ITEMS


def test_the_first_filled_cell() -> None:
    assert first_filled({"b": "2", "c": "3"}, "a", "b", "c") == "2"
    assert first_filled({}, "a") is None
    assert comma_list(" a, ,b ") == ["a", "b"]


def test_one_variant_is_no_group() -> None:
    one, two = [(1, {"item_id": "a"})], [(1, {"item_id": "a"}), (2, {"item_id": "b"})]
    group_of_variants(one, "g")
    group_of_variants(two, "g")
    assert one == [(1, {"item_id": "a"})]
    assert [item["item_group_id"] for _, item in two] == ["g", "g"]
