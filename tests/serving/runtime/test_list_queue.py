"""The queue of lists: order, where they run, refusals and what is never refused."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvloop

from serving.http.connection import PAUSE_SPREAD
from serving.problems import OverloadError, failure_of
from serving.runtime.list_queue import MAX_IN_LOOP_S, REFUSALS_PER_TURN, ListQueue

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


@pytest.fixture
def in_loop(queue: ListQueue) -> ListQueue:
    queue.may_use_loop = lambda: True
    return queue


def test_short_jobs_run_in_the_event_loop_and_return_or_raise_to_their_callers(in_loop: ListQueue) -> None:
    async def steps() -> None:
        assert await in_loop.run(threading.get_ident, is_short=True) == threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await in_loop.run(lambda: 1 // 0, is_short=True)
        assert await in_loop.run(threading.get_ident) != threading.get_ident()
        in_loop.may_use_loop = lambda: False
        assert await in_loop.run(threading.get_ident, is_short=True) != threading.get_ident()

    run(steps)


def test_one_short_job_runs_per_turn_of_the_loop_and_its_answer_is_sent_before_the_next(in_loop: ListQueue) -> None:
    done: list[str] = []

    async def call(name: str) -> None:
        await in_loop.run(lambda: done.append(f"made {name}"), is_short=True)
        done.append(f"sent {name}")

    async def steps() -> None:
        await asyncio.gather(*map(call, "abc"))

    run(steps)
    assert done == ["made a", "sent a", "made b", "sent b", "made c", "sent c"]


def test_a_call_that_arrives_while_a_short_job_runs_is_answered_before_the_next_one(in_loop: ListQueue) -> None:
    caller, served = socket.socketpair()
    caller.setblocking(False)
    served.setblocking(False)

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            self._task = asyncio.get_running_loop().create_task(self._answer(data))

        async def _answer(self, data: bytes) -> None:
            self._transport.write(data)  # type: ignore[attr-defined]

    async def steps() -> None:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(Echo, served)
        jobs = [in_loop.run(job, is_short=True) for job in (lambda: caller.send(b"call"), lambda: caller.recv(9))]
        try:
            assert await asyncio.gather(*jobs) == [4, b"call"]
        finally:
            transport.close()
            await asyncio.sleep(0.01)

    with caller, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(steps())


def test_a_short_job_never_runs_beside_one_in_the_thread(in_loop: ListQueue) -> None:
    async def steps() -> None:
        async with Blocker(in_loop):
            short = asyncio.create_task(in_loop.run(lambda: "short", is_short=True))
            await asyncio.sleep(QUEUE_S)
            assert not short.done()
        assert await short == "short"

    run(steps)


def test_jobs_that_prove_long_leave_the_event_loop_and_come_back_once_they_are_short(in_loop: ListQueue) -> None:
    def job(seconds: float) -> int:
        time.sleep(seconds)
        return threading.get_ident()

    async def steps() -> None:
        here = threading.get_ident()
        for _ in range(20):
            last = await in_loop.run(lambda: job(2 * MAX_IN_LOOP_S), is_short=True)
        assert last != here
        for _ in range(30):
            last = await in_loop.run(lambda: job(0), is_short=True)
        assert last == here

    run(steps)


def test_a_caller_of_a_short_job_that_has_gone_costs_no_list(in_loop: ListQueue) -> None:
    ran: list[int] = []

    async def steps() -> None:
        gone = asyncio.create_task(in_loop.run(lambda: ran.append(1), is_wanted=lambda: False, is_short=True))
        cancelled = asyncio.create_task(in_loop.run(lambda: ran.append(2), is_short=True))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(OverloadError):
            await gone
        assert await in_loop.run(lambda: "goes on", is_short=True) == "goes on"

    run(steps)
    assert ran == []


@pytest.mark.parametrize("is_short", [True, False])
def test_a_job_that_raises_what_no_future_accepts_fails_for_its_caller(in_loop: ListQueue, *, is_short: bool) -> None:
    nothing: list[int] = []

    async def steps() -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await in_loop.run(lambda: next(iter(nothing)), is_short=is_short)
        assert await in_loop.run(lambda: "goes on", is_short=is_short) == "goes on"

    run(steps)


@pytest.mark.parametrize("part", ["may_use_loop", "_prepare"])
def test_a_fault_before_a_job_fails_that_job_only(
    in_loop: ListQueue, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail() -> bool:
        raise OSError("no such file")

    async def steps() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(in_loop, part, fail)
            jobs = [asyncio.create_task(in_loop.run(lambda: "made", is_short=True)) for _ in range(2)]
            results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(result) for result in results] == [OSError] * 2
        assert await in_loop.run(lambda: "goes on", is_short=True) == "goes on"

    run(steps)


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
