from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Final

import pytest

from recsys.core.errors import StoreBusyError, StoreError
from recsys.eventlog.group_commit import GROUP_SIZE, GroupCommit

SOON_S: Final = 30


class Disk:
    """Commits all items once it is released."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.started, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.fails = False

    def commit(self, items: list[int]) -> list[int]:
        self.started.release()
        assert self.go_on.acquire(timeout=SOON_S)
        self.groups.append(items)
        if self.fails:
            raise StoreError("the disk is full")
        return [10 * item for item in items]


def with_one_under_way(disk: Disk, max_waiting: int = 10**6) -> tuple[GroupCommit[int, int], Future[list[int]]]:
    group = GroupCommit(disk.commit, max_waiting, "test")
    first = group.submit([0])
    assert disk.started.acquire(timeout=SOON_S)
    return group, first


def test_what_waits_is_committed_together_and_everybody_gets_their_own_answer() -> None:
    disk = Disk()
    group, first = with_one_under_way(disk)
    waiting = [group.submit([number, number + 1]) for number in range(1, 100)]
    disk.go_on.release(2)
    assert first.result(SOON_S) == [0]
    assert [future.result(SOON_S) for future in waiting] == [[10 * n, 10 * n + 10] for n in range(1, 100)]
    assert len(disk.groups) == 2
    group.close()


def test_a_group_is_bounded_and_no_call_is_split() -> None:
    disk = Disk()
    group, _ = with_one_under_way(disk)
    sizes = (GROUP_SIZE - 1, 2, GROUP_SIZE + 5, 1)
    waiting = [group.submit([1] * size) for size in sizes]
    disk.go_on.release(5)
    assert [len(future.result(SOON_S)) for future in waiting] == list(sizes)
    assert [len(items) for items in disk.groups] == [1, *sizes]
    group.close()


def test_a_full_queue_turns_away_and_takes_again_once_it_is_drained() -> None:
    disk = Disk()
    group, _ = with_one_under_way(disk, max_waiting=2)
    waiting = group.submit([1, 2])
    with pytest.raises(StoreBusyError, match="2 entries wait, and 1 more would exceed 2") as caught:
        group.submit([3])
    assert caught.value.n_waiting == 2
    disk.go_on.release(3)
    waiting.result(SOON_S)
    assert group.submit([3]).result(SOON_S) == [30]
    group.close()


def test_a_failed_commit_fails_its_callers_and_no_later_ones() -> None:
    disk = Disk()
    group, first = with_one_under_way(disk)
    disk.fails = True
    disk.go_on.release()
    with pytest.raises(StoreError, match="full"):
        first.result(SOON_S)
    disk.fails = False
    disk.go_on.release()
    assert group.submit([1]).result(SOON_S) == [10]
    group.close()


def test_a_caller_who_has_given_up_is_left_out() -> None:
    disk = Disk()
    group, _ = with_one_under_way(disk)
    waiting, given_up = group.submit([1]), group.submit([2])
    assert given_up.cancel()
    disk.go_on.release(2)
    assert waiting.result(SOON_S) == [10]
    group.close()
    assert disk.groups == [[0], [1]]


def test_closing_drains_and_then_refuses() -> None:
    disk = Disk()
    group, _ = with_one_under_way(disk)
    waiting = group.submit([1])
    disk.go_on.release(2)
    group.close()
    group.close()
    assert waiting.result(0) == [10]
    with pytest.raises(StoreError, match="closed"):
        group.submit([2])
