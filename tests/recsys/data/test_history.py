from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import PURCHASE, Dataset
from recsys.data.history import NO_HISTORY, History, HistoryConfig, UserHistory, build_history
from tests.recsys.small_shops import shops
from tests.shop import BROWSERS, at, dataset_of, moment

VIEW = EVENT_NAMES.index("view_item")


@given(shops(), st.integers(-1, 61), st.integers(1, 50))
def test_a_history_has_the_latest_events_of_a_user_up_to_a_moment(dataset: Dataset, day: int, max_events: int) -> None:
    """The reference filters the events one by one."""
    history = build_history(dataset, HistoryConfig(max_events))
    until = moment(day, 12) + 60
    rows = dataset.events
    for user in range(len(dataset.users)):
        own = [row for row in range(len(rows)) if rows.user_idx[row] == user][-max_events:]
        own = [row for row in own if rows.timestamp[row] <= until]
        found = history.of(user, until)
        assert found.item_idx.tolist() == rows.item_idx[own].tolist()
        assert found.timestamp.tolist() == rows.timestamp[own].tolist()
        assert found.basket_idx.tolist() == dataset.basket_keys[rows.basket_idx[own]].tolist()
        assert (np.diff(found.timestamp) >= 0).all()
    assert history.indptr[-1] == len(history.item_idx)


def test_the_moment_itself_is_included_and_the_next_second_is_not() -> None:
    rows = [{"user_id": "u", "item_id": f"i{n}", "timestamp": at(100 + n)} for n in range(3)]
    history = build_history(dataset_of(rows), HistoryConfig())
    assert [len(history.of(0, until)) for until in (99, 100, 101, 102, 10**10)] == [0, 1, 2, 3, 3]


@pytest.mark.parametrize("weight", [1, 0.5])
@pytest.mark.parametrize("first", [-(10**9), 0, 1_700_000_000])
@pytest.mark.parametrize(("span", "dtype"), [(5, np.uint32), (2**32 - 1, np.uint32), (2**32, np.int64)])
def test_times_and_weights_are_stored_in_few_bytes(first: int, span: int, dtype: type, weight: float) -> None:
    i1, i4 = np.zeros(3, np.int8), np.arange(3, dtype=np.int32)
    times, weights = np.array([first, first + span, first + 1]), np.array([1, weight, 1], np.float32)
    history = History.grouped(np.array([0, 2, 3]), UserHistory(i4, times, i1, i4, i1, weights, weights))
    assert history.seconds.dtype == dtype
    assert len(history.rating_weight) == (0 if weight == 1 else 3)
    assert history.timestamp.tolist() == times.tolist()
    own = history.of(0, first + span)
    assert (own.timestamp.tolist(), own.rating_weight.tolist()) == (times[:2].tolist(), [1, weight])
    assert (own.timestamp.dtype, own.rating_weight.dtype) == (np.int64, np.float32)
    assert [len(history.of(0, first + after)) for after in (-1, 0, span - 1)] == [0, 1, 1]
    assert history.incidence(0, 3, first - 1).nnz == 0
    assert history.incidence(0, 3, first + 1).toarray().tolist() == [[1, 0, 0], [0, 0, 1]]


def test_an_event_has_its_price_in_the_currency_of_its_item() -> None:
    rows = [
        {"user_id": "u", "item_id": item, "timestamp": at(100 + n), "price": 9.5, "currency": currency}
        for n, (item, currency) in enumerate([("a", "CNY"), ("a", None), ("a", "USD"), ("b", "USD"), ("c", "USD")])
    ]
    items = [{"item_id": "a", "currency": "CNY"}, {"item_id": "b"}]
    own = build_history(dataset_of(rows, items), HistoryConfig()).of(0, 2**40)
    np.testing.assert_array_equal(own.price, np.array([9.5, 9.5, 0, 9.5, 9.5], np.float32))


def test_a_shop_without_prices_stores_none() -> None:
    history = build_history(dataset_of([{"user_id": "u", "item_id": "i", "timestamp": at(100)}]), HistoryConfig())
    assert len(history.price) == 0
    assert history.of(0, 2**40).price.tolist() == [0]


def test_impressions_do_not_count_towards_the_limit() -> None:
    did = [{"user_id": "u", "item_id": f"i{n}", "timestamp": at(100 + n)} for n in range(3)]
    shown = [{**row, "timestamp": at(200 + n), "event": "view_item_list"} for n, row in enumerate(did)]
    own = build_history(dataset_of([*did, *shown]), HistoryConfig(max_events=2)).of(0, 2**40)
    assert own.timestamp.tolist() == [101, 102]


def test_an_anonymous_user_has_no_history(shop_dataset: Dataset) -> None:
    history = build_history(shop_dataset, HistoryConfig())
    assert history.of(-1, 2**40) is NO_HISTORY
    assert len(NO_HISTORY) == 0
    assert len(NO_HISTORY.of_type(PURCHASE)) == 0


def test_events_are_selected_by_type(shop_dataset: Dataset) -> None:
    history = build_history(shop_dataset, HistoryConfig())
    own = history.of(shop_dataset.users.row(BROWSERS[0]), 2**40)
    bought, viewed = own.of_type(PURCHASE), own.of_type(VIEW)
    assert 0 < len(viewed) < len(bought) < len(own)
    assert (bought.event_type == PURCHASE).all()
    assert bought.of_type(PURCHASE) is bought
