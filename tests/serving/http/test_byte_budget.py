"""A bound on the bytes that are held for all callers together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.http.byte_budget import LARGE_SHARE, SMALL_BYTES, ByteBudget, HeldBytes
from serving.problems import CapacityError, failure_of

STEPS = st.lists(st.tuples(st.integers(0, 7), st.integers(-50_000, 50_000)))


@given(STEPS)
def test_the_sum_never_exceeds_the_bound_and_all_of_it_is_given_back(steps: list[tuple[int, int]]) -> None:
    budget = ByteBudget(100_000)
    all_held = [HeldBytes(budget) for _ in range(8)]
    for number, n_bytes in steps:
        held = all_held[number]
        if n_bytes < 0:
            held.give_back(-n_bytes)
        else:
            before = held.n_bytes
            is_added = held.add(n_bytes)
            assert held.n_bytes == before + (n_bytes if is_added else 0)
        assert budget.n_held == sum(each.n_bytes for each in all_held) <= budget.limit
    for held in all_held:
        held.close()
        held.close()
    assert budget.n_held == 0


def test_large_requests_leave_room_for_small_ones() -> None:
    budget = ByteBudget(400_000)
    large, larger, small = HeldBytes(budget), HeldBytes(budget), HeldBytes(budget)
    assert large.add(int(400_000 * LARGE_SHARE))
    assert not larger.add(SMALL_BYTES + 1)
    assert small.add(SMALL_BYTES)
    assert not small.add(1)


def test_bytes_that_were_lost_make_the_request_fail_for_good() -> None:
    budget = ByteBudget(100)
    first, second = HeldBytes(budget), HeldBytes(budget)
    assert first.add(90)
    second.require(10)
    with pytest.raises(CapacityError):
        second.require(11)
    assert not second.add(20)
    first.close()
    assert not second.add(1)
    with pytest.raises(CapacityError) as caught:
        second.require()
    failure = failure_of(caught.value)
    assert (failure.problem.status, failure.headers["Retry-After"]) == (503, "1")


def test_without_a_budget_nothing_is_refused() -> None:
    held = HeldBytes()
    assert held.add(1 << 40)
    held.require(1 << 40)
    held.close()
