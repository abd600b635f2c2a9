from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import RequestError
from recsys.core.ids import UNKNOWN, ExtendedIdMap, IdMap, checked_ids, not_text

ids = st.lists(st.text(min_size=1, max_size=8), max_size=20)


def test_rows_are_places_in_code_point_order() -> None:
    items = IdMap.of(["茶", "b/1", "B", "🎧", "b/1"])
    assert items.ids == ("B", "b/1", "茶", "🎧")
    assert [items.row(id_) for id_ in items.ids] == [0, 1, 2, 3]
    assert items.row("b") == UNKNOWN
    assert len(items) == 4


@given(ids, ids)
def test_ids_go_to_rows_and_back(known: list[str], asked: list[str]) -> None:
    """The reference is a search through the list of ids."""
    items = IdMap.of(known)
    rows = items.rows(asked)
    assert rows.dtype == np.int32
    assert rows.tolist() == [items.ids.index(id_) if id_ in known else UNKNOWN for id_ in asked]
    assert [items.ids[row] for row in items.rows(known)] == known


@given(ids)
def test_equal_sets_give_equal_maps(known: list[str]) -> None:
    assert IdMap.of(known) == IdMap.of([*reversed(known), *known])


@given(ids, st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=20))
def test_a_column_is_encoded_as_id_by_id(known: list[str], column: list[str | None]) -> None:
    items = IdMap.of(known)
    encoded = items.encode(pl.Series("any name", column, dtype=pl.String))
    assert encoded.dtype == np.int32
    assert encoded.tolist() == [UNKNOWN if id_ is None else items.row(id_) for id_ in column]


def test_a_grown_map_has_the_rows_of_both_parts_and_hides_some() -> None:
    known = IdMap(("a", "b"))
    grown = ExtendedIdMap(("a", "b", "c", "d"), known, {"c": 2, "d": 3}, frozenset({"b", "d"}))
    assert [grown.row(id_) for id_ in "abcde"] == [0, UNKNOWN, 2, UNKNOWN, UNKNOWN]
    assert grown.rows("abcde").tolist() == [0, UNKNOWN, 2, UNKNOWN, UNKNOWN]
    assert grown.ids[3] == "d"
    assert len(grown) == 4


def test_one_text_is_no_list_of_ids() -> None:
    assert checked_ids("user_ids", iter(["a", "茶"])) == ("a", "茶")
    with pytest.raises(RequestError, match=r"user_ids is the text 'u1': expected a list of ids, such as \['u1'\]"):
        checked_ids("user_ids", "u1")
    with pytest.raises(RequestError, match="sessions is the text"):
        not_text("sessions", "i1")
    with pytest.raises(RequestError, match="item_ids has 7: expected ids as text, such as '7'") as caught:
        checked_ids("item_ids", [7])  # type: ignore[list-item]
    assert caught.value.field == "item_ids"
