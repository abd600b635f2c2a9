from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from recsys.core.schema import TABLES
from training.doctor.ids import NO_IDS, measure_ids

AT = datetime(2024, 5, 1, tzinfo=UTC)


def tables(**rows: list[dict[str, Any]]) -> dict[str, pl.DataFrame]:
    return {name: pl.DataFrame(rows.get(name, []), schema=columns) for name, columns in TABLES.items()}


def event(user: str | None, item: str = "a", **more: Any) -> dict[str, Any]:
    return {"item_id": item, "event": "purchase", "timestamp": AT, "user_id": user} | more


PEOPLE = [event(f"u{n}") for n in range(100)]


def test_an_ordinary_shop_has_no_finding() -> None:
    found = measure_ids(tables(events=PEOPLE, items=[{"item_id": "a"}, {"item_id": "b"}]), {})
    assert found == NO_IDS
    assert found.lines() == []
    assert measure_ids(tables(), {}) == NO_IDS


@pytest.mark.parametrize("word", ["guest", "unknown", "0", "NULL", "anonymous"])
def test_ids_that_look_like_words_are_named(word: str) -> None:
    found = measure_ids(tables(events=[*PEOPLE, event(word), event(word)]), {})
    assert found.words == {("user_id of events", word): 2}
    assert f"user_id of events {word!r} looks like a word for nothing: 2 rows" in found.lines()[0]


def test_products_without_a_parent_are_no_variants_of_one() -> None:
    found = measure_ids(tables(items=[{"item_id": f"i{n}", "item_group_id": "0"} for n in range(9)]), {})
    assert found.words == {("item_group_id of items", "0"): 9}


def test_one_person_with_an_implausible_share_of_the_events_is_named() -> None:
    found = measure_ids(tables(events=[*PEOPLE, *[event("web")] * 100]), {})
    assert found.crowds == {"web": 0.5}
    few = measure_ids(tables(events=[*PEOPLE[:10], *[event("web")] * 100]), {})
    assert few.crowds == {}


@pytest.mark.parametrize(("one", "other"), [("Ab", "aB"), ("a", " a"), ("007", "7")])
def test_spellings_of_one_id_are_named(one: str, other: str) -> None:
    found = measure_ids(tables(events=[event("u", one)], items=[{"item_id": other}, {"item_id": one}]), {})
    assert found.spellings == {"item": (1, tuple(sorted((one, other))))}


def test_tables_without_a_common_id_are_named() -> None:
    found = measure_ids(tables(events=[event("u", "sku-1")], items=[{"item_id": "4711"}]), {})
    assert found.strangers == {"items": ("sku-1", "4711")}
    assert "no id of the items table is in the events (there 'sku-1', in the table '4711')" in found.lines()[0]


def test_sixty_items_that_became_one_are_named() -> None:
    found = measure_ids(tables(), {"items": {"rows": 60, "duplicates": 59}, "events": {"rows": 60, "duplicates": 59}})
    assert found.replaced == {"items": (59, 60)}


def test_rounded_ids_are_named() -> None:
    ids = ["4006380000000", "4006390000000", "4006381333931", "7"]
    found = measure_ids(tables(events=[event("u", id_) for id_ in ids]), {})
    assert found.rounded == {"items": 2}
    whole = measure_ids(tables(events=[event("u", id_) for id_ in ids[2:]]), {})
    assert whole.rounded == {}


def test_findings_are_json() -> None:
    found = measure_ids(tables(events=[event("0", "a"), event("u", "A")]), {})
    assert found.to_dict()["words"] == [["user_id of events", "0", 1]]
    assert found.to_dict()["spellings"] == {"item": [1, ["A", "a"]]}
