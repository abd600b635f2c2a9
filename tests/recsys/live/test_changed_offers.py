from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import OFFERS
from recsys.data.offers import Offers, OfferScope, OffersKey, OfferTable, offer_rows, tabulate
from recsys.data.row_changes import to_frame
from recsys.live.changed_offers import ChangedOffers

N_ITEMS = 4
PLACES = ("", "north", "south")
Terms = tuple[float | None, int | None]

OFFER = st.fixed_dictionaries(
    {},
    optional={
        "price": st.sampled_from([1.0, 2.0, 3.0]),
        "available": st.booleans(),
        "region": st.sampled_from(PLACES[1:]),
        "store": st.sampled_from(["s"]),
        "channel": st.sampled_from(["app"]),
        "valid_from": st.integers(0, 5).map(lambda n: f"1970-01-01T00:00:0{n}Z"),
        "valid_to": st.integers(0, 9).map(lambda n: f"1970-01-01T00:00:0{n}Z"),
    },
)
CHANGES = st.lists(st.tuples(st.integers(0, N_ITEMS - 1), st.none() | st.lists(OFFER, max_size=3)), max_size=12)
WHERE = [OfferScope(region, store, channel) for region in PLACES for store in ("", "s") for channel in ("", "app")]


def frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return to_frame([dict(row) for row in rows], OFFERS).select(*OFFERS)


def table_of(offers: Mapping[int, Sequence[Mapping[str, Any]]]) -> OfferTable:
    rows = frame([row for each in offers.values() for row in each])
    item_idx = [row for row, each in offers.items() for _ in each]
    return tabulate(rows.insert_column(0, pl.Series("item_idx", item_idx, pl.Int32())))


def applied(offers: Offers, key: OffersKey, as_of: int, items: Sequence[int] | None = None) -> dict[int, Terms]:
    """What applies to each item."""
    found: dict[int, Terms] = {}
    rows = None if items is None else np.array(items, np.int64)
    for _, terms in offers.applicable_terms(key, as_of, rows):
        for row, price, available in zip(*(column.tolist() for column in terms[:3]), strict=True):
            before = found.get(row, (None, None))
            found[row] = (before[0] if np.isnan(price) else price, before[1] if available < 0 else available)
    return found


@given(known=st.dictionaries(st.integers(0, N_ITEMS - 1), st.lists(OFFER, min_size=1, max_size=2)), changes=CHANGES)
def test_offers_changed_one_by_one_are_those_of_a_table_of_all(
    known: dict[int, list[dict[str, Any]]], changes: Sequence[tuple[int, list[dict[str, Any]] | None]]
) -> None:
    """The reference builds the table of all current offers; both are asked everywhere, at each second."""
    base, later, current = table_of(known), ChangedOffers(), dict(known)
    offers = Offers(base, later)
    for row, rows in changes:
        later.replace(row, None if rows is None else offer_rows(frame(rows)))
        current[row] = known.get(row, []) if rows is None else rows
    reference = Offers(table_of(current))
    for where in WHERE:
        for as_of in range(11):
            key = offers.context_key(where, as_of)
            wanted = applied(reference, reference.context_key(where, as_of), as_of)
            assert applied(offers, key, as_of) == wanted
            assert applied(offers, key, as_of, range(N_ITEMS)) == wanted
            assert applied(offers, key, as_of, [1]) == {row: each for row, each in wanted.items() if row == 1}


@given(before=CHANGES, after=CHANGES)
def test_what_applies_to_an_unchanged_item_depends_on_the_key_alone(before: Any, after: Any) -> None:
    """A catalog that was made for a key serves every moment of the key, after the changed items are read again."""
    later = ChangedOffers()
    offers, seen = Offers(changed=later), dict[tuple[OffersKey, int], Terms | None]()
    for changes in (before, after):
        for row, rows in changes:
            later.replace(row, None if rows is None else offer_rows(frame(rows)))
            seen = {(key, item): each for (key, item), each in seen.items() if item != row}
        for where in WHERE:
            for as_of in range(11):
                key = offers.context_key(where, as_of)
                found = applied(offers, key, as_of)
                for item in range(N_ITEMS):
                    assert seen.setdefault((key, item), found.get(item)) == found.get(item)


def test_places_are_used_again() -> None:
    later, [row] = ChangedOffers(), offer_rows(frame([{"price": 1.0}]))
    for price in range(1000):
        later.replace(price % 3, [row._replace(price=float(price))] * 2)
    assert len(later) == 6
    assert later.terms(OfferScope(), 0).price.tolist().count(999.0) == 2
    assert len(later.terms(OfferScope(), 0).price) == 6
    assert later.are_replaced(np.array([0, 2, 3, 900_000], np.int32)).tolist() == [True, True, False, False]
