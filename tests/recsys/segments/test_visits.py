"""Visits: grouping, cutting and choosing users."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.segments.visits import (
    COLUMNS,
    Lines,
    Visits,
    dataset_visits,
    group_visits,
    no_visits,
    rows_of,
    stack_visits,
)
from tests.recsys.segments.histories import NOW, shop_of, visits_of

AGES = st.lists(st.lists(st.floats(0, 500), max_size=6), min_size=1, max_size=6)


def _lines(rows: list[tuple[int, int, int, bool, float, float, float, int]]) -> Lines:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    user, basket, at, bought, paid, quantity, list_price, channel = columns
    return Lines(
        user.astype(np.int32),
        basket.astype(np.int32),
        at.astype(np.int64),
        np.full(len(rows), 9, np.int8),
        np.full(len(rows), 3, np.int8),
        channel.astype(np.int16),
        bought.astype(np.bool_),
        paid.astype(np.float32),
        quantity.astype(np.float32),
        list_price.astype(np.float32),
    )


def test_lines_of_a_basket_are_one_order() -> None:
    nan = float("nan")
    lines = _lines(
        [
            (1, 7, 10, False, nan, nan, nan, -1),
            (0, 5, 20, True, 3.0, 2.0, 4.0, 1),  # 25 % below the list price
            (0, 5, 21, True, 9.9, nan, 10.0, 0),  # one piece, within the tolerance of 5 %
            (0, 5, 22, True, nan, 1.0, 10.0, 0),  # no price
            (0, 7, 30, True, nan, nan, nan, -1),
        ]
    )
    visits = group_visits(lines, 3, 0.05)
    assert visits.indptr.tolist() == [0, 2, 3, 3]
    assert visits.at.tolist() == [20, 30, 10]
    assert visits.n_lines.tolist() == [3, 1, 0]
    assert visits.n_priced.tolist() == [2, 0, 0]
    assert visits.n_discounted.tolist() == [1, 0, 0]
    assert visits.order_price.tolist() == pytest.approx([15.9, nan, nan], nan_ok=True)
    assert visits.channel.tolist() == [1, -1, -1], "that of the first line that names one"
    assert visits.orders.indptr.tolist() == [0, 2, 2, 2]


def _rows(visits: Visits) -> list[tuple[object, ...]]:
    columns = (visits.user_idx, *(getattr(visits, name) for name in COLUMNS))
    return [tuple(map(str, row)) for row in zip(*(column.tolist() for column in columns), strict=True)]


@given(AGES, st.floats(0, 500))
def test_a_cut_keeps_what_lies_before_it(ages: list[list[float]], age: float) -> None:
    visits, moment = visits_of(ages), NOW - round(age * 86_400)
    cut = visits.until(moment)
    assert _rows(cut) == [row for row, at in zip(_rows(visits), visits.at.tolist(), strict=True) if at <= moment]
    assert cut.n_users == len(ages)


@given(AGES)
def test_users_can_be_chosen_one_by_one(ages: list[list[float]]) -> None:
    visits = visits_of(ages)
    order = np.arange(len(ages))[::-1]
    chosen = visits.of_users(order)
    single = stack_visits([visits.of_users(np.array([user])) for user in order])
    assert _rows(chosen) == _rows(single)
    assert chosen.indptr.tolist() == single.indptr.tolist()
    assert sorted(map(str, chosen.at)) == sorted(map(str, visits.at))


def test_nobody_has_visits_in_an_empty_shop() -> None:
    assert len(no_visits(0)) == 0
    assert no_visits(2).orders.indptr.tolist() == [0, 0, 0]


def test_a_shop_of_views_has_visits_without_orders() -> None:
    views, orders = dataset_visits(shop_of([[3, 2]], event="view_item"), 0.05), dataset_visits(shop_of([[3, 2]]), 0.05)
    assert len(views) == len(orders) == 3
    assert not views.is_order.any()
    assert orders.is_order.all()
    assert orders.n_discounted.tolist() == [1, 1, 1]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_rows_of_groups_are_those_of_slices(counts: list[int], data: st.DataObject) -> None:
    indptr = np.concatenate([[0], np.cumsum(counts)])
    groups = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=5))
    rows, sizes = rows_of(indptr, np.array(groups, np.int64))
    assert rows.tolist() == [row for group in groups for row in range(indptr[group], indptr[group + 1])]
    assert sizes.tolist() == [counts[group] for group in groups]
