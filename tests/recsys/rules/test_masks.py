"""Rules and filters in rows, on an engine of eight items with prices, brands and variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import FilterError, RequestError
from recsys.core.placements import Boost, Pin, Placement, Promotion
from recsys.core.schema import ITEMS
from recsys.filters.filter import Filter
from recsys.retrieval.query import NO_OVERRIDES, Mask
from recsys.rules.masks import Masks, exclude_rows, pinned_rows, resolve_overrides
from tests.recsys.tiny_engine import N_ITEMS, allowed, tiny_engine
from tests.shop import table

PRICES = (10, 12, 100, 90, 15, 20, None, 5)
ENGINE = tiny_engine(
    items_table=table(
        [
            {"item_id": item_id, "price": price, "brand": "x" if item_id in "aceg" else "y"}
            for item_id, price in zip("abcdefgh", PRICES, strict=True)
        ],
        ITEMS,
    )
)
MINE = Placement("mine", "user", {"als": 1.0})
CHEAP = [0, 1, 4, 7]


def rows(mask: Mask | None) -> list[int]:
    assert mask is not None
    assert mask.shape == (N_ITEMS,)
    return np.flatnonzero(mask).tolist()


def resolved(
    placement: Placement,
    text: str = "",
    user: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Any:
    masks = Masks()
    requested = masks.compiled(text, ENGINE) if text else None

    def attributes() -> Mapping[str, Any]:
        assert user is not None, "no filter reads the user"
        return user

    return resolve_overrides(ENGINE, placement, requested, masks, attributes, context or {})


def test_without_rules_and_filters_nothing_is_overridden() -> None:
    assert resolved(MINE) == (NO_OVERRIDES, None)


def test_the_filters_of_the_placement_and_of_the_request_both_narrow() -> None:
    filtered = replace(MINE, filter="price < 20")
    for placement, text, expected in (
        (filtered, "", CHEAP),
        (MINE, "brand = 'x'", [0, 2, 4, 6]),
        (filtered, "brand = 'x'", [0, 4]),
    ):
        overrides, kept = resolved(placement, text)
        assert rows(kept) == expected
        assert overrides.is_filtered


def test_rules_alone_do_not_narrow() -> None:
    placement = replace(
        MINE,
        boosts=(Boost("price < 20", 2.0), Boost("brand = 'y'", 0.5)),
        promotions=(Promotion("price > 50", 0.2),),
        pins=(Pin("c", 2), Pin("a", 1)),
    )
    overrides, kept = resolved(placement)
    assert kept is None
    assert not overrides.is_filtered
    assert [(rows(mask), factor) for mask, factor in overrides.boosts] == [(CHEAP, 2.0), ([1, 3, 5, 7], 0.5)]
    assert [(rows(mask), share) for mask, share in overrides.promotions] == [([2, 3], 0.2)]
    assert overrides.pins == ((0, 1), (2, 2))


def test_pins_alone_need_no_filter() -> None:
    overrides, kept = resolved(replace(MINE, pins=(Pin("b", 1),)))
    assert (overrides.pins, overrides.is_filtered, kept) == (((1, 1),), False, None)


def test_pins_are_in_the_order_of_their_ranks_and_unknown_items_have_none() -> None:
    placement = replace(MINE, pins=(Pin("h", 7), Pin("nobody", 1), Pin("a", 3)))
    assert pinned_rows(ENGINE, placement) == ((0, 3), (7, 7))
    assert pinned_rows(ENGINE, MINE) == ()


def test_filters_read_the_user_and_the_context() -> None:
    """The user is asked for only where a filter reads it; elsewhere `resolved` fails."""
    overrides, kept = resolved(replace(MINE, filter="brand = user.brand"), user={"brand": "y"})
    assert rows(kept) == [1, 3, 5, 7]
    _, kept = resolved(MINE, "price < context.budget", context={"budget": 13})
    assert rows(kept) == [0, 1, 7]
    boosted = replace(MINE, boosts=(Boost("brand = user.brand", 2.0),))
    overrides, _ = resolved(boosted, "price < 20", user={"brand": "x"})
    assert rows(overrides.boosts[0][0]) == [0, 2, 4, 6]


def test_a_value_that_does_not_fit_is_blamed_on_the_one_who_reads_it() -> None:
    with pytest.raises(FilterError, match="budget"):
        resolved(MINE, "price < context.budget", context={"budget": "little"})
    with pytest.raises(RequestError, match=r"placement 'mine', filter 'price < context.budget': .*budget") as raised:
        resolved(replace(MINE, filter="price < context.budget"), context={"budget": "little"})
    assert raised.value.field == "context"
    with pytest.raises(RequestError, match="placement 'mine'"):
        resolved(replace(MINE, promotions=(Promotion("price < context.budget", 0.5),)), context={"budget": "little"})


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The filters that were evaluated, in order."""
    texts: list[str] = []
    evaluate = Filter.evaluate

    def counted(self: Filter, *args: Any) -> Any:
        texts.append(self.text)
        return evaluate(self, *args)

    monkeypatch.setattr(Filter, "evaluate", counted)
    return texts


def test_masks_are_kept_as_long_as_the_catalog(evaluated: list[str]) -> None:
    masks, other = Masks(), replace(ENGINE)
    for engine in (ENGINE, ENGINE, other, other):
        assert rows(masks.of("price < 20", engine, {}, {})) == CHEAP
    assert evaluated == ["price < 20"] * 2, "the other engine's catalog is in another state"
    assert masks.compiled("price < 20", ENGINE) is masks.compiled("price < 20", ENGINE)


def test_without_memory_every_mask_is_evaluated(evaluated: list[str]) -> None:
    masks = Masks(0)
    for _ in range(2):
        assert rows(masks.of("price < 20", ENGINE, {}, {})) == CHEAP
    assert len(evaluated) == 2


def test_masks_without_columns_of_offers_are_shared_by_all_places(evaluated: list[str]) -> None:
    """An engine with offers in place names the state of the catalog that it came from."""
    masks, here = Masks(), replace(ENGINE)
    vars(here)["general_state"] = ENGINE.state
    for text in ("brand = 'x'", "price < 20", "available"):
        for engine in (ENGINE, here):
            masks.of(text, engine, {}, {})
    assert evaluated == ["brand = 'x'", "price < 20", "price < 20", "available", "available"]


@given(st.lists(st.sampled_from([*"abcdefgh", "nobody"]), max_size=4), st.none() | st.sets(st.integers(0, 7)))
def test_excluded_items_leave_with_their_variants(excluded: list[str], some: set[int] | None) -> None:
    """Items a and b are variants."""
    before = None if some is None else allowed(*some)
    kept = exclude_rows(ENGINE, before, tuple(excluded))
    gone = set(excluded) | (set("ab") if {"a", "b"} & set(excluded) else set())
    assert rows(kept) == [row for row in range(8) if "abcdefgh"[row] not in gone and (some is None or row in some)]
    if some is not None and before is not None:
        assert rows(before) == sorted(some), "the mask that was given is unchanged"
