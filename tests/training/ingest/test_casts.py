from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from recsys.core.schema import TABLES
from training.ingest.casts import PROBLEMS, CastOptions, cast_column, cast_table, is_zone

LISTS = pl.List(pl.String)


@pytest.mark.parametrize(
    ("name", "dtype", "values", "cast", "problem"),
    [
        ("item_id", pl.String(), ["a", "", None], ["a", None, None], None),
        ("item_id", pl.String(), [1.0, 2.5], ["1", None], "is not a text or a whole number"),
        ("item_id", pl.String(), [1, 2], ["1", "2"], None),
        ("price", pl.Float64(), [" 1.5 ", "x"], [1.5, None], "is not a number"),
        ("position", pl.Int64(), ["3", "2.5"], [3, None], "is not a whole number"),
        ("available", pl.Boolean(), ["Yes", "0", "maybe"], [True, False, None], "is not true or false"),
        ("available", pl.Boolean(), [12, 0, -1], [True, False, False], None),
        ("personalization", pl.Boolean(), ["2", "1", "-1"], [None, True, None], "is not true or false"),
        ("consent_push", pl.Boolean(), [1.0, 0.0, 2.0, 0.5], [True, False, None, None], "is not true or false"),
        ("consent_push", pl.Boolean(), ["是", "NO", "maybe"], [True, False, None], "is not true or false"),
        ("category", LISTS, ["Food > Tea ", " > "], [["Food", "Tea"], []], None),
        ("tags", LISTS, ["a|b, c"], [["a", "b, c"]], None),
        ("tags", LISTS, [["x", " "], None], [["x"], None], None),
        ("event", pl.String(), ["Order Completed", "purchase"], ["purchase", "purchase"], None),
        ("event", pl.String(), ["购买", "refund"], [None, "refund"], "is not a known name, got '购买'"),
        ("timezone", pl.String(), ["Asia/Shanghai", "Mars/North"], ["Asia/Shanghai", None], "is not an IANA time zone"),
    ],
)
def test_columns_of_any_type(name: str, dtype: pl.DataType, values: list[Any], cast: list[Any], problem: str) -> None:
    column = cast_column(pl.Series(name, values), dtype, CastOptions())
    assert column.values.to_list() == cast
    assert set(column.problems.drop_nulls()) == ({problem} if problem else set())


def test_a_table_has_all_columns_with_defaults_and_all_problems_of_a_row() -> None:
    raw = pl.DataFrame(
        {"item_id": ["a", "b"], "price": ["x", "2"], "list_price": ["y", "3"], "available": [None, "no"]}
    )
    table = cast_table(raw, "items", CastOptions())
    assert dict(table.frame.drop(PROBLEMS).schema) == TABLES["items"]
    assert table.frame["available"].to_list() == [True, False]
    assert table.frame[PROBLEMS].to_list() == [None, None], "an optional cell does not cost its row"
    assert table.emptied.rows() == [(0, "price", "is not a number"), (0, "list_price", "is not a number")]
    offers = cast_table(
        pl.DataFrame({"item_id": ["a"], "valid_from": ["x"], "valid_to": ["y"]}), "offers", CastOptions()
    )
    assert offers.frame[PROBLEMS].to_list() == [
        "valid_from cannot be read as a time; valid_to cannot be read as a time"
    ]


def test_the_separators_are_the_shops() -> None:
    options = CastOptions(category_separator="/", tag_separators=" ;")
    assert cast_column(pl.Series("category", ["a/b"]), LISTS, options).values.to_list() == [["a", "b"]]
    assert cast_column(pl.Series("tags", ["a b;c"]), LISTS, options).values.to_list() == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("texts", "tags"),
    [
        (["red|green", "blue"], [["red", "green"], ["blue"]]),
        (["red,green", "blue"], [["red", "green"], ["blue"]]),
        (["red;green", "blue; red"], [["red", "green"], ["blue", "red"]]),
        (["复古、日系", "手工"], [["复古", "日系"], ["手工"]]),
        (["复古，日系", "手工；皮革"], [["复古", "日系"], ["手工", "皮革"]]),
        (["shoes, men|sale", "bags, women"], [["shoes, men", "sale"], ["bags, women"]]),
        (["a;b", "c,d", "e、f"], [["a", "b"], ["c", "d"], ["e", "f"]]),
        (["plain"], [["plain"]]),
        ([None, ""], [None, None]),
    ],
)
def test_tags_are_split_at_the_separators_that_the_column_uses(
    texts: list[str | None], tags: list[list[str] | None]
) -> None:
    assert cast_column(pl.Series("tags", texts), LISTS, CastOptions()).values.to_list() == tags


def test_prices_of_several_currencies_are_noted() -> None:
    column = cast_column(pl.Series("price", ["$5", "€7,50", "8"]), pl.Float64(), CastOptions())
    assert column.values.to_list() == [5.0, 7.5, 8.0]
    assert column.notes == ("the signs $, € are left out: prices of several currencies are not comparable",)


def test_zones() -> None:
    assert is_zone("UTC")
    assert not any(map(is_zone, ["Mars/North", "", "../etc/passwd"]))


OBJECTS = [
    [{"id": 1, "name": "Clothes", "slug": "c"}, {"id": 2, "name": "茶 > tea"}],
    [{"title": "Clothes"}, {"label": "茶 > tea"}],
    ["Clothes", {"value": "茶 > tea", "id": 3}],
]


@pytest.mark.parametrize("column", ["category", "tags"])
@pytest.mark.parametrize("objects", OBJECTS)
def test_an_object_of_a_list_has_a_name(column: str, objects: list[Any]) -> None:
    texts = [part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in objects]
    for cells in (pl.Series(column, [texts]), pl.Series(column, [json.dumps(objects)])):
        cast = cast_column(cells, pl.List(pl.String()), CastOptions())
        assert cast.values.to_list() == [["Clothes", "茶 > tea"]]


@pytest.mark.parametrize("part", ['{"id":3}', "{red", "{}", '{"name":', "{a: b}"])
def test_braces_without_a_name_are_text(part: str) -> None:
    cast = cast_column(pl.Series("tags", [[part, "x"]]), pl.List(pl.String()), CastOptions())
    assert cast.values.to_list() == [[part, "x"]]
