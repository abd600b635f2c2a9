from __future__ import annotations

from typing import Any

import pytest

from recsys.core.ids import IdMap
from recsys.core.schema import OFFERS
from recsys.data.offers import NO_KNOWN_OFFERS, Offers, OfferScope, read_offers
from recsys.live.offer_overlay import OfferOverlay
from tests.shop import table

ITEMS = IdMap.of(["cup", "pot", "tea"])
CUP, POT, TEA = range(3)
NORTH = {"region": "north"}


@pytest.fixture
def base() -> Offers:
    rows = [{"item_id": "cup", "price": 1.0}, {"item_id": "tea", "price": 2.0, **NORTH}]
    return Offers(read_offers(table(rows, OFFERS), ITEMS))


def prices(offers: Offers, region: str = "") -> dict[int, float]:
    """Prices that apply in a region, by row."""
    found: dict[int, float] = {}
    for _, terms in offers.applicable_terms(offers.context_key(OfferScope(region), 100), 100):
        found |= dict(zip(terms.item_idx.tolist(), terms.price.tolist(), strict=True))
    return found


def test_without_changes_the_offers_are_those_of_the_bundle(base: Offers) -> None:
    assert OfferOverlay(base).offers is base


def test_the_offers_of_an_item_are_replaced_as_a_whole(base: Offers) -> None:
    overlay = OfferOverlay(base)
    overlay.replace(TEA, [{"price": 3.0}, {"price": 4.0, "region": "south"}])
    assert prices(overlay.offers) == {CUP: 1.0, TEA: 3.0}
    assert prices(overlay.offers, "north") == {CUP: 1.0, TEA: 3.0}
    assert prices(overlay.offers, "south") == {CUP: 1.0, TEA: 4.0}
    assert prices(base, "north") == {CUP: 1.0, TEA: 2.0}, "the bundle's offers stay"


def test_an_empty_list_removes_the_offers_of_an_item(base: Offers) -> None:
    overlay = OfferOverlay(base)
    overlay.replace(CUP, [])
    assert prices(overlay.offers, "north") == {TEA: 2.0}


def test_the_latest_change_of_an_item_applies(base: Offers) -> None:
    overlay = OfferOverlay(base)
    for price in (5.0, 6.0):
        overlay.replace(POT, [{"price": price}])
        assert prices(overlay.offers)[POT] == price
    overlay.replace(POT, [{"price": 7.0}])
    overlay.replace(POT, [{"price": 8.0}])
    assert prices(overlay.offers) == {CUP: 1.0, POT: 8.0}


def test_no_offers_for_an_item_without_offers_is_no_change() -> None:
    overlay = OfferOverlay(NO_KNOWN_OFFERS)
    overlay.replace(CUP, [])
    assert overlay.offers is NO_KNOWN_OFFERS


@pytest.mark.parametrize("offer", [{"price": "much"}, {"price": 1.0, "valid_from": "no time", "unknown": 1}])
def test_values_that_do_not_fit_are_ignored(base: Offers, offer: dict[str, Any]) -> None:
    overlay = OfferOverlay(base)
    overlay.replace(POT, [offer])
    assert isinstance(overlay.offers, Offers)
    assert set(prices(overlay.offers)) == {CUP, POT}


def test_offers_are_built_once_per_change(base: Offers) -> None:
    overlay = OfferOverlay(base)
    overlay.replace(POT, [{"price": 1.0}])
    assert overlay.offers is overlay.offers


def test_changes_since_the_last_keep_can_be_undone(base: Offers) -> None:
    overlay = OfferOverlay(base)
    overlay.replace(POT, [{"price": 5.0}])
    overlay.keep()
    overlay.replace(POT, [{"price": 6.0}])
    overlay.replace(CUP, [])
    assert prices(overlay.offers, "north") == {POT: 6.0, TEA: 2.0}
    overlay.replace(TEA, [])
    overlay.undo()
    assert prices(overlay.offers, "north") == {CUP: 1.0, POT: 5.0, TEA: 2.0}
    overlay.replace(TEA, [{"price": 7.0}])
    assert prices(overlay.offers, "north") == {CUP: 1.0, POT: 5.0, TEA: 7.0}
