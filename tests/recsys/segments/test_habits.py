"""Habitual hours and weekdays, and interests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.catalog import Catalog
from recsys.data.dataset import PURCHASE, REFUND, VIEW_ITEM_LIST
from recsys.segments.config import HabitConfig
from recsys.segments.habits import InterestModel, Touches, fit_interests, habitual, top_interests
from tests.recsys.segments.histories import visits_of

VIEW = 1


def _touches(rows: list[tuple[int, int, int]]) -> Touches:
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return Touches(columns[:, 0], columns[:, 1].astype(np.int32), columns[:, 2].astype(np.int8))


def _catalog(types: list[int], names: tuple[str, ...]) -> Catalog:
    n = len(types)
    return Catalog(
        np.array(types, np.int32),
        np.full(len(names), -1, np.int32),
        names,
        np.full(n, -1, np.int32),
        np.full(n, np.nan, np.float32),
        np.ones(n, np.bool_),
    )


CATALOG = _catalog([0, 1, 2, -1], ("Food > Tea > Green", "Food > Tea > Black", "Toys"))


def test_the_category_is_the_level_above_the_type() -> None:
    model = fit_interests(
        _touches([(2, -1, PURCHASE), (0, 0, PURCHASE), (1, 1, PURCHASE), (1, 2, VIEW), (1, 2, VIEW)]), CATALOG
    )
    assert model.names == ("Food > Tea", "Toys")
    assert model.of_type.tolist() == [0, 0, 1]
    assert model.categories(np.array([-1, 2, 3], np.int32)).tolist() == [-1, 1, -1]
    assert model.share.tolist() == pytest.approx([2 / 2.5, 0.5 / 2.5])


def test_interests_are_what_a_user_buys_more_than_others() -> None:
    model = InterestModel(("milk", "tea", "toys"), np.arange(3, dtype=np.int32), np.array([0.9, 0.09, 0.01]))
    rows = [(0, 0, PURCHASE)] * 5 + [(0, 1, PURCHASE)] * 5 + [(1, 0, PURCHASE)] * 9 + [(2, 2, VIEW)] * 8
    rows += [(3, 2, VIEW)] * 7 + [(4, 2, REFUND), (4, 2, VIEW_ITEM_LIST)] * 9
    user, category = top_interests(_touches(rows), model, HabitConfig(), 5)
    named = [(int(each), model.names[code]) for each, code in zip(user, category, strict=True)]
    assert named == [(0, "tea"), (1, "milk"), (2, "toys")], "milk is for everybody; seven views are too few"


def test_the_best_categories_come_first_and_are_few() -> None:
    model = InterestModel(tuple("abcde"), np.arange(5, dtype=np.int32), np.full(5, 0.2))
    rows = [(0, item, PURCHASE) for item, times in enumerate((4, 9, 5, 6, 1)) for _ in range(times)]
    _, category = top_interests(_touches(rows), model, HabitConfig(n_interests=2), 1)
    assert category.tolist() == [1, 3]


def test_new_types_and_empty_models_have_no_interests() -> None:
    for model in (InterestModel(), InterestModel(("a",), np.zeros(1, np.int32), np.ones(1))):
        user, category = top_interests(_touches([(0, 7, PURCHASE)] * 9), model, HabitConfig(), 1)
        assert (len(user), len(category)) == (0, 0)


@given(st.lists(st.lists(st.integers(-1, 6), max_size=9), min_size=1, max_size=4))
def test_the_habit_is_the_most_frequent_value(values: list[list[int]]) -> None:
    visits = visits_of([list(range(len(each))) for each in values])
    flat = np.array([value for each in values for value in each], np.int64)
    known = [[value for value in each if value >= 0] for each in values]
    expected = [min((-each.count(v), v) for v in each)[1] if len(each) >= 3 else -1 for each in known]
    assert habitual(visits, flat, 7, 3).tolist() == expected


def test_hours_next_to_each_other_support_each_other() -> None:
    visits = visits_of([list(range(8))])
    hours = np.array([23, 23, 0, 0, 1, 12, 12, 12])
    assert habitual(visits, hours, 24, 3).tolist() == [12]
    assert habitual(visits, hours, 24, 3, circular=True).tolist() == [0]
