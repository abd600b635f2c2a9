"""The share of each worker, simulated."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.workers.balance import WorkerLoad, for_moved_connection, for_new_connection, too_busy


def test_the_fewest_connections_first_then_the_least_busy_and_silent_ones_last() -> None:
    loads = [WorkerLoad(3, 0.1), WorkerLoad(1, 5.0), WorkerLoad(1, 0.2), WorkerLoad(0, 0.0, is_silent=True)]
    assert for_new_connection(loads) == [2, 1, 0, 3]
    assert for_moved_connection(loads) == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        ([], None),
        ([WorkerLoad(9, 9.0)], None),
        ([WorkerLoad(9, 9.0), WorkerLoad(0, 0.0)], 0),
        ([WorkerLoad(1, 9.0), WorkerLoad(0, 0.0)], None),  # its only connection: nobody else gains
        ([WorkerLoad(2, 5.0), WorkerLoad(2, 4.9)], None),
        ([WorkerLoad(2, 0.1), WorkerLoad(2, 0.0)], None),  # an idle server
        ([WorkerLoad(2, 4.0), WorkerLoad(2, 9.0), WorkerLoad(2, 3.0)], 1),
    ],
)
def test_a_worker_with_more_than_its_share_returns_a_connection(loads: list[WorkerLoad], expected: int | None) -> None:
    assert too_busy(loads) == expected


@given(n_workers=st.integers(2, 5), n=st.integers(0, 64))
def test_connections_are_even_by_number(n_workers: int, n: int) -> None:
    loads = [WorkerLoad() for _ in range(n_workers)]
    for _ in range(n):
        loads[for_new_connection(loads)[0]].n_open += 1
    counts = [load.n_open for load in loads]
    assert max(counts) - min(counts) <= 1


def simulate(rates: list[float], seconds: int) -> list[float]:
    """Return the processor time of two workers that serve connections of these rates for some seconds."""
    loads, total = [WorkerLoad(), WorkerLoad()], [0.0, 0.0]
    places: list[int] = []
    for _ in rates:
        places.append(for_new_connection(loads)[0])
        loads[places[-1]].n_open += 1
    for _ in range(seconds):
        used = Counter[int]()
        for place, rate in zip(places, rates, strict=True):
            used[place] += rate  # type: ignore[assignment]
        for number, load in enumerate(loads):
            load.add(used[number])
            total[number] += used[number]
        busiest = too_busy(loads)
        if busiest is not None:
            moved = max((n for n, place in enumerate(places) if place == busiest), key=lambda n: rates[n])
            loads[busiest].n_open -= 1
            places[moved] = for_moved_connection(loads)[0]
            loads[places[moved]].n_open += 1
    return total


@given(n=st.integers(2, 64))
def test_connections_of_equal_rate_cost_both_workers_the_same(n: int) -> None:
    first, second = simulate([1.0 / n] * n, seconds=30)
    assert 0.4 <= first / (first + second) <= 0.6


@given(rates=st.lists(st.sampled_from([0.01, 0.02, 0.4]), min_size=6, max_size=12))
def test_no_worker_idles_while_the_other_one_has_all_the_work(rates: list[float]) -> None:
    first, second = simulate(rates, seconds=120)
    if first + second > 12:
        assert min(first, second) > 0.2 * (first + second)
