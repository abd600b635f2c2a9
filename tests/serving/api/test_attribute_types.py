from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import activate
from recsys.fitting.engine import Engine
from serving.api.attribute_types import with_column_types
from serving.problems import InvalidRequestError
from tests.serving.conftest import Client, client_of

OWN: dict[str, pl.Series] = {
    "stock": pl.Series([70.0]),
    "pieces": pl.Series([3]),
    "shade": pl.Series(["5"]),
    "organic": pl.Series([False]),
    "since": pl.Series([date(2024, 5, 1)]),
    "checked": pl.Series([datetime(2024, 5, 1)]).dt.replace_time_zone("UTC"),  # noqa: DTZ001
    "sizes": pl.Series([["s"]]),
}
COLUMNS = {name: column.dtype for name, column in OWN.items()}


@pytest.fixture(scope="module")
def typed_models(shop_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose items have columns of the shop's own, of every type."""
    models = tmp_path_factory.mktemp("models")
    columns = [pl.lit(column).first().alias(name) for name, column in OWN.items()]
    engine = replace(shop_engine, items_table=shop_engine.items_table.with_columns(columns))
    manifest = write_bundle(engine, models, Provenance(datetime(2024, 7, 2, tzinfo=UTC), "shop", {}))
    activate(models, manifest.version)
    return models


@pytest.fixture
def shop(typed_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(typed_models, store=tmp_path / "store.sqlite") as client:
        yield client


def keeps(shop: Client, condition: str) -> list[str]:
    body = {"placement": "popular", "limit": 100, "filter": condition}
    answer = shop.request("POST", "/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
@pytest.mark.parametrize(
    ("name", "value", "condition"),
    [
        ("stock", 5, "stock = 5"),
        ("stock", 5.5, "stock = 5.5"),
        ("stock", "5", "stock = 5"),
        ("pieces", 7, "pieces = 7"),
        ("pieces", "7", "pieces = 7"),
        ("shade", 9, "shade = '9'"),
        ("shade", 2.5, "shade = '2.5'"),
        ("shade", True, "shade = 'true'"),
        ("organic", True, "organic"),
        ("organic", "true", "organic"),
        ("since", "2024-06-01", "since = '2024-06-01'"),
        ("checked", "2024-06-01T08:00:00+08:00", "checked = '2024-06-01'"),
        ("sizes", ["m", "xl"], "has(sizes, 'xl')"),
        ("sizes", "xl", "has(sizes, 'xl')"),
        ("new one", 5, '"new one" = 5'),
    ],
)
def test_an_accepted_change_is_seen_by_filters(shop: Client, verb: str, name: str, value: Any, condition: str) -> None:
    before = keeps(shop, condition) if name in OWN else []
    item_id = keeps(shop, "price > 0")[0]
    body = {"title": "x", "price": 3, "attributes": {name: value}}
    assert shop.request(verb, f"/v1/items/{quote(item_id, safe='')}", json=body).status_code == 200
    assert (before, keeps(shop, condition)) == ([], [item_id])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("stock", "many", "expected a number"),
        ("stock", True, "expected a number"),
        ("stock", ["5"], "expected a single value"),
        ("stock", "5,5", "expected a number"),
        ("pieces", 2.5, "expected a whole number"),
        ("shade", ["red"], "expected a single value"),
        ("organic", 1, "expected true or false"),
        ("organic", "perhaps", "expected true or false"),
        ("since", "soon", "expected a time"),
        ("since", 20240601, "expected a time"),
        ("checked", True, "expected a time"),
    ],
)
def test_a_change_of_another_type_is_refused_with_its_name_and_what_is_expected(
    shop: Client, name: str, value: Any, expected: str
) -> None:
    answer = shop.request("PATCH", "/v1/items/x", json={"attributes": {name: value}})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == f"attributes.{name}"
    assert expected in error["message"]
    assert shop.app.state.app_context.store.last_seq() == 0, "nothing is stored"


JSON = (
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text() | st.lists(st.text(max_size=3))
)


@given(st.sampled_from(sorted(OWN)), JSON)
def test_a_value_is_kept_converted_or_refused(name: str, value: Any) -> None:
    try:
        (found,) = with_column_types({name: value}, COLUMNS).values()
    except InvalidRequestError:
        return
    assert (found is None) == (value is None)
    if not isinstance(COLUMNS[name], pl.Datetime | pl.Date):
        assert pl.Series([found], dtype=COLUMNS[name]).null_count() == (value is None)


@pytest.mark.parametrize(
    ("first", "condition", "others", "refused"),
    [
        (5, "own > 3", [2.5, "6", -1], ["heavy", True, ["a"]]),
        (0.5, "own < 3", [7, "6"], ["heavy", False, ["a", "b"]]),
        ("heavy", "own = 'heavy'", [5, True, 2.5], [["a"]]),
        (True, "own", ["false", False], [1, "yes", [], ["true"]]),
        (["a"], "has(own, 'a')", ["b", 5, True, []], []),
    ],
)
def test_no_change_takes_the_type_from_a_column_that_filters_use(
    shop: Client, first: Any, condition: str, others: list[Any], refused: list[Any]
) -> None:
    def patch(item_id: str, value: Any) -> int:
        path = f"/v1/items/{quote(item_id, safe='')}"
        return shop.request("PATCH", path, json={"attributes": {"own": value}}).status_code

    known, *_ = keeps(shop, "price > 0")
    assert patch("unset", None) == 200
    assert patch(known, first) == 200
    assert keeps(shop, condition) == [known]
    for number, value in enumerate([*others, *refused]):
        assert patch(f"n{number}", value) == (200 if number < len(others) else 422), value
        assert known in keeps(shop, condition)
