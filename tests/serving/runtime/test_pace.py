from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from serving.runtime import pace
from serving.runtime.pace import Pace

Act = Callable[[Pace, list[int]], Coroutine[Any, Any, None]]


def looks(act: Act, *, may_rest: bool = True, look_s: float = 0.0) -> list[int]:
    """Return the looks of a task that pauses for 10 ms, while something is done beside it."""
    found: list[int] = []

    async def run() -> None:
        each = Pace()
        each.may_rest = may_rest

        async def task() -> None:
            while True:
                await asyncio.sleep(look_s)
                found.append(len(found))
                await each.sleep(0.01)

        running = asyncio.create_task(task())
        await act(each, found)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await called(each)  # nobody is left to be waited for

    asyncio.run(run())
    return found


async def called(each: Pace) -> None:
    async with each.awake():
        pass


async def nothing(each: Pace, found: list[int]) -> None:
    await asyncio.sleep(0.3)


@pytest.fixture(autouse=True)
def _quiet_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "QUIET_S", 0.0)


def test_a_server_that_nobody_calls_looks_seldom() -> None:
    assert len(looks(nothing)) == 1


def test_the_only_server_of_a_process_never_rests() -> None:
    assert len(looks(nothing, may_rest=False)) > 10


def test_a_server_that_is_called_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "QUIET_S", 10.0)
    assert len(looks(nothing)) > 10


def test_the_next_call_waits_until_each_task_has_looked() -> None:
    async def call(each: Pace, found: list[int]) -> None:
        await asyncio.sleep(0.2)
        before = len(found)
        await asyncio.gather(called(each), called(each))
        assert len(found) == before + 1

    looks(call, look_s=0.05)


def test_a_call_does_not_wait_long_for_a_task_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LOOK_S", 0.05)

    async def call(each: Pace, found: list[int]) -> None:
        await asyncio.sleep(0.45)
        started = time.monotonic()
        await called(each)
        assert 0.04 < time.monotonic() - started < 0.25
        started = time.monotonic()
        await called(each)
        assert time.monotonic() - started < 0.04, "later calls do not wait again"

    looks(call, look_s=0.3)


def test_looks_go_on_without_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SELDOM_S", 0.05)
    assert 3 <= len(looks(nothing)) <= 7


def test_nothing_rests_during_a_long_call() -> None:
    async def call(each: Pace, found: list[int]) -> None:
        async with each.awake():
            await asyncio.sleep(0.3)

    assert len(looks(call)) > 10
