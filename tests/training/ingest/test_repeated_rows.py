"""Which rows of a table repeat another one, by hand."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

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
