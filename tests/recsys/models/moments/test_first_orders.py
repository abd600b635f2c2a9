from __future__ import annotations

import numpy as np
import pytest

from recsys.models.moments.first_orders import NO_FIRST_ORDERS, fit_first_orders
from tests.shop import at, dataset_of


def test_an_item_that_opens_orders_comes_before_one_that_follows() -> None:
    """All 30 begin with a starter kit, and buy the refill in ten later orders; 6 begin with both."""
    rows = [
        {"user_id": f"u{n}", "item_id": "kit", "timestamp": at(1_700_000_000 + n), "basket_id": f"{n}/0"}
        for n in range(30)
    ]
    rows += [
        {
            "user_id": f"u{n}",
            "item_id": "refill",
            "timestamp": at(1_700_000_000 + n + each * 90_000),
            "basket_id": f"{n}/{each}",
        }
        for n in range(30)
        for each in range(0 if n < 6 else 1, 11)
    ]
    dataset = dataset_of(rows)
    found = fit_first_orders(dataset)
    assert [dataset.items.ids[row] for row in found.item_idx] == ["kit", "refill"]
    assert found.share.tolist() == pytest.approx([1.0, 0.2])
    kit_ratio = (30 + 20) / (30 * 30 / 330 + 20)
    assert float(found.score[0]) == pytest.approx(kit_ratio, rel=1e-5)
    assert (np.diff(found.score) <= 0).all()


def test_rare_items_and_empty_shops_are_left_out() -> None:
    rows = [{"user_id": f"u{n}", "item_id": "rare", "timestamp": at(1_700_000_000)} for n in range(2)]
    assert len(fit_first_orders(dataset_of(rows)).item_idx) == 0
    assert fit_first_orders(dataset_of()) is NO_FIRST_ORDERS
