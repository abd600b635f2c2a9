"""Live changes over a bundle whose files are newer than some of them, with and without the log in its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from recsys.core.schema import EVENTS, ITEMS, OFFERS, USERS
from recsys.data.dataset import build_dataset
from recsys.data.offers import Offers, OfferScope, read_offers
from recsys.eventlog.store import EntryType, LogEntry, StoredEntry
from recsys.fitting.engine import Engine, FittedDataInfo
from recsys.live.older_changes import outdated_parts
from recsys.live.view import LiveView
from tests.recsys.tiny_engine import tiny_engine
from tests.shop import TIMEZONE, at, table

EXPORT = 1_700_000_000
IDS = "abcdefgh"


def engine_of(complete: bool = False, **updated: int) -> Engine:
    """A bundle of files from `EXPORT` with the items a to f at price 9; g and h are in events alone."""
    rows = [
        {"item_id": id_, "price": 9.0} | ({"updated_at": at(updated[id_])} if id_ in updated else {})
        for id_ in "abcdef"
    ]
    events = [{"item_id": id_, "event": "purchase", "user_id": "u", "timestamp": at(n)} for n, id_ in enumerate("gh")]
    tables = table(events, EVENTS), table(rows, ITEMS), table((), USERS)
    dataset = build_dataset(*tables, timezone=TIMEZONE, is_catalog_complete=complete)
    dataset = replace(dataset, items_from=float(EXPORT), offers_from=float(EXPORT))
    offers = Offers(read_offers(table([{"item_id": "a", "price": 8.0}], OFFERS), dataset.items))
    tiny = tiny_engine()
    catalog = replace(tiny.catalog, available=dataset.catalog["available"].fill_null(True).to_numpy())
    shop = FittedDataInfo.of(dataset)
    return replace(tiny, items_table=dataset.catalog, catalog=catalog, dataset_info=shop, offers=offers)


def view(base: Engine, *changes: tuple[EntryType, str, float, dict[str, Any]]) -> LiveView:
    live = LiveView(base)
    live.apply(
        StoredEntry(n, LogEntry(kind, key, 0.0, EXPORT + seconds, body))
        for n, (kind, key, seconds, body) in enumerate(changes, 1)
    )
    return live


def price(live: LiveView, id_: str) -> float | None:
    row = live.engine.items.row(id_)
    return None if row < 0 else live.engine.items_table["price"][row]


@pytest.mark.parametrize("kind", ["item_put", "item_patch"])
@pytest.mark.parametrize("seconds", [-3600, -1, 0, 1])
def test_the_newer_of_file_and_change_wins(kind: EntryType, seconds: float) -> None:
    live = view(engine_of(), (kind, "b", seconds, {"price": 1.0, "available": False}))
    assert price(live, "b") == (1.0 if seconds >= 0 else 9.0)
    row = live.engine.items.row("b")
    assert live.engine.catalog.available[row] == (seconds < 0)


def test_a_deletion_of_once_hides_nothing() -> None:
    assert price(view(engine_of(), ("item_delete", "b", -1, {})), "b") == 9.0
    assert price(view(engine_of(), ("item_delete", "b", 1, {})), "b") is None


def test_the_time_of_the_row_comes_before_that_of_the_file() -> None:
    base = engine_of(b=EXPORT - 100, c=EXPORT + 100)
    changes: Sequence[tuple[EntryType, str, float, dict[str, Any]]] = [
        ("item_patch", "b", -50, {"price": 1.0}),
        ("item_patch", "c", 50, {"price": 1.0}),
        ("item_patch", "d", 50, {"price": 1.0, "updated_at": at(EXPORT - 1).isoformat()}),
    ]
    live = view(base, *changes)
    assert [price(live, id_) for id_ in "bcd"] == [1.0, 9.0, 9.0]


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("id_", ["g", "new"])
def test_what_a_file_lacks_it_says_only_where_it_is_complete(complete: bool, id_: str) -> None:
    base = engine_of(complete)
    assert price(view(base, ("item_put", id_, -1, {"price": 1.0})), id_) == (None if complete else 1.0)
    live = view(base, ("item_put", id_, 1, {"price": 1.0}))
    assert price(live, id_) == 1.0
    assert live.engine.catalog.available[live.engine.items.row(id_)]


@pytest.mark.parametrize("complete", [True, False])
def test_an_item_that_only_events_name_is_listed_where_the_catalog_is_not_complete(complete: bool) -> None:
    live = view(engine_of(complete), ("event", "e1", 5, {"item_id": "unheard", "event": "purchase", "user_id": "u"}))
    for id_ in ("g", "unheard"):
        row = live.engine.items.row(id_)
        assert row < 0 or live.engine.catalog.available[row] == (not complete)


@pytest.mark.parametrize(("seconds", "n_known"), [(-1, 1), (1, 0)])
def test_offers_are_compared_by_themselves(seconds: float, n_known: int) -> None:
    base = engine_of(a=EXPORT - 100)
    live = view(base, ("item_patch", "a", seconds, {"price": 1.0, "offers": []}))
    assert price(live, "a") == 1.0
    offers = live.engine.offers
    [(_, terms)] = offers.applicable_terms(offers.context_key(OfferScope(), 0), 0)
    assert len(terms.price) == n_known
    newer = engine_of(a=EXPORT + 100)
    assert price(view(newer, ("item_put", "a", seconds, {"price": 1.0})), "a") == 9.0
    assert outdated_parts(newer, LogEntry("item_put", "a", 0.0, EXPORT + seconds, {})) == (True, seconds < 0)


def test_tables_of_no_file_are_older_than_every_change() -> None:
    base = replace(engine_of(), dataset_info=replace(engine_of().dataset_info, items_from=0.0, offers_from=0.0))
    assert price(view(base, ("item_patch", "b", -1e9, {"price": 1.0})), "b") == 1.0
