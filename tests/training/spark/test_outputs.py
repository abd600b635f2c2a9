"""What a bundle has of every user, written part by part, against the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recsys.data.history import HistoryConfig, build_history
from recsys.segments.visits import dataset_visits
from tests.recsys.same import assert_same
from training.spark.outputs import write_users
from training.spark.parts import SparkParts


def test_histories_and_visits_are_those_of_the_whole(spark_parts: SparkParts, tmp_path: Path) -> None:
    dataset, config = spark_parts.dataset, HistoryConfig(max_events=40)
    price = dataset.catalog["list_price"].cast(float).to_numpy().astype(np.float32)
    found = write_users(spark_parts, price, config, 0.05, tmp_path / "users")
    assert_same(found.history, build_history(dataset, config))
    assert_same(found.visits, dataset_visits(dataset, 0.05))
    assert found.profiles.equals(dataset.profiles)
    assert isinstance(found.history.item_idx, np.memmap), "arrays of all users are mapped from files"
    assert not list(tmp_path.rglob("*.npy")), "the parts are removed once they are joined"
