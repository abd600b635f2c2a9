"""Estimates of what a changed list would have earned, from lists that were shown in a random order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
EstimatorName = Literal["logged", "ips", "self_normalized", "slate", "doubly_robust"]

Z_95: Final = 1.959964
N_FOLDS: Final = 2
PRIOR_CLICKS: Final = 2.0
"""Clicks that the reward model adds to each item, at the rate of its positions."""


@dataclass(frozen=True)
class ShownLists:
    """Lists that were shown in a random order, and how likely a changed placement would show the same.

    Attributes:
        clicks: of each position, float64 (n_lists, k); 0 behind the end of a list.
        item: number of the item at each position, int64 (n_lists, k); −1 behind the end.
        logged_list: probability of the whole list when it was shown, float64 (n_lists,), > 0.
        target_list: probability of the same list with the changed placement, float64 (n_lists,).
        logged_slot: probability of the item at its position when it was shown, float64 (n_lists, k), > 0.
        target_slot: the same with the changed placement, float64 (n_lists, k).
        target_item: the items that the changed placement shows, best first, int64 (n_lists, k); −1 behind the end.
        support: probability that the item of `target_item` was shown at that position, float64 (n_lists, k).
        shopper: number of each list's shopper, int64 (n_lists,).
    """

    clicks: Floats
    item: npt.NDArray[np.int64]
    logged_list: Floats
    target_list: Floats
    logged_slot: Floats
    target_slot: Floats
    target_item: npt.NDArray[np.int64]
    support: Floats
    shopper: npt.NDArray[np.int64]


@dataclass(frozen=True)
class PolicyEstimate:
    """Clicks per list, as one estimator has them.

    Attributes:
        estimator: its name.
        value: clicks per list.
        low, high: 95 % interval; shoppers are independent, lists of one shopper are not.
        effective_sample: `(Σw)² / Σw²`: lists that the estimate is worth.
        largest_weight: of one list or position.
    """

    estimator: EstimatorName
    value: float
    low: float
    high: float
    effective_sample: float
    largest_weight: float


def estimate_policies(lists: ShownLists) -> tuple[PolicyEstimate, ...]:
    """Estimate the clicks per list of a changed placement, by all estimators, after the value of the log itself.

    - `ips`: `1/n · Σ w·r` with the clicks `r` of a list and `w = π(list) / π₀(list)`. Right for any clicks; of use only
      where whole lists recur.
    - `self_normalized`: `Σ w·r / Σ w`; less variance, a bias of order `1/n`.
    - `slate`: `1/n · Σ over positions of w(j)·r(j)`, `w(j) = π(item at j) / π₀(item at j)`: a click depends on the item
      and its position, not on the items around it.
    - `doubly_robust`: the slate estimate of what a model of clicks does not explain, added to the model's value of the
      changed list. The model, by item and position, is fitted on the other half of the shoppers.

    Args:
        lists: at least one.

    Reference:
        Horvitz & Thompson (1952), JASA. Swaminathan & Joachims (2015), The self-normalized estimator for counterfactual
        learning, NIPS. Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay & Wen (2018), Offline evaluation of ranking
        policies with click models, KDD (item-position model). Dudík, Langford & Li (2011), Doubly robust policy
        evaluation and learning, ICML.
    """
    clicks = lists.clicks.sum(axis=1)
    weight = lists.target_list / lists.logged_list
    slot_weight = np.where(lists.item >= 0, lists.target_slot / lists.logged_slot, 0.0)
    slate = (slot_weight * lists.clicks).sum(axis=1)
    shown, target = click_model(lists)
    robust = target.sum(axis=1) + (slot_weight * np.where(lists.item >= 0, lists.clicks - shown, 0.0)).sum(axis=1)
    per_list = np.where(lists.item >= 0, 1.0, 0.0).sum(axis=1)
    slot_share = slot_weight.sum(axis=1) / np.maximum(per_list, 1.0)
    ones = np.ones(len(clicks))
    return (
        _estimate("logged", clicks, ones, lists.shopper),
        _estimate("ips", weight * clicks, weight, lists.shopper),
        _normalized(weight, clicks, lists.shopper),
        _estimate("slate", slate, slot_share, lists.shopper, float(slot_weight.max())),
        _estimate("doubly_robust", robust, slot_share, lists.shopper, float(slot_weight.max())),
    )


def click_model(lists: ShownLists) -> tuple[Floats, Floats]:
    """Return the expected clicks of the shown items and of those of the changed placement, float64 (n_lists, k) each.

    `ctr(position) · (clicks(item) + κ) / (expected(item) + κ)`: the rate of the position times how much more than
    expected at its positions the item is clicked. Each half of the shoppers is judged by the other half.
    """
    shown, target = np.zeros_like(lists.clicks), np.zeros_like(lists.clicks)
    fold = lists.shopper % N_FOLDS
    n_items = int(max(lists.item.max(), lists.target_item.max())) + 1
    for each in range(N_FOLDS):
        fit, use = fold != each, fold == each
        fit = fit if fit.any() else use
        there = lists.item[fit] >= 0
        by_position = lists.clicks[fit].sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        items = lists.item[fit][there]
        expected = np.bincount(items, np.broadcast_to(by_position, there.shape)[there], n_items)
        clicked = np.bincount(items, lists.clicks[fit][there], n_items)
        factor = (clicked + PRIOR_CLICKS) / (expected + PRIOR_CLICKS)
        for part, rows in ((shown, lists.item), (target, lists.target_item)):
            part[use] = np.where(rows[use] >= 0, by_position * factor[rows[use]], 0.0)
    return shown, target


def supported_share(lists: ShownLists, smallest: float) -> float:
    """Return the share of the changed placement's positions whose item was shown there with at least a probability."""
    wanted = lists.target_item >= 0
    return float((lists.support[wanted] >= smallest).mean()) if wanted.any() else 0.0


def _estimate(
    name: EstimatorName, values: Floats, weight: Floats, shopper: npt.NDArray[np.int64], largest: float | None = None
) -> PolicyEstimate:
    value = float(values.mean())
    return _with_interval(name, value, values - value, weight, shopper, largest)


def _normalized(weight: Floats, clicks: Floats, shopper: npt.NDArray[np.int64]) -> PolicyEstimate:
    total = float(weight.sum())
    if total == 0:
        return PolicyEstimate("self_normalized", np.nan, np.nan, np.nan, 0.0, 0.0)
    value = float((weight * clicks).sum() / total)
    influence = weight * (clicks - value) * len(clicks) / total
    return _with_interval("self_normalized", value, influence, weight, shopper, None)


def _with_interval(
    name: EstimatorName,
    value: float,
    influence: Floats,
    weight: Floats,
    shopper: npt.NDArray[np.int64],
    largest: float | None,
) -> PolicyEstimate:
    _, group = np.unique(shopper, return_inverse=True)
    error = float(np.sqrt((np.bincount(group, influence) ** 2).sum())) / len(influence)
    squares = float((weight**2).sum())
    effective = float(weight.sum()) ** 2 / squares if squares else 0.0
    most = float(weight.max()) if largest is None else largest
    return PolicyEstimate(name, value, value - Z_95 * error, value + Z_95 * error, effective, most)
