from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from training.ingest.casts import PROBLEMS
from training.ingest.checks import ROW, SCHEMAS, SENTENCES, check_rows

EVENT = {"item_id": "i", "event": "purchase", "timestamp": datetime(2024, 5, 1, tzinfo=UTC), "user_id": "u"}
OFFER = {"item_id": "i", "price": 1.0}
VALID = {
    "events": EVENT,
    "items": {"item_id": "i"},
    "users": {"user_id": "u"},
    "offers": OFFER,
    "identities": {"id": "v", "user_id": "u"},
    "messages": {"user_id": "u", "event": "message_sent", "timestamp": EVENT["timestamp"]},
}


def rows(table: str, *changes: dict[str, Any], problems: str | None = None) -> pl.DataFrame:
    schema = SCHEMAS[table].create_empty().schema
    records = [VALID[table] | {ROW: number, PROBLEMS: problems} | each for number, each in enumerate(changes)]
    return pl.DataFrame(records, schema=schema)


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_rule_of_every_table_has_its_reason(table: str) -> None:
    rules = SCHEMAS[table]._validation_rules(with_cast=False)
    names = {name.rpartition("|")[2] for name in rules} - {"well_typed"}
    assert names
    assert names <= set(SENTENCES)


@pytest.mark.parametrize("table", SCHEMAS)
def test_valid_rows_are_kept_in_their_order(table: str) -> None:
    table_rows = rows(table, {}, {}, {})
    checked = check_rows(table_rows, table)
    assert checked.kept.equals(table_rows)
    assert checked.rejected.height == 0


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("events", {"item_id": None}, "item_id is empty"),
        ("events", {"item_id": "  "}, "item_id is blank"),
        ("events", {"item_id": "x" * 257}, "item_id is longer than 256 bytes of UTF-8"),
        ("events", {"item_id": "a\x00b"}, "item_id contains control characters"),
        ("events", {"user_id": None}, "none of user_id, visitor_id, session_id, basket_id is filled"),
        ("events", {"quantity": 0.0}, "a purchase of quantity zero"),
        ("events", {"quantity": -1.0}, "quantity is negative"),
        ("users", {"user_id": None}, "user_id is empty"),
        ("offers", {"price": None}, "neither price nor available is filled"),
        (
            "offers",
            {"valid_from": datetime(2024, 5, 2, tzinfo=UTC), "valid_to": datetime(2024, 5, 1, tzinfo=UTC)},
            "valid_to is before valid_from",
        ),
    ],
)
def test_a_row_that_breaks_a_rule_is_rejected_with_the_reason(table: str, change: dict[str, Any], reason: str) -> None:
    checked = check_rows(rows(table, {}, change, {}), table)
    assert checked.kept[ROW].to_list() == [0, 2]
    assert checked.rejected.rows() == [(1, reason)]


def test_all_reasons_of_a_row_are_listed_and_an_uncast_value_is_not_also_empty() -> None:
    broken = rows("events", {"timestamp": None, "quantity": -1.0}, problems="timestamp is not a time")
    assert check_rows(broken, "events").rejected["reason"].to_list() == [
        "timestamp is not a time; quantity is negative"
    ]


def test_a_view_may_have_no_quantity() -> None:
    assert check_rows(rows("events", {"event": "view_item", "quantity": 0.0}), "events").rejected.height == 0
