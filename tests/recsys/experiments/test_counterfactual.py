"""Counterfactual estimates: planted policies are valued right from the log of another one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from recsys.experiments.counterfactual import (
    PolicyEstimate,
    ShownLists,
    click_model,
    estimate_policies,
    supported_share,
)
from recsys.experiments.slots import draw_probabilities, slot_probabilities

Floats = npt.NDArray[np.float64]
N_ITEMS, K, ROTATION = 8, 3, 0.7
ATTRACTION = np.array([0.05, 0.2, 0.1, 0.4, 0.02, 0.3, 0.1, 0.05])
EXAMINED = np.array([1.0, 0.6, 0.4])
TARGET = np.array([3, 1, 0, 2, 5, 4, 6, 7])
"""The changed placement's order of the items; the logged one is theirs by number."""


def truth(target_rotation: float = 0.0) -> float:
    """Clicks per list of the changed placement."""
    probability = slot_probabilities(N_ITEMS, K, target_rotation)
    return float((probability * ATTRACTION[TARGET][:, None] * EXAMINED).sum())


def logged(n: int, seed: int = 0, target_rotation: float = 0.0) -> ShownLists:
    rng = np.random.default_rng(seed)
    weight = np.arange(1, N_ITEMS + 1) ** (-1 / ROTATION)
    order = np.argsort(rng.exponential(1, (n, N_ITEMS)) / weight, axis=1)[:, :K]
    clicks = (rng.random((n, K)) < ATTRACTION[order] * EXAMINED).astype(float)
    rank_of = np.argsort(TARGET)
    log_slots, target_slots = slot_probabilities(N_ITEMS, K, ROTATION), slot_probabilities(N_ITEMS, K, target_rotation)
    columns = np.arange(K)
    return ShownLists(
        clicks,
        order,
        draw_probabilities(order + 1, N_ITEMS, ROTATION).prod(axis=1),
        draw_probabilities(rank_of[order] + 1, N_ITEMS, target_rotation).prod(axis=1),
        log_slots[order, columns],
        target_slots[rank_of[order], columns],
        np.tile(TARGET[:K], (n, 1)),
        np.tile(log_slots[TARGET[:K], columns], (n, 1)),
        np.arange(n) // 2,
    )


def by_name(estimates: tuple[PolicyEstimate, ...]) -> dict[str, PolicyEstimate]:
    return {each.estimator: each for each in estimates}


def test_every_estimator_finds_the_value_of_a_changed_order() -> None:
    found = by_name(estimate_policies(logged(60_000)))
    true = truth()
    assert found["logged"].high < 0.8 * true
    for name in ("ips", "self_normalized", "slate", "doubly_robust"):
        assert found[name].low < true < found[name].high, name
        assert found[name].value == pytest.approx(true, rel=0.15)


def test_a_changed_rotation_can_be_valued_too() -> None:
    found = by_name(estimate_policies(logged(60_000, target_rotation=0.3)))
    true = truth(0.3)
    for name in ("ips", "self_normalized", "slate"):
        assert found[name].value == pytest.approx(true, rel=0.1), name


def test_intervals_cover_the_truth_about_as_often_as_stated() -> None:
    true = truth()
    covered = dict.fromkeys(("slate", "doubly_robust", "self_normalized"), 0)
    for seed in range(150):
        found = by_name(estimate_policies(logged(3000, seed)))
        for name in covered:
            covered[name] += found[name].low < true < found[name].high
    assert min(covered.values()) >= 0.88 * 150


def test_positions_carry_more_than_whole_lists_and_the_model_still_more() -> None:
    found = by_name(estimate_policies(logged(20_000)))
    width = {name: each.high - each.low for name, each in found.items()}
    assert width["doubly_robust"] < width["slate"] < width["ips"]
    assert found["slate"].effective_sample > found["ips"].effective_sample
    assert found["ips"].largest_weight > found["slate"].largest_weight


def test_the_same_placement_has_the_value_of_the_log() -> None:
    lists = logged(5000)
    same = ShownLists(
        lists.clicks, lists.item, lists.logged_list, lists.logged_list, lists.logged_slot, lists.logged_slot,
        lists.item, lists.logged_slot, lists.shopper,
    )  # fmt: skip
    found = by_name(estimate_policies(same))
    for name in ("ips", "self_normalized", "slate", "doubly_robust"):
        assert found[name].value == pytest.approx(found["logged"].value)
    assert found["ips"].effective_sample == pytest.approx(5000)


def test_short_lists_count_only_what_they_show() -> None:
    lists = logged(20_000)
    item, target = lists.item.copy(), lists.target_item.copy()
    item[:, 2] = target[:, 2] = -1
    clicks = lists.clicks * (item >= 0)
    short = ShownLists(clicks, item, lists.logged_list, lists.target_list, lists.logged_slot, lists.target_slot, target,
                       lists.support, lists.shopper)  # fmt: skip
    shown, expected = click_model(short)
    assert (shown[:, 2] == 0).all()
    assert (expected[:, 2] == 0).all()
    two = (slot_probabilities(N_ITEMS, K, 0.0) * ATTRACTION[TARGET][:, None] * EXAMINED)[:, :2].sum()
    slate = by_name(estimate_policies(short))["slate"]
    assert slate.low < two < slate.high


def test_no_common_list_has_no_normalized_value() -> None:
    lists = logged(50)
    never = ShownLists(lists.clicks, lists.item, lists.logged_list, np.zeros(50), lists.logged_slot, lists.target_slot,
                       lists.target_item, lists.support, lists.shopper)  # fmt: skip
    found = by_name(estimate_policies(never))
    assert np.isnan(found["self_normalized"].value)
    assert found["ips"].effective_sample == 0


def test_support_is_the_share_of_positions_that_the_log_explored() -> None:
    lists = logged(10)
    assert supported_share(lists, 0.0) == 1
    assert supported_share(lists, 0.99) == 0
    some = float(np.median(lists.support))
    assert 0 < supported_share(lists, some) < 1
