"""The table of segments: its columns, one user alone, and shops that lack what segments are made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.core.schema import SEGMENTS
from recsys.data.catalog import read_catalog
from recsys.data.dataset import Dataset
from recsys.segments.config import SegmentConfig
from recsys.segments.habits import Touches
from recsys.segments.table import NO_SEGMENTS, SegmentModel, Shoppers, created_seconds, fit_segments, segment_table
from tests.recsys.segments.histories import NOW, shop_of


def _fit(dataset: Dataset) -> SegmentModel:
    return fit_segments(dataset, read_catalog(dataset.catalog), SegmentConfig(), np.random.default_rng(0))


def shoppers_of(dataset: Dataset, model: SegmentModel) -> Shoppers:
    events = dataset.events
    events = events.take(events.user_idx >= 0)
    touches = Touches(events.user_idx, read_catalog(dataset.catalog).item_type[events.item_idx], events.event_type)
    return Shoppers(
        dataset.users.ids, model.visits, touches, created_seconds(dataset.profiles["created_at"]), dataset.end
    )


def table_of(dataset: Dataset) -> pl.DataFrame:
    model = _fit(dataset)
    return segment_table(model, shoppers_of(dataset, model))


def _row(dataset: Dataset, user_id: str = "u0") -> dict[str, Any]:
    return table_of(dataset).row(by_predicate=pl.col("user_id") == user_id, named=True)


def test_the_columns_are_those_of_the_schema() -> None:
    table = table_of(shop_of([[3, 2], [1]]))
    assert dict(table.schema) == {"user_id": pl.String(), **SEGMENTS}
    assert sorted(table["user_id"]) == ["clock", "u0", "u1"]


def test_a_buyer_of_tea() -> None:
    row = _row(shop_of([[29, 22, 15, 8, 1]], channel="app"))
    weekday = (NOW // 86_400 - 1 + 3) % 7 + 1
    expected = {
        "life_cycle": "new_month",
        "n_orders": 5,
        "average_order": 10.0,
        "discount_share": 1.0,
        "habitual_hour": 0,
        "habitual_weekday": weekday,
        "habitual_channel": "app",
    }
    assert {name: row[name] for name in expected} == expected | {"habitual_hour": None}, "dates have no hour"
    assert row["churn_probability"] == pytest.approx(1 - row["repeat_probability"])
    assert row["lifetime_value"] > 0


def test_hours_are_habits_where_times_are_finer_than_days() -> None:
    assert _row(shop_of([[day + 0.25 for day in (29, 22, 15)]]))["habitual_hour"] == 18


@pytest.mark.parametrize(
    ("changes", "nulls"),
    [
        ({"list_price": None}, {"discount_share"}),
        (
            {"with_prices": False},
            {"discount_share", "average_order", "is_high_value", "rfm_monetary", "lifetime_value"},
        ),
        ({}, set()),
        (
            {"event": "view_item"},
            {"discount_share", "average_order", "is_high_value", "lifetime_value", "is_slowing", "repeat_probability"}
            | {"rfm_recency", "rfm_frequency", "rfm_monetary", "churn_probability"},
        ),
    ],
)
def test_what_the_data_lacks_is_null(changes: dict[str, Any], nulls: set[str]) -> None:
    row = _row(shop_of([[100, 80, 60, 40, 20.5]], channel="web", **changes))
    assert {name for name, value in row.items() if value is None} == nulls


def test_users_without_events_and_dates_have_nothing() -> None:
    row = _row(shop_of([[3]], users=[{"user_id": "silent"}]), "silent")
    assert {name for name, value in row.items() if value is not None} == {"user_id", "n_orders"}


def test_one_user_alone_is_a_row_of_the_table(shop_dataset: Dataset) -> None:
    model = _fit(shop_dataset)
    shoppers = shoppers_of(shop_dataset, model)
    whole = segment_table(model, shoppers)
    for row in range(0, len(shop_dataset.users), 7):
        kept = shoppers.touches.user_idx == row
        touches = Touches(
            np.zeros(kept.sum(), np.int64), shoppers.touches.item_type[kept], shoppers.touches.event_type[kept]
        )
        alone = Shoppers(
            [shoppers.user_ids[row]],
            model.visits.of_users(np.array([row])),
            touches,
            shoppers.created_at[[row]],
            shoppers.now,
        )
        assert_frame_equal(segment_table(model, alone), whole[row : row + 1], rel_tol=1e-9)


def test_an_earlier_moment_sees_no_later_event(shop_dataset: Dataset) -> None:
    model = _fit(shop_dataset)
    shoppers = shoppers_of(shop_dataset, model)
    moment = shop_dataset.end - 40 * 86_400
    early = replace(shoppers, now=moment)
    cut = replace(early, visits=shoppers.visits.until(moment))
    assert_frame_equal(segment_table(model, early), segment_table(model, cut))


def test_segments_can_be_turned_off(shop_dataset: Dataset) -> None:
    config = SegmentConfig(enabled=False)
    assert (
        fit_segments(shop_dataset, read_catalog(shop_dataset.catalog), config, np.random.default_rng(0)) is NO_SEGMENTS
    )


def test_a_catalog_without_events_has_a_table_without_rows() -> None:
    dataset = shop_of([])
    empty = replace(dataset, events=dataset.events.take(slice(0, 0)))
    assert table_of(empty)["life_cycle"].to_list() == [None]
