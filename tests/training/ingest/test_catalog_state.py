"""What a shop's catalog files say about items that they lack, and as of when."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.core.schema import EVENTS, ITEMS
from tests.shop import at, moment, table
from training.config import parse_config
from training.ingest.catalog_state import CatalogConfig, CatalogState, find_catalog_state, modified_at

AS_OF = datetime(2026, 6, 1, 3, tzinfo=UTC)


def state(
    bought: Sequence[tuple[str, float]], config: CatalogConfig | None = None, event: str = "purchase"
) -> CatalogState:
    """The state of a catalog of tea and the product shirt, with events of some items and days."""
    rows = [{"item_id": id_, "event": event, "timestamp": at(moment(day)), "user_id": "u"} for id_, day in bought]
    items = [{"item_id": "tea"}, {"item_id": "shirt-m", "item_group_id": "shirt"}]
    tables = {"events": table(rows, EVENTS), "items": table(items, ITEMS)}
    return find_catalog_state(tables, {"items": [Path(__file__)]}, config or CatalogConfig(), AS_OF)


@pytest.mark.parametrize(
    ("known", "unknown", "is_complete"), [(98, 2, True), (97, 3, False), (100, 0, True), (0, 5, False)]
)
@pytest.mark.parametrize("event", ["purchase", "view_item"])
def test_a_catalog_with_nearly_all_purchases_is_complete(
    known: int, unknown: int, is_complete: bool, event: str
) -> None:
    found = state([("tea", 1)] * known + [("old", 1)] * unknown, event=event)
    assert found.is_complete == is_complete
    assert found.coverage == pytest.approx(known / (known + unknown))
    assert f"{found.coverage:.1%}" in found.notes["items"][0]
    assert "catalog.complete = " in found.notes["items"][0]


def test_only_the_last_days_and_products_count() -> None:
    assert state([("old", 1)] * 50 + [("tea", 40), ("shirt", 41), ("shirt-m", 41)]).is_complete
    assert not state([("old", 20), ("tea", 40)]).is_complete


@pytest.mark.parametrize("complete", [True, False])
def test_a_setting_decides(complete: bool) -> None:
    config = parse_config({"catalog": {"complete": complete}}).catalog
    for bought in ([("tea", 1)], [("old", 1)], []):
        found = state(bought, config)
        assert found.is_complete == complete
        assert "as set" in found.notes["items"][0]


def test_without_items_nothing_is_known() -> None:
    rows = [{"item_id": "tea", "event": "purchase", "timestamp": at(0), "user_id": "u"}]
    found = find_catalog_state({"events": table(rows, EVENTS)}, {}, CatalogConfig(), None)
    assert (found.is_complete, found.coverage, found.exported_at, found.notes) == (False, None, {}, {})
    assert state([]).is_complete, "no purchase contradicts it"


def test_rows_are_from_the_export(tmp_path: Path) -> None:
    for n, name in enumerate(("a.csv", "b.csv")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1_000_000 + n, 1_000_000 + n))
    tables = {"items": table([], ITEMS), "offers": pl.DataFrame()}
    paths = {"items": [tmp_path], "offers": [tmp_path / "b.csv"]}
    found = find_catalog_state(tables, paths, CatalogConfig(export_lag=1.0), None)
    assert found.exported_at == {"items": 1_000_000 - 60, "offers": 1_000_001 - 60}
    assert modified_at([tmp_path / "b.csv"]) == 1_000_001
    assert "minus 1 min" in found.notes["offers"][0]
    found = find_catalog_state(tables, paths, CatalogConfig(), AS_OF)
    assert set(found.exported_at.values()) == {AS_OF.timestamp()}
    assert "--as-of" in found.notes["items"][1]


def test_a_negative_lag_is_refused() -> None:
    with pytest.raises(ConfigError, match="export_lag"):
        parse_config({"catalog": {"export_lag": -1.0}})
