from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from recsys.data.catalog import read_catalog
from recsys.data.dataset import Dataset
from recsys.models.moments.festival_lifts import NO_FESTIVAL_LIFTS, FestivalLifts, fit_festival_lifts
from tests.shop import dataset_of

CHRISTMAS = datetime(2023, 12, 25, 12, tzinfo=ZoneInfo("Asia/Shanghai"))


def shop(n_gifts: int, days: int) -> Dataset:
    """Soap every day; gifts in the week before Christmas, and once in a while."""
    rows = [
        {"user_id": f"u{day % 7}", "item_id": "soap", "timestamp": CHRISTMAS - timedelta(days=day - 3)}
        for day in range(days)
    ]
    rows += [
        {"user_id": f"g{n}", "item_id": "gift", "timestamp": CHRISTMAS - timedelta(days=n % 7)} for n in range(n_gifts)
    ]
    rows += [{"user_id": "g", "item_id": "gift", "timestamp": CHRISTMAS - timedelta(days=60)}]
    return dataset_of(rows, [{"item_id": "soap", "category": ["A"]}, {"item_id": "gift", "category": ["B"]}])


def fit(dataset: Dataset) -> FestivalLifts:
    return fit_festival_lifts(dataset, read_catalog(dataset.catalog))


def test_the_lift_by_hand() -> None:
    """Of 20 + 15 sales before Christmas 20 are gifts, of the others 1 of 106; each lift is shrunk by ten sales."""
    dataset = shop(20, 120)
    found = fit(dataset)
    rows, lift = found.of("christmas")
    assert [dataset.items.ids[row] for row in rows] == ["gift"]
    sold, other = np.array([20, 15]), np.array([1, 105])
    expected = other * sold.sum() / other.sum()
    of_type = (sold[0] + 10) / (expected[0] + 10)
    assert float(lift[0]) == pytest.approx((sold[0] + 10 * of_type) / (expected[0] + 10), rel=0.02)


@pytest.mark.parametrize(("n_gifts", "days"), [(4, 120), (20, 50)])
def test_few_sales_and_a_short_past_teach_nothing(n_gifts: int, days: int) -> None:
    assert len(fit(shop(n_gifts, days)).of("christmas")[0]) == 0


def test_an_unknown_festival_and_an_empty_shop_have_no_items() -> None:
    assert len(fit(shop(20, 120)).of("qixi")[0]) == len(NO_FESTIVAL_LIFTS.of("christmas")[0]) == 0
    assert fit(dataset_of()) is NO_FESTIVAL_LIFTS
