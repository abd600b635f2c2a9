"""Shops with next to nothing in them: each trains, and answers every list."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np

from recsys.data.dataset import Dataset
from recsys.fitting.engine import Engine
from recsys.ranking.fit import fit_engine
from tests.recsys.small_shops import CATALOG
from tests.shop import at, dataset_of, moment, small_config

ITEM_IDS: Final = tuple(item["item_id"] for item in CATALOG)


def _bought(user_id: str | None, item_id: str, day: float, hour: float = 12.0, **extra: Any) -> dict[str, Any]:
    return {"user_id": user_id, "item_id": item_id, "timestamp": at(moment(day, hour)), **extra}


def _handful() -> Dataset:
    rng = np.random.default_rng(3)
    drawn = rng.integers((10, 6, 20, 24), size=(30, 4)).tolist()
    return dataset_of(
        [_bought(f"u{user}", ITEM_IDS[item], day, hour, basket_id=f"{user}/{day}") for user, item, day, hour in drawn],
        CATALOG,
    )


def _viewed_only() -> Dataset:
    return dataset_of([_bought("u", item_id, n, event="view_item") for n, item_id in enumerate(ITEM_IDS)], CATALOG)


DEGENERATE: Final[Mapping[str, Dataset]] = {
    "ten users and thirty events": _handful(),
    "one user": dataset_of([_bought("u", item_id, n % 3) for n, item_id in enumerate(ITEM_IDS)], CATALOG),
    "one user, bought now": dataset_of([_bought("u", "a1", 0)], CATALOG),
    "one item": dataset_of([_bought(f"u{n}", "a1", n) for n in range(5)], CATALOG[:1]),
    "one item, not available": dataset_of(
        [_bought(f"u{n}", "a1", n) for n in range(5)], [{**CATALOG[0], "available": False}]
    ),
    "nothing available": dataset_of(
        [_bought(f"u{n % 4}", ITEM_IDS[n % 6], n) for n in range(24)],
        [{**item, "available": False} for item in CATALOG],
    ),
    "no baskets of two": dataset_of(
        [_bought(f"u{n % 4}", ITEM_IDS[n % 6], n, basket_id=str(n)) for n in range(24)], CATALOG
    ),
    "no items table": dataset_of([_bought(f"u{n % 4}", ITEM_IDS[n % 5], n // 3) for n in range(24)]),
    "items only": dataset_of([], CATALOG),
    "items without a word": dataset_of([], [{"item_id": item_id} for item_id in ITEM_IDS]),
    "items and users only": dataset_of([], CATALOG, [{"user_id": "u"}]),
    "every item bought once": dataset_of([_bought(f"u{n}", item_id, n) for n, item_id in enumerate(ITEM_IDS)], CATALOG),
    "all the same day": dataset_of([_bought(f"u{n % 4}", ITEM_IDS[n % 6], 0, n % 24) for n in range(24)], CATALOG),
    "all the same second": dataset_of([_bought(f"u{n % 4}", ITEM_IDS[n % 6], 0) for n in range(24)], CATALOG),
    "dates without times": dataset_of([_bought(f"u{n % 4}", ITEM_IDS[n % 6], n, 0) for n in range(24)], CATALOG),
    "no users, only baskets": dataset_of(
        [_bought(None, ITEM_IDS[(n * n) % 6], n // 3, basket_id=str(n // 3)) for n in range(24)], CATALOG
    ),
    "no users, only sessions": dataset_of(
        [_bought(None, ITEM_IDS[(n * n) % 6], n // 3, session_id=str(n // 3)) for n in range(24)]
    ),
    "views only": _viewed_only(),
    "refunds only": dataset_of([_bought("u", item_id, 1, event="refund") for item_id in ITEM_IDS], CATALOG),
    "everybody opted out": dataset_of(
        [_bought("u", item_id, 1) for item_id in ITEM_IDS], CATALOG, [{"user_id": "u", "personalization": False}]
    ),
}


@cache
def degenerate_engine(name: str) -> Engine:
    """All models of one of these shops; not to be changed."""
    return fit_engine(DEGENERATE[name], small_config())
