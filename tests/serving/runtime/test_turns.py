"""Long work in short turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from serving.runtime.list_queue import ListQueue
from serving.runtime.turns import in_turns


def slow(n: int, done: list[int]) -> Iterator[int]:
    for number in range(n):
        time.sleep(0.004)
        done.append(number)
        yield number


def test_others_have_their_turn_in_between() -> None:
    queue, done, seen = ListQueue(1.0), [], []  # type: ignore[var-annotated]

    async def run() -> tuple[list[int], bool]:
        work = asyncio.create_task(in_turns(queue, slow(30, done), 10))
        for _ in range(3):
            await asyncio.sleep(0.01)
            seen.append(await queue.run(lambda: len(done)))
        return await work

    assert asyncio.run(run()) == (list(range(30)), True)
    assert seen[0] < seen[1] < seen[2] < 30
    queue.close()


def test_work_ends_with_its_time() -> None:
    queue = ListQueue(1.0)
    found, is_complete = asyncio.run(in_turns(queue, slow(1000, []), 0.1))
    assert 0 < len(found) < 100
    assert not is_complete
    assert asyncio.run(in_turns(queue, iter(()), 0.1)) == ([], True)
    queue.close()


def test_an_error_is_the_callers() -> None:
    queue = ListQueue(1.0)

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(in_turns(queue, broken(), 1))
    queue.close()
