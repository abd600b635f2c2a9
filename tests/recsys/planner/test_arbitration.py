from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import and_

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.planner.arbitration import NO_ITEM, ArbitrationRules, CandidateLists, ChosenMessages, arbitrate

RULES = ArbitrationRules(n_messages=2, n_per_list=1, n_items=2)


def lists(item_idx: list, probability: list, blocked: list | None = None) -> CandidateLists:
    items = np.array(item_idx, np.int32)
    is_blocked = np.zeros(items.shape, np.bool_) if blocked is None else np.array(blocked, np.bool_)
    return CandidateLists(items, np.array(probability, np.float64), is_blocked)


def same(raw: np.ndarray) -> np.ndarray:
    return raw


def test_by_hand() -> None:
    found = arbitrate(
        lists([[[0, 1, 2], [1, 3, NO_ITEM]]], [[[0.5, 0.2, 0.1], [0.4, 0.3, 0.9]]]),
        np.array([1.0, 2.0, 1.0, 4.0]),
        same,
        RULES,
    )
    # first: list 1 with items 1 and 3: 1 − .6·.7 = .58, worth (.4·2 + .3·4)/.7; then list 0 without item 1: items 0, 2
    assert found.list_idx.tolist() == [1, 0]
    assert found.order.tolist() == [0, 1]
    assert found.places.tolist() == [[0, 1], [0, 2]]
    assert found.raw == pytest.approx([0.58, 1 - 0.5 * 0.9])
    assert found.value == pytest.approx([2.0 / 0.7, 1.0])
    assert found.expected_value == pytest.approx([0.58 * 2.0 / 0.7, 0.55])


def test_blocked_items_are_passed_over() -> None:
    found = arbitrate(lists([[[0, 1, 2]]], [[[0.5, 0.4, 0.3]]], [[[True, False, True]]]), np.ones(3), same, RULES)
    assert found.places.tolist() == [[1, NO_ITEM]]


def test_calibration_decides_between_lists() -> None:
    two = lists([[[0], [1]]], [[[0.5], [0.4]]])
    swapped = arbitrate(two, np.ones(2), lambda raw: raw * np.array([0.1, 1.0]), RULES)
    assert swapped.list_idx.tolist() == [1, 0]
    assert swapped.probability.tolist() == pytest.approx([0.4, 0.05])


def test_low_values_and_empty_lists_are_no_messages() -> None:
    rules = ArbitrationRules(2, 1, 1, min_expected_value=0.3)
    empty = [[[NO_ITEM], [NO_ITEM]], [[0], [1]]]
    found = arbitrate(lists(empty, [[[0.9], [0.9]], [[0.4], [0.2]]]), np.ones(2), same, rules)
    assert (found.user.tolist(), found.list_idx.tolist()) == ([1], [0])
    nothing = arbitrate(lists(empty[:1], [[[0.9], [0.9]]]), np.ones(2), same, rules)
    assert (len(nothing.user), nothing.places.shape) == (0, (0, 1))
    worthless = arbitrate(lists([[[0]]], [[[0.5]]]), np.zeros(1), same, ArbitrationRules(1, 1, 1))
    assert len(worthless.user) == 0


def by_loops(
    asked: CandidateLists, value: np.ndarray, rules: ArbitrationRules
) -> list[tuple[int, int, tuple[int, ...]]]:
    """The greedy rule, one shopper and list after the other."""
    found = []
    for user in range(len(asked.item_idx)):
        taken: set[int] = set()
        counts = [0] * asked.item_idx.shape[1]
        for _ in range(rules.n_messages):
            best, best_value = None, 0.0
            for n, count in enumerate(counts):
                row = zip(asked.item_idx[user, n], asked.probability[user, n], asked.is_blocked[user, n], strict=True)
                free = [
                    (i, item, p) for i, (item, p, out) in enumerate(row) if item >= 0 and not out and item not in taken
                ]
                free = free[: rules.n_items]
                if count == rules.n_per_list or not free:
                    continue
                missed = np.prod([1 - p for _, _, p in free])
                total = sum(p for _, _, p in free)
                expected = (1 - missed) * sum(p * value[item] for _, item, p in free) / total if total else 0.0
                if expected > best_value * (1 + 1e-12):
                    best, best_value = (n, free), expected
            if best is None:
                break
            counts[best[0]] += 1
            taken |= {int(item) for _, item, _ in best[1]}
            found.append((user, best[0], tuple(place for place, _, _ in best[1])))
    return found


def as_tuples(found: ChosenMessages) -> list[tuple[int, int, tuple[int, ...]]]:
    rows = zip(found.user.tolist(), found.list_idx.tolist(), found.places.tolist(), strict=True)
    return [(user, n, tuple(place for place in places if place != NO_ITEM)) for user, n, places in rows]


@given(st.integers(0, 10_000))
def test_equals_the_rule_by_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (3, int(rng.integers(1, 4)), 6)
    items = np.stack([[rng.permutation(8)[:6] for _ in range(shape[1])] for _ in range(shape[0])])
    asked = CandidateLists(
        np.where(rng.random(shape) < 0.2, NO_ITEM, items).astype(np.int32),
        rng.uniform(0.01, 0.9, shape),
        rng.random(shape) < 0.2,
    )
    rules = ArbitrationRules(*(int(rng.integers(1, 4)) for _ in range(3)))
    value = rng.uniform(0.1, 5, 8)
    found = arbitrate(asked, value, same, rules)
    assert as_tuples(found) == by_loops(asked, value, rules)
    sent = [(user, int(asked.item_idx[user, n, place])) for user, n, places in as_tuples(found) for place in places]
    assert len(sent) == len(set(sent)), "no item twice"


def with_stages(asked: CandidateLists, *stages: list[int]) -> CandidateLists:
    of_item = np.array(stages, np.int64)
    return replace(asked, stages=np.where(asked.item_idx == NO_ITEM, 0, of_item[:, asked.item_idx]))


def test_items_of_different_stages_are_not_in_one_message() -> None:
    asked = lists([[[0, 1, 2, 3]]], [[[0.5, 0.4, 0.3, 0.2]]])
    rules = ArbitrationRules(n_messages=3, n_per_list=3, n_items=3)
    found = arbitrate(with_stages(asked, [1, 2, 0, 3]), np.ones(4), same, rules)
    assert found.places.tolist() == [[0, 2, 3], [1, NO_ITEM, NO_ITEM]]
    both = arbitrate(with_stages(asked, [1, 1, 0, 1], [0, 1, 1, 2]), np.ones(4), same, rules)
    assert both.places.tolist() == [[0, 1, 2], [3, NO_ITEM, NO_ITEM]]


@given(st.integers(0, 2**32 - 1))
def test_the_items_of_every_message_have_a_stage_in_common(seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = np.array([[rng.permutation(9)[:6] for _ in range(2)] for _ in range(3)], np.int32)
    asked = CandidateLists(items, rng.uniform(0, 0.5, items.shape), rng.random(items.shape) < 0.2)
    of_item = rng.integers(0, 8, 9)
    found = arbitrate(with_stages(asked, of_item.tolist()), np.ones(9), same, ArbitrationRules(4, 2, 3))
    for user, of, places in zip(found.user, found.list_idx, found.places, strict=True):
        staged = [bits for bits in of_item[items[user, of, places[places != NO_ITEM]]] if bits]
        assert reduce(and_, staged, -1) != 0
    plain = arbitrate(asked, np.ones(9), same, ArbitrationRules(4, 2, 3))
    free = arbitrate(with_stages(asked, [0] * 9), np.ones(9), same, ArbitrationRules(4, 2, 3))
    assert all((vars(plain)[name] == vars(free)[name]).all() for name in vars(plain))
