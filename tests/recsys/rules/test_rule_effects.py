from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.placements import PLACEMENTS, Boost, Pin, Promotion
from recsys.rules.rule_effects import own_weights, rule_effects

ITEMS = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "price": [1.0, 2.0, 3.0, None]})
LISTABLE = np.array([True, True, True, False])
FOR_YOU = PLACEMENTS["for_you"]


def kept(**rules: Any) -> list[tuple[str, int, str]]:
    effects = rule_effects(replace(FOR_YOU, **rules), ITEMS, LISTABLE)
    assert all(effect.of == 3 for effect in effects)
    return [(effect.key, effect.kept, effect.why) for effect in effects]


def test_rules_count_items_that_may_be_listed_and_that_the_filter_keeps() -> None:
    assert kept() == []
    assert kept(filter="price IS NULL") == [("filter", 0, "")]
    promotions = (Promotion("price > 1", 0.5), Promotion("price < 3", 0.1))
    assert kept(promotions=promotions) == [("promotions[0].filter", 2, ""), ("promotions[1].filter", 2, "")]
    assert kept(filter="price >= 2", boosts=(Boost("price <= 2", 2.0),)) == [
        ("filter", 2, ""),
        ("boosts[0].filter", 1, ""),
    ]
    pins = tuple(Pin(item_id, rank) for rank, item_id in enumerate(["b", "a", "d", "e"], 1))
    assert kept(filter="price >= 2", pins=pins)[1:] == [
        ("pins[0]", 1, ""),
        ("pins[1]", 0, "left out by the filter of the list"),
        ("pins[2]", 0, "not available"),
        ("pins[3]", 0, "not in the catalog"),
    ]


def test_values_of_the_user_and_the_request_are_named() -> None:
    (effect,) = rule_effects(replace(FOR_YOU, filter="price > user.age OR context.x = 1"), ITEMS, LISTABLE)
    assert (effect.kept, effect.needs) == (0, ("context.x", "user.age"))
    assert "0 of 3 items, without a value of context.x, user.age" in effect.sentence()


@given(st.lists(st.booleans(), min_size=4, max_size=4), st.floats(0, 4))
def test_no_rule_keeps_more_than_may_be_listed(listable: list[bool], price: float) -> None:
    placement = replace(FOR_YOU, filter=f"price <= {price}", promotions=(Promotion("price IS NOT NULL", 0.5),))
    for effect in rule_effects(placement, ITEMS, np.array(listable)):
        assert 0 <= effect.kept <= effect.of == sum(listable)


@pytest.mark.parametrize(
    ("change", "has_own"),
    [
        ({}, False),
        ({"blend": ""}, True),
        ({"blend": "", "sources": {"als": 1.0}}, False),
        ({"blend": "", "anchor": "none"}, False),
    ],
)
def test_weights_of_a_file_are_named_where_they_replace_learned_ones(change: Any, has_own: bool) -> None:
    found = own_weights([replace(FOR_YOU, **change)])
    assert list(found) == ["for_you"] * has_own
    assert not has_own or "repeat 1, als 1, together 0.1" in found["for_you"]


def test_relative_dates_are_counted_from_the_given_moment() -> None:
    placement, now = replace(FOR_YOU, filter="now() > '2024-01-01'"), datetime(2024, 5, 1, tzinfo=UTC)
    (effect,) = rule_effects(placement, ITEMS, LISTABLE, now)
    assert (effect.kept, effect.needs) == (int(LISTABLE.sum()), ())
    (effect,) = rule_effects(placement, ITEMS, LISTABLE)
    assert (effect.kept, effect.needs) == (0, ("now()",))
