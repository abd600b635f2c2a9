"""Counts that are kept: moved to a later moment, with some users counted again."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from recsys.bundles.serialization import flatten
from recsys.data.dataset import DAY_S, Dataset
from recsys.fitting.engine import EngineConfig
from recsys.fitting.parts import count_item_buyers
from recsys.models.temporal.popularity import PopularityConfig, count_popularity
from recsys.models.temporal.repeat import count_repeats
from recsys.models.temporal.timeofday import count_hours
from training.spark.kept import KeptCounts, KeptSettings, count_kept, find_kept

SETTINGS = KeptSettings.of(EngineConfig())


def of_users(dataset: Dataset, chosen: np.ndarray) -> Dataset:
    """The events of some users."""
    return replace(dataset, events=dataset.events.take(np.isin(dataset.events.user_idx, chosen)))


def assert_equal(found: KeptCounts, expected: KeptCounts) -> None:
    """Integers are equal, and sums of decayed terms to their last digits."""
    assert (found.recent != expected.recent).nnz == 0
    one, other = flatten(found, skip=("recent",)), flatten(expected, skip=("recent",))
    assert one.values == other.values
    for name, array in other.arrays.items():
        if array.dtype.kind == "i":
            np.testing.assert_array_equal(one.arrays[name], array, err_msg=name)
        else:
            np.testing.assert_allclose(one.arrays[name], array, rtol=1e-9, atol=1e-15, err_msg=name)
            np.testing.assert_array_equal(one.arrays[name] > 0, array > 0, err_msg=name)


@pytest.mark.parametrize("elapsed_s", [0, 1, 3 * DAY_S + 77, 400 * DAY_S])
def test_counts_at_a_later_moment_are_those_of_the_purchases(shop_dataset: Dataset, elapsed_s: int) -> None:
    now = shop_dataset.end
    moved = count_kept(shop_dataset, SETTINGS, now).at(elapsed_s, SETTINGS)
    assert_equal(moved, count_kept(shop_dataset, SETTINGS, now + elapsed_s))


def test_users_with_new_events_are_counted_again(shop_dataset: Dataset) -> None:
    then, now = shop_dataset.end - 9 * DAY_S, shop_dataset.end
    old = shop_dataset.until(then + 1)
    changed = np.unique(shop_dataset.events.user_idx[len(old.events) :])
    assert 0 < len(changed) < len(shop_dataset.users)
    kept = count_kept(old, SETTINGS, then).at(now - then, SETTINGS)
    before, after = (count_kept(of_users(part, changed), SETTINGS, now) for part in (old, shop_dataset))
    assert_equal(kept.replaced(before, after), count_kept(shop_dataset, SETTINGS, now))


def test_what_is_left_of_a_sum_without_terms_is_zero(shop_dataset: Dataset) -> None:
    then, now = shop_dataset.end, shop_dataset.end + 3 * DAY_S + 5
    everybody = count_kept(shop_dataset, SETTINGS, then).at(now - then, SETTINGS)
    nobody = count_kept(of_users(shop_dataset, np.array([-2])), SETTINGS, now)
    left = everybody.replaced(count_kept(shop_dataset, SETTINGS, now), nobody)
    assert_equal(left, nobody)
    assert left.recent.nnz == 0


def test_counts_are_found_by_their_function_and_arguments(shop_dataset: Dataset) -> None:
    now = shop_dataset.end
    kept = count_kept(shop_dataset, SETTINGS, now)
    found = kept.found_by(SETTINGS, now)
    same: list[tuple[Any, Any]] = [
        (partial(count_popularity, config=SETTINGS.popularity, now=now), kept.popularity),
        (partial(count_hours, config=SETTINGS.timeofday), kept.hours),
        (count_repeats, kept.repeats),
        (count_item_buyers, kept.n_buyers),
    ]
    for count, counts in same:
        assert find_kept(found, count) is counts
    assert find_kept(found, partial(count_popularity, config=SETTINGS.popularity, now=now + 1)) is None
    assert find_kept(found, partial(count_popularity, config=PopularityConfig(trend_days=3), now=now)) is None
    assert find_kept(found, len) is None
    assert find_kept({}, count_repeats) is None


def test_every_count_is_found(shop_dataset: Dataset) -> None:
    kept = count_kept(shop_dataset, SETTINGS, shop_dataset.end)
    served = {id(counts) for _, counts in kept.found_by(SETTINGS, shop_dataset.end).values()}
    assert {each.name for each in fields(kept) if id(getattr(kept, each.name)) not in served} == {"recent"}
    assert sparse.issparse(kept.recent)
