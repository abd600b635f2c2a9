"""Groups of items: parts of the catalog, new items and brands."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys.data.dataset import DAY_S
from recsys.evaluation import item_groups
from recsys.evaluation.item_groups import BRAND, HEAD, NEW, TAIL, ItemGroups, counted_brands
from recsys.fitting.engine import Engine
from recsys.rules.new_items import NEW_DAYS


@pytest.fixture(scope="module")
def engine(shop_engine: Engine) -> Engine:
    """The shop with brands of different size, one item of an empty brand and one without any."""
    n = shop_engine.n_items
    brands = ["", None, *(f"brand {row % 3}" for row in range(n - 2))]
    return replace(shop_engine, items_table=shop_engine.items_table.with_columns(pl.Series("brand", brands, pl.String)))


def test_an_item_is_in_the_head_or_in_the_tail_and_may_have_a_brand(engine: Engine) -> None:
    groups = ItemGroups(engine, counted_brands(engine))
    at = float(engine.created_at_s.max() + 400 * DAY_S)
    for row, item_id in enumerate(engine.items.ids):
        found = groups(item_id, at)
        assert found[0] == (TAIL if engine.is_tail[row] else HEAD)
        assert found[1:] == (((BRAND, f"brand {(row - 2) % 3}"),) if row >= 2 else ())
    assert groups("no such item", at) == ()


def test_an_item_is_new_from_its_creation_for_some_days(engine: Engine) -> None:
    groups = ItemGroups(engine, counted_brands(engine))
    for row in np.flatnonzero(engine.created_at_s > 0)[:5].tolist():
        created, item_id = int(engine.created_at_s[row]), engine.items.ids[row]
        ages = (-1, 0, NEW_DAYS * DAY_S, NEW_DAYS * DAY_S + 1)
        assert [NEW in groups(item_id, created + age) for age in ages] == [False, True, True, False]


def test_the_catalog_is_the_sum_of_its_items(engine: Engine) -> None:
    groups = ItemGroups(engine, counted_brands(engine))
    at = float(np.median(engine.created_at_s)) + DAY_S
    listable = engine.listable["all"]
    ids = [id_ for row, id_ in enumerate(engine.items.ids) if listable is None or listable[row]]
    expected = Counter(group for item_id in ids for group in groups(item_id, at))
    found = groups.catalog(at)
    assert found.pop(("", "")) == len(ids)
    assert {group: n for group, n in found.items() if n} == expected


def test_the_brands_with_most_buyers_are_counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    buyers = Counter[str]()
    for row, n in enumerate(engine.popularity.n_buyers[2:].tolist()):
        buyers[f"brand {row % 3}"] += n
    monkeypatch.setattr(item_groups, "MAX_BRANDS", 2)
    kept = {name for kind, name in ItemGroups(engine, counted_brands(engine)).catalog(0.0) if kind == BRAND}
    assert kept == {name for name, _ in buyers.most_common(2)}
