"""Which rows of a table repeat another one, by hand."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import TABLES
from tests.shop import at, table
from training.ingest.checks import ROW
from training.ingest.repeated_rows import repeated_rows


def repeated(name: str, *rows: dict[str, Any], sources: list[int] | None = None) -> list[tuple[int, str]]:
    frame = table(rows, TABLES[name]).with_row_index(ROW)
    numbers = pl.Series(sources or list(range(1, len(rows) + 1)), dtype=pl.UInt32)
    return repeated_rows(frame, name, numbers).select(ROW, "reason").rows()


def sold(item: str = "a", **more: Any) -> dict[str, Any]:
    return {"item_id": item, "event": "purchase", "timestamp": at(0), "user_id": "u", **more}


def test_of_equal_events_and_of_equal_ids_the_first_stays() -> None:
    assert repeated("events", sold(), sold("b"), sold()) == [(2, "duplicate row")]
    assert repeated("events", sold(event_id="e"), sold("b", event_id="e")) == [(1, "duplicate event_id")]
    assert repeated("events", sold(event_id="e"), sold(event_id="f")) == []


def test_equal_order_lines_of_one_payload_are_pieces() -> None:
    rows = [sold(), sold(), sold("b"), sold(), sold()]
    assert repeated("events", *rows, sources=[1, 1, 1, 2, 2]) == [(3, "duplicate row"), (4, "duplicate row")]
    assert repeated("events", *rows, sources=[1, 1, 1, 2, 3]) == [(3, "duplicate row"), (4, "duplicate row")]
    views = [row | {"event": "view_item"} for row in rows[:2]]
    assert repeated("events", *views, sources=[1, 1]) == [(1, "duplicate row")]


@pytest.mark.parametrize(("name", "key"), [("items", "item_id"), ("users", "user_id")])
def test_of_items_and_users_the_last_stays(name: str, key: str) -> None:
    found = repeated(name, {key: "a"}, {key: "b"}, {key: "a"})
    assert [row for row, _ in found] == [0]


def test_offers_repeat_only_as_a_whole() -> None:
    offers = [{"item_id": "a", "price": 1.0}, {"item_id": "a", "price": 2.0}, {"item_id": "a", "price": 1.0}]
    assert [row for row, _ in repeated("offers", *offers)] == [2]


EVENT = st.fixed_dictionaries(
    {"item_id": st.sampled_from("ab"), "event": st.sampled_from(["purchase", "view_item"])},
    optional={
        "event_id": st.sampled_from("ef"),
        "price": st.sampled_from([0.0, -0.0, 1.0, math.nan]),
        "user_id": st.sampled_from(["u", "v"]),
    },
)


@given(st.lists(st.tuples(EVENT, st.integers(1, 3)), max_size=12))
def test_repeated_events_are_those_of_a_comparison_of_each_with_each(rows: list[tuple[dict[str, Any], int]]) -> None:
    def seen(row: dict[str, Any]) -> tuple[Any, ...]:
        price = row.get("price")
        price = "nan" if price is not None and math.isnan(price) else price
        return row["item_id"], row["event"], row.get("event_id"), price, row.get("user_id")

    ids, pieces, lines = set[str](), set[tuple[Any, ...]](), Counter[tuple[Any, ...]]()
    expected = list[tuple[int, str]]()
    for number, (row, source) in enumerate(rows):
        event_id = row.get("event_id")
        if event_id is not None:
            expected += [(number, "duplicate event_id")] if event_id in ids else []
            ids.add(event_id)
            continue
        line = seen(row)
        piece = (line, lines[line, source] if row["event"] == "purchase" else 0)
        lines[line, source] += 1
        expected += [(number, "duplicate row")] if piece in pieces else []
        pieces.add(piece)
    found = repeated("events", *({"timestamp": at(0)} | row for row, _ in rows), sources=[each for _, each in rows])
    assert sorted(found) == expected
