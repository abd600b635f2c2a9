from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.catalog import read_catalog
from recsys.data.offers import NO_KNOWN_OFFERS
from recsys.fitting.engine import Engine
from recsys.live.catalog_changes import CatalogChanges
from recsys.live.growing_engine import GrowingEngine, changed_columns

BODIES = st.fixed_dictionaries(
    {},
    optional={
        "category": st.sampled_from([["手工", "皮具", "钱包"], ["新"], ["新", "a"], [], None]),
        "title": st.sampled_from(["renamed", "改名", None]),
        "price": st.sampled_from([1.0, 1e300, 0.0, None]),
        "available": st.sampled_from([True, False, None]),
        "created_at": st.sampled_from(["2024-06-01T00:00:00+00:00", "1969-01-01T00:00:00+00:00", "x", None]),
        "item_group_id": st.sampled_from(["g", "phone-2", None]),
    },
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["item_put", "item_patch"]), st.sampled_from(["phone-1", "薯片-原", "n1", "n2"]), BODIES),
    min_size=1,
    max_size=8,
)


@given(steps=STEPS, cut=st.integers(0, 8))
def test_arrays_equal_those_of_the_whole_table(shop_engine: Engine, steps: list[Any], cut: int) -> None:
    """The properties that are kept up to date are those that would be computed from all items."""
    changes = CatalogChanges(shop_engine.items_table, shop_engine.items)
    growing = GrowingEngine(shop_engine, changes)
    for part in (steps[:cut], steps[cut:]):
        growing.update(changed_columns([changes.apply(0, item_id, kind, body) for kind, item_id, body in part]))
        engine = growing.engine(NO_KNOWN_OFFERS)
    table = engine.items_table[:]
    expected = read_catalog(table)
    np.testing.assert_array_equal(engine.catalog.available, expected.available)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(engine.catalog.price, expected.price)
    names = [expected.type_names[code] if code >= 0 else None for code in expected.item_type]
    mine = engine.catalog.type_names
    assert [mine[code] if code >= 0 else None for code in engine.catalog.item_type] == names
    plain = Engine(**{**vars_of(engine), "items_table": table})
    np.testing.assert_array_equal(engine.created_at_s, np.maximum(plain.created_at_s, 0))
    for name in ("newest", "is_tail", "titles"):
        np.testing.assert_array_equal(getattr(engine, name), getattr(plain, name), err_msg=name)
    for bucket in range(engine.timeofday.lift.shape[1]):
        np.testing.assert_array_equal(engine.sales_by_bucket.best(bucket), plain.sales_by_bucket.best(bucket))
    assert engine.items.ids == plain.items.ids
    assert engine.catalog.has_groups == bool((engine.catalog.group >= 0).any()) or engine.catalog.has_groups
    assert sorted(engine.by_popularity.tolist()) == list(range(len(table)))
    for pool in ("all", "tail"):
        listed, whole = engine.listable[pool], plain.listable[pool]
        everything = np.ones(len(table), np.bool_)
        np.testing.assert_array_equal(
            everything if listed is None else listed, everything if whole is None else whole, err_msg=pool
        )


def vars_of(engine: Engine) -> dict[str, Any]:
    return {name: getattr(engine, name) for name in type(engine).__dataclass_fields__}


def test_a_change_of_a_known_item_builds_no_engine(shop_engine: Engine) -> None:
    changes = CatalogChanges(shop_engine.items_table, shop_engine.items)
    growing = GrowingEngine(shop_engine, changes)
    change = changes.apply(1, "phone-1", "item_patch", {"price": 5.0})
    growing.update(changed_columns([change]))
    engine = growing.engine(NO_KNOWN_OFFERS)
    growing.update(changed_columns([changes.apply(2, "phone-1", "item_patch", {"price": 6.0})]))
    assert growing.engine(NO_KNOWN_OFFERS) is engine
    row = shop_engine.items.row("phone-1")
    assert engine.catalog.price[row] == 6.0
    assert engine.items_table.row(row, named=True)["price"] == 6.0
    assert shop_engine.catalog.price[row] != 6.0


def test_an_earlier_engine_stays_usable(shop_engine: Engine) -> None:
    changes = CatalogChanges(shop_engine.items_table, shop_engine.items)
    growing = GrowingEngine(shop_engine, changes)
    growing.update(changed_columns([changes.apply(1, "n1", "item_put", {"price": 5.0})]))
    earlier = growing.engine(NO_KNOWN_OFFERS)
    growing.update(changed_columns([changes.apply(2, "n2", "item_put", {"price": 7.0})]))
    later, n = growing.engine(NO_KNOWN_OFFERS), len(shop_engine.items)
    assert len(earlier.items) == len(earlier.catalog.price) == len(earlier.items_table) == n + 1
    assert earlier.items.row("n2") == -1
    assert later.items.row("n2") == n + 1
    assert earlier.items.ids[-1] == "n1"
