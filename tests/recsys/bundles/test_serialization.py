from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys.bundles.serialization import SerializedModel, flatten, unflatten
from recsys.core.errors import BundleError
from recsys.fitting.engine import Engine
from tests.recsys.same import assert_same


@dataclass(frozen=True)
class Inner:
    rate: float = 1.0
    sizes: tuple[int, ...] = (1, 2)
    words: tuple[str, ...] = ("茶", "", "🎧\n")


@dataclass(frozen=True)
class Outer:
    factors: npt.NDArray[np.float32]
    matrix: sparse.csr_matrix
    table: pl.DataFrame
    name: str = "x"
    count: int = 3
    maybe: str | None = None
    flag: bool = True
    order: Literal["a", "b"] = "a"
    inner: Inner = field(default_factory=Inner)


@pytest.fixture
def outer() -> Outer:
    dense = np.array([[0, 1, 0], [2, 0, 0]], np.float32)
    return Outer(dense, sparse.csr_matrix(dense), pl.DataFrame({"id": ["甲", None]}))


def test_parts_have_dotted_names(outer: Outer) -> None:
    parts = flatten(outer, skip=("name",))
    assert set(parts.arrays) == {
        "factors",
        "matrix.data",
        "matrix.indices",
        "matrix.indptr",
        "inner.words.utf8",
        "inner.words.ends",
    }
    assert parts.arrays["inner.words.ends"].tolist() == [3, 3, 8]
    assert set(parts.tables) == {"table"}
    assert parts.values == {
        "matrix": [2, 3],
        "count": 3,
        "maybe": None,
        "flag": True,
        "order": "a",
        "inner.rate": 1.0,
        "inner.sizes": [1, 2],
    }


def test_apart_and_together_is_the_same(outer: Outer) -> None:
    back = unflatten(Outer, flatten(outer))
    assert_same(outer, back)
    assert back.inner == outer.inner
    assert (back.name, back.maybe, back.flag) == ("x", None, True)


@given(st.lists(st.text(max_size=5), max_size=6).map(tuple))
def test_any_strings_come_back(words: tuple[str, ...]) -> None:
    back = unflatten(Inner, flatten(Inner(words=words)))
    assert back.words == words


@pytest.mark.parametrize("name", ["factors", "matrix.indices"])
def test_a_missing_array_is_named(outer: Outer, name: str) -> None:
    parts = flatten(outer)
    del parts.arrays[name]
    with pytest.raises(BundleError, match=name.split(".")[0]):
        unflatten(Outer, parts)


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", "3"), ("name", 3), ("flag", None), ("maybe", 1.5), ("inner.rate", "fast"), ("order", "c")],
)
def test_a_value_of_another_kind_is_refused(outer: Outer, name: str, value: object) -> None:
    parts = flatten(outer)
    parts.values[name] = value
    with pytest.raises(BundleError, match=name):
        unflatten(Outer, parts)


def test_a_whole_number_serves_as_a_float() -> None:
    back = unflatten(Inner, SerializedModel({}, {}, {"rate": 2, "sizes": [4], "words": []}))
    assert back == Inner(2.0, (4,), ())
    assert isinstance(back.rate, float)


def test_every_model_of_an_engine_has_a_round_trip(shop_engine: Engine) -> None:
    models = {part.name: getattr(shop_engine, part.name) for part in fields(Engine)}
    models["offers"] = shop_engine.offers.known  # a bundle has no later offers
    for name, model in models.items():
        if name not in ("index", "items_table", "users_table", "is_visitor"):
            assert_same(model, unflatten(type(model), flatten(model)))


@dataclass(frozen=True)
class _Twice:
    """One array in two places."""

    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    other: npt.NDArray[np.int32]


def test_an_array_in_two_places_is_stored_once() -> None:
    array = np.arange(3, dtype=np.int32)
    parts = flatten(_Twice(array, array, array.copy()))
    assert list(parts.arrays) == ["first", "other"]
    read = unflatten(_Twice, parts)
    assert read.first is read.second
    np.testing.assert_array_equal(read.other, array)
