from __future__ import annotations

from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ingest.extended_json import unwrap, unwrap_column

ID = "65a0c1d20200000000000003"


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        ({"$oid": ID}, ID),
        ({"$date": "2026-10-01T10:00:00Z"}, "2026-10-01T10:00:00Z"),
        ({"$date": {"$numberLong": "1700000000000"}}, "2023-11-14T22:13:20+00:00"),
        ({"$date": 86_400_000}, "1970-01-02T00:00:00+00:00"),
        ({"$numberLong": "4006381333931"}, 4006381333931),
        ({"$numberInt": "7"}, 7),
        ({"$numberDouble": "7.5"}, 7.5),
        ({"$numberDecimal": "7.90"}, 7.9),
        ({"$uuid": "a-b"}, "a-b"),
        ({"$binary": {"base64": "AAECAwQFBgcICQoLDA0ODw==", "subType": "04"}}, "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        ({"$timestamp": {"t": 1700000000, "i": 1}}, "2023-11-14T22:13:20+00:00"),
        ({"$numberLong": "many"}, "many"),
        ({"$set": 1}, {"$set": 1}),
        ({"a": [{"$oid": ID}]}, {"a": [ID]}),
    ],
)
def test_wrapped_values(wrapped: Any, plain: Any) -> None:
    assert unwrap(wrapped) == plain


@pytest.mark.parametrize(
    "cell", [ID, f"ObjectId({ID})", f'ObjectId("{ID}")', f'{{"$oid":"{ID}"}}', f'{{ "$oid" : "{ID}" }}']
)
def test_ids_in_cells_of_text(cell: str) -> None:
    assert unwrap_column(pl.Series("c", ["x", cell, None])).to_list() == ["x", ID, None]


def test_columns_of_structs() -> None:
    assert unwrap_column(pl.Series("c", [{"$oid": ID}, None])).to_list() == [ID, None]
    other = pl.Series("c", [{"a": 1}])
    assert unwrap_column(other) is other
    assert unwrap_column(pl.Series("c", ['{"$broken'])).to_list() == ['{"$broken']


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text().filter(lambda key: key[:1] != "$"), inner),
)


@given(JSON)
def test_json_without_wrappers_stays(value: Any) -> None:
    assert unwrap(value) == value


@given(st.dictionaries(st.text("ab", max_size=3), JSON), st.sampled_from(["$oid", "$date", "$numberLong", "$binary"]))
def test_any_content_of_a_wrapper_is_read(value: dict[str, Any], wrapper: str) -> None:
    msgspec.json.encode(unwrap({"x": {wrapper: value}}))


@pytest.mark.parametrize("value", ["a7", "茶", "", None])
def test_bytes_are_texts(value: str | None) -> None:
    cells = pl.Series("item_id", [b"a", None if value is None else value.encode()])
    assert unwrap_column(cells).to_list() == ["a", value]


def test_bytes_that_are_no_texts_stay() -> None:
    cells = pl.Series("item_id", [b"a", b"\xff"])
    assert unwrap_column(cells).equals(cells)
