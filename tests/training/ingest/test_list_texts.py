from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ingest.casts import CastOptions, cast_column
from training.ingest.list_texts import written_lists

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)


def tags(*cells: str | None, name: str = "tags") -> list[list[str] | None]:
    column = pl.Series(name, cells, dtype=pl.String)
    values: list[list[str] | None] = cast_column(column, pl.List(pl.String()), CastOptions()).values.to_list()
    return values


def array(parts: list[str]) -> str:
    quoted = (f'"{part}"' for part in (part.replace("\\", "\\\\").replace('"', '\\"') for part in parts))
    return "{" + ",".join(quoted) + "}"


@given(st.lists(st.lists(TEXTS, min_size=1, max_size=4), min_size=1, max_size=4))
def test_every_way_to_write_a_list_is_read(lists: list[list[str]]) -> None:
    for write in (json.dumps, repr):
        assert written_lists(pl.Series([write(parts) for parts in lists])).to_list() == lists
    kept = [[part for part in parts if part != "NULL"] for parts in lists]
    assert written_lists(pl.Series([array(parts) for parts in lists])).to_list() == kept


@pytest.mark.parametrize(
    "cells",
    [
        ('["red","blue"]', "green|red", None),
        ("['red', 'blue']", "green;red", ""),
        ('[" red ", "blue", "", null]', "green,red", " "),
    ],
)
def test_tags_of_one_column_may_be_written_and_separated(cells: tuple[str, str, str | None]) -> None:
    assert tags(*cells) == [["red", "blue"], ["green", "red"], None]


def test_separators_in_a_written_tag_separate_nothing() -> None:
    assert tags('["a|b", "c"]', "d, e") == [["a|b", "c"], ["d", "e"]]


def test_a_written_path_is_a_category() -> None:
    assert tags('["Food", "Milk > fresh"]', "Food > Bread", name="category") == [
        ["Food", "Milk > fresh"],
        ["Food", "Bread"],
    ]


@pytest.mark.parametrize("text", ["[new]", "[sale] shoes", "{limited}", '{"a": 1}', "[[1], [2]]", "[" * 5000 + "]"])
def test_other_brackets_are_text(text: str) -> None:
    assert written_lists(pl.Series([text, "red"])).to_list() == [None, None]
    assert written_lists(pl.Series([text])).to_list() == [["limited"] if text == "{limited}" else None]


def test_backslashes_of_a_text_warn_nobody() -> None:
    assert written_lists(pl.Series([r"['a\d']", r"['\d']"])).to_list() == [["a\\d"], ["\\d"]]


def test_numbers_and_truth_values_of_a_list_are_texts() -> None:
    assert written_lists(pl.Series(["[1, 2.5, true]", "[True, None]"])).to_list() == [["1", "2.5", "true"], ["true"]]
