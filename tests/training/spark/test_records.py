"""Records of Spark: plans of parts, and what they become in a task."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from training.spark.facts import Scan
from training.spark.parts import SparkParts
from training.spark.records import Frame, PartPlan, Record, packed, unpacked


def test_arrays_come_back_from_their_bytes() -> None:
    arrays = {"item": np.arange(5, dtype=np.int32), "empty": np.empty(0, np.float32), "number": np.array(7)}
    found = unpacked(packed(arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("n_events", "n_anonymous", "plan"), [(0, 0, (1, 1)), (10, 0, (3, 1)), (10, 9, (1, 3)), (12, 4, (2, 1))]
)
def test_parts_have_about_as_many_events_as_planned(n_events: int, n_anonymous: int, plan: tuple[int, int]) -> None:
    found = PartPlan.of(Scan(n_events, n_anonymous, True, True, 0.0, {}), part_events=4)
    assert (found.n_named, found.n_anonymous) == plan


def test_a_record_is_a_dataset_without_ids(shop_dataset: Dataset) -> None:
    record = Record(
        3, len(shop_dataset.users), shop_dataset.events, shop_dataset.basket_keys, b"", shop_dataset.is_visitor
    )
    frame = Frame(len(shop_dataset.items), shop_dataset.target_event, shop_dataset.timezone)
    found = frame.dataset(record)
    assert (len(found.users), len(found.items)) == (len(shop_dataset.users), len(shop_dataset.items))
    assert found.end == shop_dataset.end
    cutoff = int(np.median(shop_dataset.events.timestamp))
    cut = Frame(frame.n_items, frame.target_event, frame.timezone, cutoff).dataset(record)
    assert len(cut.events) == len(shop_dataset.until(cutoff).events)


def test_users_of_later_parts_have_later_rows(spark_parts: SparkParts) -> None:
    records = spark_parts.records.collect()
    users = [record.n_users for record in sorted(records, key=lambda record: record.number)]
    assert sum(users) == len(spark_parts.dataset.users)
    assert sum(len(record.events) for record in records) == len(spark_parts.dataset.events)
    assert all(record.events.user_idx.max(initial=-1) < record.n_users for record in records)
    assert {record.n_users for record in records if (record.events.user_idx < 0).any()} <= {0}
