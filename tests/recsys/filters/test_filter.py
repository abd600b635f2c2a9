from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.core.errors import DataError, FilterError, RequestError
from recsys.core.schema import ITEMS
from recsys.filters import compile_filter

SHANGHAI = timezone(timedelta(hours=8))

ITEMS_TABLE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "item_group_id": [None, "g", "g", None],
        "title": ["手冲咖啡 Red", "100% tea", "O'Neill cap", None],
        "category": [["食品", "咖啡"], ["Food", "Snacks"], ["Clothes"], None],
        "tags": [["vegan", None], [], ["vegan", "wool"], None],
        "brand": ["Illy", None, "O'Neill", "Illy"],
        "price": [3.0, None, 12.0, 0.5],
        "list_price": [5.0, 4.0, 12.0, 0.0],
        "currency": ["CNY"] * 4,
        "available": [True, None, False, True],
        "updated_at": [None, None, None, None],
        "created_at": [datetime(2024, 5, 1, tzinfo=UTC), None, datetime(2025, 1, 1, tzinfo=UTC), None],
    },
    schema=ITEMS,
).with_columns(
    pl.Series("等级", [1, 2, None, 3], dtype=pl.UInt8),
    pl.Series("net weight", [0.1, 0.2, 0.3, None], dtype=pl.Float32),
    pl.Series("material", ["cotton", None, "wool", "wool"], dtype=pl.Categorical),
    pl.Series("cost", ["1.50", "2.00", None, "0.10"]).cast(pl.Decimal(10, 2)),
    pl.Series("sizes", [[38, 39], [], None, [40]], dtype=pl.List(pl.Int16)),
    pl.Series("season", [date(2024, 3, 1), None, date(2024, 9, 1), None]),
    pl.Series("seen", ["2024-03-01T08:00", None, None, None]).str.to_datetime("%Y-%m-%dT%H:%M", time_unit="ms"),
    pl.Series("shot", [datetime(2024, 3, 1, tzinfo=SHANGHAI), None, None, None]).dt.convert_time_zone("Asia/Shanghai"),
    pl.Series("box", [{"x": 1}] * 4),
    pl.Series("nothing", [None] * 4, dtype=pl.Null),
)
USER: dict[str, Any] = {
    "days": ["2024-05-01", "2024-05-01T00:00:00Z"],
    "tags": ["wool", "silk"],
    "brand": "Illy",
    "level": 2,
    "none": [],
    "since": "2024-06-01",
}
CONTEXT: dict[str, Any] = {
    "region": "CN",
    "brands": ("Illy", "O'Neill"),
    "cold": True,
    "now": datetime(2024, 12, 1, tzinfo=SHANGHAI),
}


def kept(text: str, user: dict[str, Any] | None = None, context: dict[str, Any] | None = None) -> str:
    compiled = compile_filter(text, ITEMS_TABLE.schema)
    mask = compiled.mask(ITEMS_TABLE, USER if user is None else user, CONTEXT if context is None else context)
    assert mask.shape == (ITEMS_TABLE.height,)
    return "".join(ITEMS_TABLE["item_id"].to_numpy()[mask])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price < 10", "ad"),
        ("NOT price < 10", "c"),
        ("price IS NULL", "b"),
        ("price is not null and available", "ad"),
        ("available", "ad"),
        ("available IS NOT TRUE", "bc"),
        ("available = FALSE", "c"),
        ("TRUE", "abcd"),
        ("1 = 2", ""),
        ("NOT available AND price > 1 OR brand = 'Illy'", "acd"),
        ("NOT (available AND price > 1)", "cd"),
        ("NOT price = 3", "cd"),
        ("1 + 2 * 3 = 7 AND 10 - 4 - 3 = 3 AND -2 + 3 = 1 AND 12 / 3 / 2 = 2", "abcd"),
        ("brand = 'O''Neill'", "c"),
        ("title = 'O''Neill cap'", "c"),
        ("price / list_price <= 0.6", "a"),
        ("price < list_price", "a"),
        ("price / 0 = 1 OR price / 0 <> 1", ""),
        ("price BETWEEN 0.5 AND 3", "ad"),
        ("price NOT BETWEEN 0.5 AND 3", "c"),
        ("price IN (-1, 3, 12)", "ac"),
        ("price NOT IN (3)", "cd"),
        ("item_id IN ('a', 'zz')", "a"),
        ("has(tags, 'vegan')", "ac"),
        ("NOT has(tags, 'vegan')", "b"),
        ("has_any(tags, 'wool', 'silk')", "c"),
        ("has_all(tags, 'wool', 'vegan')", "c"),
        ("has_any(tags, user.tags)", "c"),
        ("has_all(tags, user.tags)", ""),
        ("has_all(tags, user.none)", "abc"),
        ("has_any(tags, user.none)", ""),
        ("length(tags) = 1", "a"),
        ("length(title) = 8", "ab"),
        ("category = 'Snacks'", "b"),
        ("category = 'Food'", "b"),
        ("category <> 'Food'", "ac"),
        ("category IN ('咖啡', 'Clothes')", "ac"),
        ("has(category, '咖啡')", "a"),
        ("category LIKE 'S%'", "b"),
        ("tags = user.tags", "c"),
        ("title LIKE '手冲%'", "a"),
        ("title LIKE '%tea'", "b"),
        ("title LIKE '%Nei%'", "c"),
        ("title LIKE '_冲咖啡%'", "a"),
        ("title LIKE '100!%%' ESCAPE '!'", "b"),
        ("title NOT LIKE '100!%%' ESCAPE '!'", "ac"),
        ("title LIKE '%!_%' ESCAPE '!'", ""),
        ("title ILIKE '%RED'", "a"),
        ("title ILIKE 'O''NEILL CAP'", "c"),
        ("title LIKE '%'", "abc"),
        ("title LIKE ''", ""),
        ("title LIKE 'o.neill cap'", ""),
        ("lower(brand) = 'illy' AND upper(brand) = 'ILLY'", "ad"),
        ("coalesce(price, list_price) = 4", "b"),
        ("abs(price - list_price) = 2", "a"),
        ("created_at >= '2024-06-01'", "c"),
        ("created_at = DATE '2024-05-01'", "a"),
        ("created_at = TIMESTAMP '2024-05-01T08:00:00+08:00'", "a"),
        ("created_at BETWEEN '2024-01-01' AND '2024-12-31'", "a"),
        ("created_at IN ('2024-05-01', '2025-01-01')", "ac"),
        ("created_at < context.now", "a"),
        ("created_at > user.since", "c"),
        ("created_at > coalesce(user.nothing, '2024-06-01')", "c"),
        ("created_at > coalesce(user.since, '2030-01-01')", "c"),
        ("coalesce(created_at, '2024-06-02') > user.since", "bcd"),
        ("has_all(user.days, created_at)", "a"),
        ("has_all(context.brands, 'Illy')", "abcd"),
        ("brand = user.brand", "ad"),
        ("brand IN ('Nike', context.brands)", "acd"),
        ("has(context.brands, brand)", "acd"),
        ("has(context.region, 'CN')", "abcd"),
        ("context.region = 'CN' AND price > 1", "ac"),
        ("context.region LIKE 'C%'", "abcd"),
        ("context.brands LIKE '%Neill'", "abcd"),
        ("context.cold AND has(tags, 'wool')", "c"),
        ("user.level > 1 AND 等级 >= user.level", "bd"),
        ('"等级" = 1', "a"),
        ('"net weight" > 0.15', "bc"),
        ("material = 'wool'", "cd"),
        ("cost * 2 = 3", "a"),
        ("has(sizes, 39)", "a"),
        ("sizes = 40", "d"),
        ("season < '2024-06-01'", "a"),
        ("seen = '2024-03-01T08:00:00'", "a"),
        ("shot = '2024-02-29T16:00:00'", "a"),
        ("nothing IS NULL", "abcd"),
        ("nothing = 3", ""),
        ("context.weather = 'rain'", ""),
        ("context.weather IS NULL", "abcd"),
        ("user.tags IS NULL", ""),
        ("NOT context.weather = 'rain'", ""),
        ("等级　>= 2", "bd"),
    ],
)
def test_what_a_filter_keeps(text: str, expected: str) -> None:
    assert kept(text) == expected


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("price > 'abc'", "'abc'", "price is a number, 'abc' is text"),
        ("available AND price = TRUE", "TRUE", "price is a number, TRUE is true or false"),
        ("has(price, 1)", "price", "expects a list first"),
        ("has(tags, 1)", "1", "tags is text, 1 is a number"),
        ("has(tags, category)", "category", "use has_any() or has_all()"),
        ("brand + 1 > 2", "brand", "+ expects numbers, found brand (text)"),
        ("-brand = 2", "brand", "NEG expects numbers"),
        ("abs(tags) = 1", "tags", "abs() expects numbers, found tags (a list)"),
        ("price", "price", "expected a condition, found price (a number)"),
        ("NOT title", "title", "expected a condition, found title (text)"),
        ("price AND available", "price", "expected a condition"),
        ("price IS TRUE", "price", "expected a condition"),
        ("available < TRUE", "available", "< cannot order available"),
        ("tags < 'a'", "tags", "< cannot order tags (a list)"),
        ("price IN (1, 'a')", "'a'", "price is a number, 'a' is text"),
        ("user.x IN (1, 'a')", "'a'", "several types"),
        ("price IN (list_price)", "list_price", "IN lists literals"),
        ("price LIKE '1%'", "price", "LIKE expects text"),
        ("title LIKE brand", "brand", "expected a text literal"),
        ("title LIKE 'a!' ESCAPE '!'", "'a!'", "ends in its escape character"),
        ("lower(price) = 'a'", "price", "lower() expects text"),
        ("length(price) = 1", "price", "length() expects text or a list"),
        ("coalesce(brand, 1) = 'a'", "1", "brand is text, 1 is a number"),
        ("coalesce(tags, 'a') = 'a'", "tags", "coalesce() expects single values"),
        ("created_at > 5", "5", "created_at is a time, 5 is a number"),
        ("created_at > 'yesterday'", "'yesterday'", "is not a time"),
        ("created_at > '0001-01-01T00:00:00+14:00'", "'0001", "is not a time"),
        ("created_at > DATE '2024-13-01'", "DATE", "expected a time such as"),
        ("price > 1e999", "1e999", "too large"),
        ("box = 1", "box", "which filters cannot read"),
        ("prce > 1", "prce", "unknown column 'prce': did you mean 'price'?"),
        ("Price > 1", "Price", "did you mean 'price'?"),
        ("zzz > 1", "zzz", "expected one of item_id, "),
        ("'vegan' IN tags", "IN", "write has(tags, 'a')"),
    ],
)
def test_type_errors_are_found_before_any_item_is_read(text: str, at: str, says: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(text, ITEMS_TABLE.schema)
    assert says in str(caught.value)
    assert text[caught.value.position - 1 :].startswith(at)
    assert f"character {caught.value.position}, at " in str(caught.value)
    assert caught.value.field == "filter"
    assert isinstance(caught.value, RequestError)


@pytest.mark.parametrize(
    ("text", "user", "field"),
    [
        ("brand = user.x", {"x": 5}, "filter"),
        ("price > user.x", {"x": "cheap"}, "filter"),
        ("price > user.x", {"x": [1]}, "filter"),
        ("created_at > user.x", {"x": "yesterday"}, "filter"),
        ("user.x", {"x": "yes"}, "filter"),
        ("has_any(tags, user.x)", {"x": [1]}, "filter"),
        ("has_any(tags, user.x)", {"x": [1, "a"]}, "user.x"),
        ("has_any(tags, user.x)", {"x": ["a"] * 1001}, "user.x"),
        ("brand = user.x", {"x": "\ud800"}, "user.x"),
        ("brand = user.x", {"x": ["a", "\ud800"]}, "user.x"),
        ("brand = user.x", {"x": "a" * 10_001}, "user.x"),
        ("brand = user.x", {"x": {"a": 1}}, "user.x"),
        ("brand = user.x", {"x": [["a"]]}, "user.x"),
        ("created_at > user.x", {"x": datetime(2024, 1, 1)}, "user.x"),  # noqa: DTZ001 the mistake itself
    ],
)
def test_bound_values_that_do_not_fit_are_named(text: str, user: dict[str, Any], field: str) -> None:
    with pytest.raises(FilterError, match=r"user\.x|position") as caught:
        kept(text, user)
    assert caught.value.field == field
    assert (caught.value.position > 0) == (field == "filter")


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), 10**400])
def test_no_number_is_null(value: object) -> None:
    assert kept("price > user.x OR NOT price > user.x", {"x": value}) == ""


@pytest.mark.parametrize("value", [date(2024, 6, 1), datetime(2024, 6, 1, 8, tzinfo=SHANGHAI), "2024-06-01"])
def test_times_are_bound_as_dates_aware_times_and_text(value: object) -> None:
    assert kept("created_at > user.x", {"x": value}) == "c"


@pytest.mark.parametrize("value", [["wool"], ("wool", None), {"wool"}, frozenset({"wool", "silk"}), "wool"])
def test_lists_are_bound_as_any_sequence_or_set(value: object) -> None:
    assert kept("has_any(tags, user.x)", {"x": value}) == "c"


def test_a_filter_lists_the_names_that_it_reads() -> None:
    compiled = compile_filter('has_any(tags, user.tags) AND (user.tags IS NULL OR "context".region = 1)', ITEMS)
    assert compiled.depends_on == {"user.tags", "context.region"}
    assert compile_filter("price < 3", ITEMS).depends_on == frozenset()


def test_a_table_with_other_columns_requires_another_filter() -> None:
    compiled = compile_filter("price < 3", ITEMS_TABLE.schema)
    with pytest.raises(DataError, match="compile it again"):
        compiled.mask(ITEMS_TABLE.drop("box"))


@pytest.mark.parametrize("text", ["price < 3", "TRUE", "1 = 2", "has_any(tags, user.tags)", "price < 3 OR TRUE"])
@pytest.mark.parametrize("n_items", [0, 1])
def test_small_tables(text: str, n_items: int) -> None:
    items = ITEMS_TABLE.tail(n_items)
    mask = compile_filter(text, items.schema).mask(items, USER)
    assert mask.dtype == np.bool_
    assert mask.shape == (n_items,)
