from __future__ import annotations

from dataclasses import replace

import pytest

from recsys.core.errors import ConfigError
from recsys.core.placements import PLACEMENTS, Boost, Placement, Promotion
from recsys.core.schema import ITEMS
from recsys.rules.placement_registry import BUILT_IN, PlacementRegistry

PLAIN = PLACEMENTS["for_you"]


def registry(*placements: Placement) -> PlacementRegistry:
    return PlacementRegistry({placement.name: placement for placement in placements})


def test_the_lists_that_are_built_in_fit_every_catalogue() -> None:
    assert BUILT_IN.placements is PLACEMENTS
    assert not BUILT_IN.pages
    assert BUILT_IN.faults({}) == []
    BUILT_IN.check({})


def test_filters_that_fit_the_columns_pass() -> None:
    mine = replace(PLAIN, filter="price < 9", boosts=(Boost("'vegan' = tags", 2.0),))
    assert registry(mine).faults(ITEMS) == []


def test_every_filter_that_does_not_fit_is_named_by_its_key() -> None:
    """One that reads no column of the catalogue, one that compares a text with a number, one that is no filter."""
    one = replace(PLAIN, name="one", filter="colour = 'red'", boosts=(Boost("price < 9", 2.0), Boost("brand < 9", 2.0)))
    two = replace(PLAIN, name="two", promotions=(Promotion("price <", 0.5),))
    faults = registry(one, two).faults(ITEMS)
    keys = ["'placements.one.filter'", "'placements.one.boosts[1].filter'", "'placements.two.promotions[0].filter'"]
    assert [fault.message.split(": ")[0] for fault in faults] == keys
    assert [f"'{fault.field}'" for fault in faults] == keys
    assert [fault.value for fault in faults] == ["colour = 'red'", "brand < 9", "price <"]
    assert "colour" in faults[0].message
    with pytest.raises(ConfigError) as raised:
        registry(one, two).check(ITEMS)
    assert str(raised.value) == "; ".join(fault.message for fault in faults)
    assert raised.value.faults == tuple(faults)


def test_a_column_that_is_gone_is_found() -> None:
    mine = replace(PLAIN, filter="price < 9")
    without = {name: dtype for name, dtype in ITEMS.items() if name != "price"}
    assert len(registry(mine).faults(without)) == 1
