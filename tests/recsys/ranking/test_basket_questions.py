"""Questions of past baskets, against sets."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.data.dataset import DAY_S, Dataset
from recsys.ranking.basket_questions import BasketQuestions, K, draw_baskets
from recsys.ranking.holdout import Holdout


@pytest.fixture(scope="module")
def cut(shop_dataset: Dataset) -> Holdout:
    """The last four weeks of the shop."""
    now = shop_dataset.end - 28 * DAY_S
    later = shop_dataset.events.take(shop_dataset.events.timestamp >= now)
    return Holdout(shop_dataset.until(now), now, later, 28 * DAY_S, is_cutoff=True)


@pytest.mark.parametrize("by_basket", [True, False])
def test_each_basket_of_two_or_more_asks_for_the_others(cut: Holdout, by_basket: bool) -> None:
    questions = draw_baskets(cut, 10_000, np.random.default_rng(0), by_basket=by_basket)
    bought = cut.answers.take(cut.answers.event_type == cut.known.target_event)
    group = bought.basket_idx if by_basket else bought.user_idx
    contents = {int(label): set(bought.item_idx[group == label].tolist()) for label in np.unique(group[group >= 0])}
    expected = {label: items for label, items in contents.items() if len(items) > 1}
    assert sorted(expected) == questions.basket.tolist()
    for label, seed in zip(questions.basket.tolist(), questions.seed.tolist(), strict=True):
        assert seed in expected[label]
    every = np.arange(len(cut.known.items), dtype=np.int32)
    taken = questions.is_taken(questions.basket[:, None], every)
    for row, label in enumerate(questions.basket.tolist()):
        assert set(np.flatnonzero(taken[row]).tolist()) == expected[label]


def test_the_number_is_bounded_and_the_draw_repeats(cut: Holdout) -> None:
    first, second = (draw_baskets(cut, 3, np.random.default_rng(1), by_basket=True) for _ in range(2))
    assert len(first) == 3
    np.testing.assert_array_equal(first.seed, second.seed)


def test_hits_by_hand() -> None:
    """Basket 1 holds items 0 and 2, basket 4 item 3; the end of a list is no item."""
    line = np.array([1 * 5 + 0, 1 * 5 + 2, 4 * 5 + 3], np.int64)
    questions = BasketQuestions(np.array([0, 3], np.int32), np.array([1, 4]), line, 5)
    assert questions.hits(np.array([[1, 2], [4, -1]], np.int32)).tolist() == [1.0, 0.0]
    assert questions.take(np.array([True, False])).hits(np.array([[1, 2]], np.int32)).tolist() == [1.0]
    late = np.full((1, K + 1), 1, np.int32)
    late[0, K] = 2
    assert questions.take(np.array([0])).hits(late).tolist() == [0.0], "only the first ten count"


def test_a_shop_without_later_orders_asks_nothing(cut: Holdout) -> None:
    nothing = Holdout(cut.known, cut.now, cut.answers.take(slice(0, 0)), 0, is_cutoff=True)
    assert len(draw_baskets(nothing, 10, np.random.default_rng(0), by_basket=True)) == 0
