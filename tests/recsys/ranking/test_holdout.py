"""Hold-outs: cut-offs, events left out by user, and proofs that no answer is in what the models may know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import DAY_S, Dataset
from recsys.data.history import HistoryConfig, build_history
from recsys.fitting.ranker import RankerConfig
from recsys.ranking import holdout
from recsys.ranking.holdout import Holdout, PastRequest, holdouts, is_order_only, leave_last_out, past_requests
from tests.shop import at, dataset_of, moment

CONFIG = RankerConfig(horizon_days=10, step_days=5, n_cutoffs=3, min_queries=2, short_share=0.0)


def bought(user_id: str | None, item_id: str, day: float, **extra: Any) -> dict[str, Any]:
    return {"user_id": user_id, "item_id": item_id, "timestamp": at(moment(day, 12)), **extra}


def busy_shop(seed: int = 0, n_days: int = 100) -> Dataset:
    """Users who buy on irregular days through the whole time."""
    rng = np.random.default_rng(seed)
    return dataset_of(
        [
            bought(f"u{user}", f"i{rng.integers(9)}", float(day) + rng.random())
            for user in range(12)
            for day in np.flatnonzero(rng.random(n_days) < 0.4)
        ]
    )


def bursts() -> Dataset:
    """Users who are active on one day each, months apart."""
    return dataset_of(
        [bought(f"u{user}", f"i{(user + n) % 20}", 20.0 * user + n / 500) for user in range(12) for n in range(10)]
    )


def requests_of(cut: Holdout, config: RankerConfig = CONFIG, seed: int = 0) -> list[PastRequest]:
    history = build_history(cut.known, HistoryConfig())
    return past_requests(cut, history, config, np.random.default_rng(seed))


def test_cutoffs_have_their_answers_within_the_horizon() -> None:
    dataset = busy_shop()
    cuts = holdouts(dataset, dataset.end, CONFIG)
    assert len(cuts) == 3
    assert all(cut.is_cutoff for cut in cuts)
    assert [dataset.end - cut.now for cut in cuts] == [10 * DAY_S, 15 * DAY_S, 20 * DAY_S]
    for cut in cuts:
        assert cut.known.events.timestamp.max() < cut.now
        assert cut.answers.timestamp.min() >= cut.now
        assert cut.answers.timestamp.max() < cut.now + cut.horizon


def test_a_large_shop_is_cut_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdout, "LARGE_EVENTS", 1)
    dataset = busy_shop()
    (cut,) = holdouts(dataset, dataset.end, CONFIG)
    assert (cut.is_cutoff, dataset.end - cut.now) == (True, 10 * DAY_S)


def test_the_horizon_is_a_part_of_a_short_history() -> None:
    dataset = busy_shop(n_days=14)
    cuts = holdouts(dataset, dataset.end, RankerConfig(min_queries=2))
    assert cuts
    assert cuts[0].is_cutoff
    assert 0 < cuts[0].horizon <= 2 * DAY_S


def test_users_of_single_bursts_have_their_last_events_left_out() -> None:
    dataset = bursts()
    cuts = holdouts(dataset, dataset.end, replace(CONFIG, min_queries=8, horizon_days=28))
    assert cuts
    assert not any(cut.is_cutoff for cut in cuts)
    cut = cuts[0]
    assert cut.now == dataset.end
    assert len(cut.known.events) + len(cut.answers) == len(dataset.events)
    _, n_hidden = np.unique(cut.answers.user_idx, return_counts=True)
    assert n_hidden.tolist() == [2] * 12


def test_the_last_day_is_left_out_and_a_single_event_never() -> None:
    rows = [bought("u", item, day) for item, day in (("a", 0), ("b", 1), ("c", 2))] + [bought("once", "a", 0)]
    dataset = dataset_of(rows)
    cut = leave_last_out(dataset, dataset.end, np.random.default_rng(0))
    assert [dataset.items.ids[item] for item in cut.answers.item_idx] == ["c"]


def test_a_shop_without_events_has_no_holdout() -> None:
    assert holdouts(dataset_of(), 0, CONFIG) == ()


@pytest.mark.parametrize(("jitter", "expected"), [(0.0, True), (0.4, False)])
def test_equal_gaps_mean_that_the_clock_gives_the_order_only(jitter: float, expected: bool) -> None:
    rng = np.random.default_rng(0)
    rows = [bought(f"u{user}", f"i{n}", 7.0 * n + jitter * rng.random()) for user in range(12) for n in range(8)]
    assert is_order_only(dataset_of(rows)) is expected


def test_one_date_gives_not_even_the_order() -> None:
    assert is_order_only(dataset_of([bought(f"u{n}", "a", 0) for n in range(3)]))
    assert not is_order_only(busy_shop())


def test_no_answer_is_in_a_history_of_its_request() -> None:
    dataset = busy_shop()
    for cut in holdouts(dataset, dataset.end, CONFIG):
        for request in requests_of(cut):
            assert request.history.timestamp.max() < cut.now
            assert len(request.next)
            assert set(request.next) <= set(request.later)


def test_the_first_order_is_asked_for_and_all_of_the_horizon() -> None:
    rows = [bought("u", "a", 0), bought("u", "b", 50), bought("u", "c", 50), bought("u", "d", 52)]
    rows += [bought("v", "a", 0), bought("v", "d", 51)]
    dataset = dataset_of(rows)
    cut = holdouts(dataset, moment(55, 13), replace(CONFIG, n_cutoffs=1, horizon_days=7))[0]
    named = {
        tuple(sorted(dataset.items.ids[item] for item in request.next)): sorted(
            dataset.items.ids[item] for item in request.later
        )
        for request in requests_of(cut)
    }
    assert named == {("b", "c"): ["b", "c", "d"], ("d",): ["d"]}


def test_some_requests_keep_only_the_latest_items() -> None:
    dataset = busy_shop()
    cut = holdouts(dataset, dataset.end, CONFIG)[0]
    found = requests_of(cut, replace(CONFIG, short_share=1.0, max_short=1))
    assert len(found) == 2 * len(requests_of(cut))
    assert sum(len(np.unique(request.history.item_idx)) == 1 for request in found) >= len(found) // 2


def test_a_visitor_who_is_new_is_asked_within_the_first_visit() -> None:
    rows = [
        {
            "session_id": f"s{number}",
            "item_id": item,
            "event": "view_item",
            "timestamp": at(moment(number, 1) + 60 * n * n),
        }
        for number in range(30)
        for n, item in enumerate("abcd")
    ]
    dataset = dataset_of(rows)
    cut = holdouts(dataset, dataset.end, CONFIG)[0]
    found = requests_of(cut)
    assert found
    for request in found:
        before = [dataset.items.ids[item] for item in request.history.item_idx]
        following = [dataset.items.ids[item] for item in request.next]
        assert before == list("abcd")[: len(before)]
        assert following == [list("abcd")[len(before)]]
        assert request.as_of == request.history.timestamp[-1]
