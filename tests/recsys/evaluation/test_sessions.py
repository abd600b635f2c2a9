"""Questions within sessions, by hand; and baselines against loops over all sessions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.evaluation.experiment import Experiment
from recsys.evaluation.protocols import PROTOCOLS, InsufficientDataError
from recsys.evaluation.sessions import (
    FIRST_ITEMS,
    SESSION_BASELINES,
    SessionBaselines,
    next_new_item,
    session_lists,
)
from recsys.evaluation.splits import Window
from recsys.ranking.fit import fit_engine
from tests.shop import at, dataset_of, moment, small_config

WINDOW = Window(moment(10), moment(11))


def visits(past: tuple[str, ...], asked: tuple[str, ...]) -> Dataset:
    """Sessions as texts, one letter per item: those of the past on days of their own, the others in the window."""
    days = [*(n * 10 / (len(past) + 1) for n in range(len(past))), *(10 + n / 100 for n in range(len(asked)))]
    return dataset_of(
        [
            {
                "session_id": f"s{n:03d}",
                "item_id": item,
                "event": "view_item",
                "timestamp": at(moment(day) + 60 * k + k * k),
            }
            for n, (day, session) in enumerate(zip(days, (*past, *asked), strict=True))
            for k, item in enumerate(session)
        ]
    )


def test_each_beginning_asks_for_the_next_new_item() -> None:
    dataset = visits(("abcdefg",), ("aabca", "ab"))
    found = next_new_item(dataset, WINDOW)
    ids = dataset.items.ids
    asked = {
        ("".join(ids[item] for item in beginning), ids[int(found.task.relevant[n].indices[0])], int(found.n_items[n]))
        for n, beginning in enumerate(found.beginnings)
    }
    assert asked == {("aa", "b", 1), ("aab", "c", 2), ("a", "b", 1)}
    assert set(found.task.user_idx.tolist()) == {-1}
    assert len(found.of_length(1)) == 2


def test_answers_that_nobody_met_before_are_not_asked_for() -> None:
    assert len(next_new_item(visits(("ab",), ("az",)), WINDOW)) == 0


def test_items_of_one_moment_have_no_order() -> None:
    rows = [
        {"user_id": "u", "item_id": item, "basket_id": f"b{day}", "timestamp": at(moment(day))}
        for day in (0, 10)
        for item in "ab"
    ]
    assert len(next_new_item(dataset_of(rows), WINDOW)) == 0


@pytest.fixture(scope="module")
def busy() -> Dataset:
    rng = np.random.default_rng(0)
    drawn = ["".join(rng.choice(list("abcdefgh"), rng.integers(2, 10))) for _ in range(120)]
    return visits(tuple(drawn[:80]), tuple(drawn[80:]))


def past_sessions(dataset: Dataset) -> list[list[int]]:
    events = dataset.until(WINDOW.start).events
    return [events.item_idx[events.basket_idx == basket].tolist() for basket in np.unique(events.basket_idx)]


def test_rules_are_those_of_loops(busy: Dataset) -> None:
    baselines = SessionBaselines(busy.until(WINDOW.start), WINDOW.start)
    last = 2
    follows, beside = Counter[int](), Counter[int]()
    for session in past_sessions(busy):
        for n, item in enumerate(session):
            if item == last:
                for distance, other in enumerate(session[n + 1 : n + 11], 1):
                    follows[other] += 1 / distance
        if last in session:
            beside.update(set(session))
    beginning = np.array([0, last], np.int32)
    n_items = len(busy.items)
    assert baselines.sequential_rules(beginning) == pytest.approx([follows[item] for item in range(n_items)])
    assert baselines.association_rules(beginning).tolist() == [beside[item] for item in range(n_items)]


def test_the_nearest_sessions_are_those_of_a_loop(busy: Dataset) -> None:
    baselines = SessionBaselines(busy.until(WINDOW.start), WINDOW.start)
    events = busy.until(WINDOW.start).events
    beginning = [1, 4, 1]
    weight = {item: max(np.exp(-(2 - n) / 1.02) for n, each in enumerate(beginning) if each == item) for item in (1, 4)}
    expected = np.zeros(len(busy.items))
    for basket in np.unique(events.basket_idx).tolist():
        session = events.item_idx[events.basket_idx == basket].tolist()
        if not weight.keys() & set(session):
            continue
        end = events.timestamp[events.basket_idx == basket].max()
        alike = sum(value for item, value in weight.items() if item in session) / np.sqrt(2 * len(set(session)))
        alike *= np.exp(-(WINDOW.start - end) / 86_400 / 5)
        last = max(n for n, item in enumerate(session) if item in weight)
        for n, item in enumerate(session):
            expected[item] += alike * np.exp(-abs(n - last) / 2.05)
    assert baselines.vstan(np.array(beginning, np.int32)) == pytest.approx(expected)


@pytest.mark.parametrize("name", SESSION_BASELINES)
def test_no_list_has_an_item_of_its_session(name: str, busy: Dataset) -> None:
    asked = next_new_item(busy, WINDOW)
    assert set(asked.n_items.tolist()) <= set(FIRST_ITEMS)
    lists = SessionBaselines(busy.until(WINDOW.start), WINDOW.start).lists(name, asked, 5)
    for beginning, row in zip(asked.beginnings, lists, strict=True):
        assert not set(beginning.tolist()) & set(row.tolist())


def test_the_engine_is_asked_without_a_person(busy: Dataset) -> None:
    engine = fit_engine(busy.until(WINDOW.start), small_config(), now=WINDOW.start)
    asked = next_new_item(busy, WINDOW)
    for placement in ("for_you", "viewed_together"):
        lists = session_lists(engine, asked, placement, 4)
        assert (lists[:, 0] >= 0).all()
        for beginning, row in zip(asked.beginnings, lists, strict=True):
            assert not set(beginning.tolist()) & set(row.tolist())


def test_the_protocol_has_a_question_per_number_of_items(busy: Dataset) -> None:
    experiment = Experiment.cut(busy, WINDOW, small_config())
    found = list(PROTOCOLS["sessions"](experiment))
    assert [question.primary_metric for question in found] == [
        "recall@20_n1",
        "recall@20_n2",
        "recall@20_n3",
        "recall@20_n5",
    ]
    for question in found:
        assert question.treatments == ("for_you", "discover", "similar", "viewed_together")
        assert set(SESSION_BASELINES) <= set(question.values)
        for values in question.values.values():
            assert len(values) == 3
            assert all(value.shape == (question.n_queries,) for value in values.values())


def test_a_window_without_ordered_sessions_is_skipped_with_the_reason() -> None:
    experiment = Experiment.cut(visits(("ab", "abc"), ("a",)), WINDOW, small_config())
    with pytest.raises(InsufficientDataError, match="two items in order"):
        list(PROTOCOLS["sessions"](experiment))
