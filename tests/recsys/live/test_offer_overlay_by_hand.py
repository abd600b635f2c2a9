"""Offers that are replaced item by item, against a dictionary of what each item has now."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recsys.core.ids import IdMap
from recsys.core.schema import OFFERS
from recsys.data.offers import Offers, OfferScope, read_offers
from recsys.live.offer_overlay import OfferOverlay
from tests.shop import table

ITEMS = IdMap.of(["a", "b", "c"])
HERE, ELSEWHERE = OfferScope(store="here"), OfferScope(store="elsewhere")
BASE = Offers(
    read_offers(
        table(
            [
                {"item_id": "a", "price": 1.0},
                {"item_id": "a", "price": 2.0, "store": "here"},
                {"item_id": "b", "available": False},
            ],
            OFFERS,
        ),
        ITEMS,
    )
)


def prices(offers: Offers, where: OfferScope) -> dict[int, float]:
    """What each item costs in a place, as far as offers say so; of several the last."""
    said = (terms for _, terms in offers.applicable_terms(offers.standing(where, 0), 0))
    pairs = (pair for terms in said for pair in zip(terms.item_idx.tolist(), terms.price.tolist(), strict=True))
    return {row: price for row, price in pairs if not math.isnan(price)}


def sold_out(offers: Offers, where: OfferScope) -> set[int]:
    """The items that cannot be had in a place."""
    said = (terms for _, terms in offers.applicable_terms(offers.standing(where, 0), 0))
    pairs = (pair for terms in said for pair in zip(terms.item_idx.tolist(), terms.available.tolist(), strict=True))
    state = {row: available for row, available in pairs if available >= 0}
    return {row for row, available in state.items() if not available}


def test_without_a_change_the_offers_are_those_of_the_bundle() -> None:
    assert OfferOverlay(BASE).offers is BASE
    assert prices(BASE, HERE) == {0: 2.0}
    assert prices(BASE, ELSEWHERE) == {0: 1.0}


def test_the_offers_of_an_item_replace_all_that_it_had() -> None:
    overlay = OfferOverlay(BASE)
    overlay.replace(0, [{"price": 3.0}, {"price": 4.0, "store": "elsewhere"}])
    assert (prices(overlay.offers, HERE), prices(overlay.offers, ELSEWHERE)) == ({0: 3.0}, {0: 4.0})
    assert sold_out(overlay.offers, HERE) == {1}, "other items keep theirs"
    overlay.replace(0, [])
    overlay.replace(1, [{"available": True}])
    assert prices(overlay.offers, HERE) == {}
    assert sold_out(overlay.offers, HERE) == set()
    assert BASE is not overlay.offers
    assert prices(BASE, HERE) == {0: 2.0}, "the bundle's are never changed"


def test_of_equal_offers_the_last_counts() -> None:
    overlay = OfferOverlay(BASE)
    overlay.replace(2, [{"price": 3.0, "available": False}, {"price": 4.0}])
    assert prices(overlay.offers, HERE)[2] == 4.0
    assert sold_out(overlay.offers, HERE) == {1, 2}


def test_an_item_that_never_had_any_loses_none() -> None:
    overlay = OfferOverlay(Offers())
    overlay.replace(2, [])
    assert len(overlay.offers) == 0
    overlay.replace(2, [{"price": 3.0}])
    overlay.replace(2, [])
    assert len(overlay.offers) == 0


PRICES = st.lists(st.sampled_from([1.0, 2.0, 5.0]), max_size=2)


@given(st.lists(st.tuples(st.integers(0, 2), PRICES, st.booleans()), max_size=8))
def test_changes_are_those_of_a_dictionary(changes: list[tuple[int, list[float], bool]]) -> None:
    """Whether offers are read after each change or at the end makes no difference."""
    overlay, now = OfferOverlay(BASE), {0: [1.0, 2.0]}
    for row, changed, is_read in changes:
        overlay.replace(row, [{"price": price} for price in changed])
        now[row] = changed
        if is_read:
            assert overlay.offers is overlay.offers
    expected: dict[int, Any] = {row: each[-1] for row, each in now.items() if each}
    assert prices(overlay.offers, HERE) == expected
