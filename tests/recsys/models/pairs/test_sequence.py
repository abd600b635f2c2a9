"""Sequences: pairs and walks by hand, against a brute-force count, and what they must not count."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.models.pairs.sequence import NeighborLists, SequenceConfig, fit_sequence, weigh_recent
from tests.shop import at, dataset_of, moment

PLAIN = SequenceConfig(distance_power=1.0, backward_weight=0.0, n_steps=1, half_life_share=1e9)


def visits(*sessions: str, event: str = "view_item", **extra: Any) -> Dataset:
    """Sessions as texts, one letter per item, one event per minute."""
    return dataset_of(
        [
            {
                "session_id": f"s{number}",
                "item_id": item,
                "event": event,
                "timestamp": at(moment(number) + 60 * minute),
                **extra,
            }
            for number, session in enumerate(sessions)
            for minute, item in enumerate(session)
        ]
    )


def listed(dataset: Dataset, lists: NeighborLists, item: str) -> dict[str, float]:
    row, score = lists.sums(np.array([dataset.items.row(item)], np.int32), np.ones(1, np.float32))
    return dict(zip([dataset.items.ids[each] for each in row], score.tolist(), strict=True))


def test_a_pair_weighs_less_with_its_distance() -> None:
    dataset = visits("abc")
    model = fit_sequence(dataset, PLAIN)
    assert listed(dataset, model.after, "a") == pytest.approx({"b": 2 / 3, "c": 1 / 3})
    assert listed(dataset, model.after, "b") == pytest.approx({"c": 1.0})
    assert listed(dataset, model.after, "c") == {}


def test_steps_back_count_around_an_item_and_not_after_it() -> None:
    dataset = visits("ab")
    model = fit_sequence(dataset, SequenceConfig(backward_weight=0.5, n_steps=1))
    assert listed(dataset, model.around, "b") == pytest.approx({"a": 1.0})
    assert listed(dataset, model.after, "b") == {}


def test_a_walk_of_two_steps_finds_what_no_session_holds_together() -> None:
    dataset = visits("ab", "bc")
    one, two = (
        fit_sequence(dataset, SequenceConfig(n_steps=steps, backward_weight=1.0, continuation=0.5)) for steps in (1, 2)
    )
    assert "c" not in listed(dataset, one.around, "a")
    assert 0 < listed(dataset, two.around, "a")["c"] < listed(dataset, two.around, "a")["b"]
    assert "a" not in listed(dataset, two.around, "a"), "a walk back to its start says nothing"


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_of_a_loop_over_all_events(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sessions = ["".join(rng.choice(list("abcdef"), rng.integers(1, 9))) for _ in range(12)]
    dataset = visits(*sessions)
    model = fit_sequence(dataset, SequenceConfig(window=3, distance_power=1.5, n_steps=1, half_life_share=1e9))
    expected: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for session in sessions:
        for first, item in enumerate(session):
            for second in range(first + 1, min(first + 4, len(session))):
                if session[second] != item:
                    expected[item][session[second]] += (second - first) ** -1.5
    for item in set("".join(sessions)):
        total = sum(expected[item].values())
        assert listed(dataset, model.after, item) == pytest.approx(
            {other: weight / total for other, weight in expected[item].items()}, abs=1e-6
        )


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_walks_are_powers_of_the_matrix_of_steps(n_steps: int) -> None:
    rng = np.random.default_rng(0)
    dataset = visits(*("".join(rng.choice(list("abcdef"), 5)) for _ in range(15)))
    config = SequenceConfig(n_steps=n_steps, backward_weight=0.5, continuation=0.4, half_life_share=1e9)
    n = len(dataset.items)
    step = np.zeros((n, n))
    events = dataset.events
    for basket in np.unique(events.basket_idx).tolist():
        items = events.item_idx[events.basket_idx == basket].tolist()
        for first, second in ((a, b) for a in range(5) for b in range(a + 1, 5) if items[a] != items[b]):
            weight = (second - first) ** -config.distance_power
            step[items[first], items[second]] += weight
            step[items[second], items[first]] += 0.5 * weight
    step /= step.sum(axis=1, keepdims=True)
    expected = sum(0.4**length * np.linalg.matrix_power(step, length + 1) for length in range(n_steps))
    around = fit_sequence(dataset, config).around
    for item in range(n):
        walked = {other: expected[item, other] for other in range(n) if other != item and expected[item, other] > 0}
        names = {dataset.items.ids[other]: value for other, value in walked.items()}
        assert listed(dataset, around, dataset.items.ids[item]) == pytest.approx(names, rel=1e-5)


def test_items_of_one_moment_have_no_order() -> None:
    rows = [
        {"user_id": "u", "item_id": item, "basket_id": f"b{day}", "timestamp": at(moment(day))}
        for day, basket in enumerate(("ab", "c"))
        for item in basket
    ]
    dataset = dataset_of(rows)
    model = fit_sequence(dataset, PLAIN)
    assert set(listed(dataset, model.after, "a")) == {"c"}
    assert set(listed(dataset, model.after, "b")) == {"c"}


def test_only_target_events_follow_and_only_views_make_alternatives() -> None:
    rows = [
        {"user_id": "u", "item_id": item, "event": event, "timestamp": at(moment(0) + 60 * minute)}
        for minute, (item, event) in enumerate(
            [("a", "view_item"), ("b", "view_item"), ("c", "view_item"), ("d", "purchase")]
        )
    ]
    dataset = dataset_of(rows)
    model = fit_sequence(dataset, PLAIN)
    assert set(listed(dataset, model.after, "a")) == {"d"}
    assert set(listed(dataset, model.around, "a")) == {"b", "c", "d"}
    assert model.by_view
    assert not fit_sequence(visits("ab", event="purchase"), PLAIN).by_view


def test_impressions_and_other_sessions_are_no_neighbors() -> None:
    dataset = visits("ab", event="view_item_list")
    assert not listed(dataset, fit_sequence(dataset, PLAIN).around, "a")
    apart = visits("a", "b")
    assert not listed(apart, fit_sequence(apart, PLAIN).around, "a")


def test_late_pairs_count_more_than_early_ones() -> None:
    dataset = visits("ab", "xy", "xy", "ac")
    model = fit_sequence(dataset, SequenceConfig(half_life_share=0.5, n_steps=1))
    after = listed(dataset, model.after, "a")
    assert after["c"] / after["b"] == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("rows", [[], [{"user_id": "u", "item_id": "a", "timestamp": at(moment(0))}]])
def test_a_shop_without_pairs_has_empty_lists(rows: list[dict[str, Any]]) -> None:
    model = fit_sequence(dataset_of(rows), SequenceConfig())
    for lists in (model.around, model.after):
        assert len(lists.lists.item_idx) == 0
        assert (lists.row_of == -1).all()


def test_recent_items_are_the_latest_distinct_ones() -> None:
    config = SequenceConfig(n_recent=2, position_decay=1.0)
    rows, weight = weigh_recent(np.array([1, 2, 3, 2], np.int32), np.array([10, 20, 30, 40]), config)
    assert rows.tolist() == [2, 3]
    assert weight.tolist() == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])
    same, equal = weigh_recent(np.array([4, 5], np.int32), np.array([7, 7]), config)
    assert sorted(same.tolist()) == [4, 5]
    assert equal.tolist() == [0.5, 0.5], "items of one order share a position"
    assert not len(weigh_recent(np.empty(0, np.int32), np.empty(0, np.int64), config)[0])
