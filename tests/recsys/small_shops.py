"""Random shops of a few shoppers, items and weeks, for properties and brute-force references."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from recsys.data.dataset import Dataset
from tests.shop import at, dataset_of, moment

USERS = ("u0", "u1", "u2", "u3")
ITEMS = ("a1", "a2", "b1", "b2", "c1", "x")
CATEGORY = {"a": ["食品", "A"], "b": ["食品", "B"], "c": ["C"]}
PRICE = {"a1": 10.0, "a2": 12.0, "b1": 100.0, "b2": 90.0, "c1": 15.0}

CATALOG: tuple[dict[str, Any], ...] = tuple(
    {
        "item_id": item_id,
        "category": CATEGORY.get(item_id[0]),
        "price": PRICE.get(item_id),
        "item_group_id": "a" if item_id[0] == "a" else None,
    }
    for item_id in ITEMS
)


@st.composite
def events(draw: st.DrawFn, max_size: int = 40) -> list[dict[str, Any]]:
    """Purchases: a few of nobody, some in one basket, some of one shopper's day."""
    line = st.tuples(
        st.sampled_from((*USERS, None)),
        st.sampled_from(ITEMS),
        st.integers(0, 60),
        st.integers(0, 23),
        st.booleans(),
    )
    rows = []
    for user_id, item_id, day, hour, named in draw(st.lists(line, max_size=max_size)):
        basket_id = f"{user_id}/{day // 3}" if named or user_id is None else None
        rows.append(
            {
                "user_id": user_id,
                "item_id": item_id,
                "basket_id": basket_id,
                "timestamp": at(moment(day, hour) + 60),
            }
        )
    return rows


@st.composite
def shops(draw: st.DrawFn, max_size: int = 40) -> Dataset:
    """A dataset of such purchases and the whole catalogue."""
    return dataset_of(draw(events(max_size)), CATALOG)
