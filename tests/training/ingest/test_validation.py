from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from recsys.core.errors import DataError
from training.ingest.raw_table import numbered
from training.ingest.validation import REJECTS, ValidationResult, ValidationRules, as_json, validate_table

LATEST = datetime(2024, 6, 1, tzinfo=UTC)
EVENT = {"item_id": "i", "event": "purchase", "timestamp": "2024-05-01T08:00:00Z", "user_id": "u"}


def validate(table: str, *rows: dict[str, Any], **rules: Any) -> ValidationResult:
    return validate_table(numbered(pl.DataFrame(rows)), table, ValidationRules(LATEST, **rules))


def test_kept_rejected_and_duplicate_rows_are_the_input() -> None:
    other = EVENT | {"item_id": "j"}
    late = EVENT | {"timestamp": (LATEST + timedelta(seconds=1)).isoformat()}
    found = validate("events", EVENT, EVENT, other, EVENT | {"item_id": None}, late)
    assert (found.kept.height, found.duplicates, found.rejected, found.rows) == (2, 1, 2, 5)
    assert found.rejects.schema == REJECTS
    assert found.rejects["row"].to_list() == [2, 4, 5]
    late = "timestamp is in the future, got '2024-06-01T00:00:01Z'"
    assert found.rejects["reason"].to_list() == ["duplicate row", "item_id is empty", late]
    assert found.faults() == {"item_id is empty": 1, "timestamp is in the future": 1}
    assert found.reasons() == found.faults() | {"duplicate row": 1}
    assert json.loads(found.rejects["original"][0]) == EVENT


def test_the_first_event_and_the_last_item_of_an_id_are_kept() -> None:
    events = validate("events", EVENT | {"event_id": "e"}, EVENT | {"event_id": "e", "item_id": "j"})
    assert events.kept["item_id"].to_list() == ["i"]
    items = validate("items", {"item_id": "i", "title": "old"}, {"item_id": "i", "title": "new"})
    assert items.kept["title"].to_list() == ["new"]
    assert items.reasons() == {"duplicate item_id: a later row replaces it": 1}


def test_further_columns_stay_with_items_and_are_reported_for_events() -> None:
    assert validate("items", {"item_id": "i", "color": "red"}).kept["color"].to_list() == ["red"]
    assert validate("events", EVENT | {"color": "red"}).ignored_columns == ("color",)


def test_columns_are_renamed_and_the_default_event_is_filled_in() -> None:
    row = {"product": "i", "timestamp": EVENT["timestamp"], "user_id": "u"}
    found = validate("events", row, columns={"product": "item_id"}, default_event="view_item")
    assert found.kept.select("item_id", "event").rows() == [("i", "view_item")]


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        ({"item_id": "i", "sku": "j"}, {"sku": "item_id"}, "'item_id' and 'sku' both have the name 'item_id'"),
        ({"sku": "j"}, {}, r"'item_id' is missing \(columns found: sku\); map yours with --column THEIRS=item_id"),
        ({"Item_Id": "j"}, {}, r"map yours with --column Item_Id=item_id"),
        ({" ITEM ID ": "j"}, {}, r"map yours with --column ' ITEM ID '=item_id"),
        ({"itemId": "j"}, {}, r"map yours with --column itemId=item_id"),
        ({"Export of May": "j", "": None}, {}, r"delete the lines above the names if these are not in the first line"),
        ({"Export of May": "j", "column_2": None}, {}, r"delete the lines above the names"),
    ],
)
def test_a_table_without_its_columns_is_refused(row: dict[str, Any], columns: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        validate("items", row, columns=columns)


def test_events_need_a_column_of_users() -> None:
    with pytest.raises(DataError, match="none of the columns user_id, visitor_id, session_id, basket_id exists"):
        validate("events", {name: EVENT[name] for name in ("item_id", "event", "timestamp")})
    with pytest.raises(DataError, match="map yours with --column UserID=user_id"):
        validate("events", {name: EVENT[name] for name in ("item_id", "event", "timestamp")} | {"UserID": "u"})


def test_every_value_has_a_place_in_json() -> None:
    frame = pl.DataFrame({"at": [LATEST], "nan": [float("nan")], "raw": [b"\xff"], "名": ["茶"]})
    assert json.loads(as_json(frame)[0])["名"] == "茶"


@pytest.mark.parametrize("name", ["*", "^.*$", "^x$", "a\nb", "", "x" * 257])
@pytest.mark.parametrize("value", [1.5, "large", "null", ["a"], {"b": 1}])
@pytest.mark.parametrize("table", ["items", "users"])
def test_columns_with_names_that_look_like_patterns_are_left_out_and_reported(
    table: str, value: Any, name: str
) -> None:
    key = "item_id" if table == "items" else "user_id"
    found = validate(table, {key: "i", name: value, "color": "red", "row": 3})
    assert found.ignored_columns == (name,)
    assert found.kept.select(key, "color", "row").rows() == [("i", "red", 3)]


ROWS: dict[str, dict[str, Any]] = {"events": EVENT, "items": {"item_id": "i"}, "users": {"user_id": "u"}}
KINDS = {
    "events": ["item_id", "visitor_id", "event", "timestamp", "channel", "quantity", "position", "received_at"],
    "items": ["title", "category", "tags", "available", "color"],
    "users": ["timezone"],
}
"""A column of each kind that is read in a way of its own."""


@pytest.mark.parametrize(
    "value",
    [
        ["a", "b"],
        [[1]],
        [{"sku": "a"}],
        {"sku": "a", "lines": [1]},
        {"$oid": "a"},
        {},
        [],
        True,
        b"\xff",
        LATEST,
        LATEST.date(),
        timedelta(1),
        Decimal("1.5"),
        float("inf"),
    ],
    ids=str,
)
@pytest.mark.parametrize(("table", "column"), [(table, column) for table in KINDS for column in KINDS[table]])
def test_a_value_of_any_type_in_any_column_costs_at_most_its_row(table: str, column: str, value: Any) -> None:
    frame = pl.DataFrame([ROWS[table]] * 2).with_columns(pl.Series(column, [value, value]))
    found = validate_table(numbered(frame), table, ValidationRules(LATEST))
    assert found.kept.height + found.rejects.height + sum(found.skipped.values()) == 2
    assert all(found.reasons())


def test_consents_are_true_false_or_empty_and_others_are_named() -> None:
    given = ["yes", "no", None, "ja", "maybe", "1", "0"]
    found = validate("users", *({"user_id": str(n), "consent_push": text} for n, text in enumerate(given)))
    assert found.kept["consent_push"].to_list() == [True, False, None, True, False, True, False]
    assert found.kept.columns.count("consent_push") == 1
    assert found.emptied.select("column", "value").rows() == [("consent_push", "maybe")]
    assert "it counts as false" in next(iter(found.examples.values()))
    assert validate("items", {"item_id": "i", "consent_push": "maybe"}).kept["consent_push"].to_list() == ["maybe"]
