"""The queue before the thread that makes lists: order, refusals and what is never refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from serving.http.connection import PAUSE_SPREAD
from serving.problems import OverloadError, failure_of
from serving.runtime.list_queue import REFUSALS_PER_TURN, ListQueue

QUEUE_S = 0.05


@pytest.fixture
def queue() -> Iterator[ListQueue]:
    queue = ListQueue(QUEUE_S)
    yield queue
    queue.close()


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await steps()

    asyncio.run(bounded())


class Blocker:
    """A job that keeps the thread until it is released."""

    def __init__(self, queue: ListQueue) -> None:
        self._queue, self._started, self._released = queue, threading.Event(), threading.Event()

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._queue.run(self._block, is_patient=True))
        await asyncio.to_thread(self._started.wait)

    async def __aexit__(self, *_: object) -> None:
        self._released.set()
        await self._task

    def _block(self) -> None:
        self._started.set()
        self._released.wait(60)


def test_a_job_runs_in_one_thread_and_returns_or_raises_to_its_caller() -> None:
    prepared: list[int] = []
    queue = ListQueue(QUEUE_S, lambda: prepared.append(threading.get_ident()))

    async def steps() -> None:
        threads = {await queue.run(threading.get_ident) for _ in range(3)}
        assert threads == set(prepared) != {threading.get_ident()}
        with pytest.raises(ZeroDivisionError):
            await queue.run(lambda: 1 // 0)
        assert await queue.run(lambda: "goes on") == "goes on"

    run(steps)
    queue.close()


def test_jobs_run_in_their_order_and_urgent_ones_first(queue: ListQueue) -> None:
    done: list[str] = []

    async def steps() -> None:
        async with Blocker(queue):
            jobs = [asyncio.create_task(queue.run(lambda name=name: done.append(name))) for name in "abc"]  # type: ignore[misc]
            await asyncio.sleep(0)
            jobs.append(asyncio.create_task(queue.run(lambda: done.append("urgent"), is_urgent=True)))
            await asyncio.sleep(0)
        await asyncio.gather(*jobs)

    run(steps)
    assert done == ["urgent", "a", "b", "c"]


def test_nothing_is_refused_while_the_server_is_not_crowded(queue: ListQueue) -> None:
    async def steps() -> None:
        async with Blocker(queue):
            jobs = [asyncio.create_task(queue.run(lambda: 1)) for _ in range(64)]
            await asyncio.sleep(5 * QUEUE_S)
        assert await asyncio.gather(*jobs) == [1] * 64

    run(steps)


def test_a_crowded_server_refuses_what_has_waited_too_long_although_the_thread_is_busy(queue: ListQueue) -> None:
    queue.is_crowded = lambda: True
    ran: list[int] = []

    async def steps() -> None:
        async with Blocker(queue):
            n = 3 * REFUSALS_PER_TURN
            jobs = [asyncio.create_task(queue.run(lambda: ran.append(1))) for _ in range(n)]
            patient = asyncio.create_task(queue.run(lambda: "batch", is_patient=True))
            results = await asyncio.gather(*jobs, return_exceptions=True)
            assert [type(result) for result in results] == [OverloadError] * n
        assert await patient == "batch"
        assert await queue.run(lambda: "recovered") == "recovered"

    run(steps)
    assert ran == []


def test_a_caller_that_has_gone_costs_no_list(queue: ListQueue) -> None:
    ran: list[int] = []

    async def steps() -> None:
        async with Blocker(queue):
            gone = asyncio.create_task(queue.run(lambda: ran.append(1), is_wanted=lambda: False))
            cancelled = asyncio.create_task(queue.run(lambda: ran.append(2)))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.sleep(0)
        with pytest.raises(OverloadError):
            await gone
        await queue.run(lambda: None)

    run(steps)
    assert ran == []


def test_a_refusal_is_a_503_with_the_time_to_wait() -> None:
    failure = failure_of(OverloadError(0.25))
    assert failure.problem.status == 503
    assert failure.headers["Retry-After"] == "1"
    assert 0 < failure.pause_s * (1 + PAUSE_SPREAD) < int(failure.headers["Retry-After"])
    assert "waited 250 ms" in failure.problem.detail
