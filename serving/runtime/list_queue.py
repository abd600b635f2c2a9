"""Makes lists one after the other, and bounds the waiting time of those that wait."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from serving.problems import OverloadError

REFUSALS_PER_TURN: Final = 32
"""Bounds how long a crowd of refusals delays the other requests of the event loop."""

REFUSAL_PAUSE_S: Final = 0.002

MAX_IN_LOOP_S: Final = 0.025
"""Short jobs that take longer on average run in the thread."""

MEAN_SHARE: Final = 0.1
"""Share of a new duration in the average: about the last ten count."""

R = TypeVar("R")


def always() -> bool:
    """Return true: the caller waits as long as it takes."""
    return True


@dataclass
class Waiting:
    """A job that waits for its turn.

    Attributes:
        job: makes the answer.
        is_wanted: whether its caller still waits.
        is_patient: whether it waits however long.
        is_short: whether it takes a few milliseconds.
        loop: of the caller.
        answer: the result.
        since: when it was added; the monotonic clock.
    """

    job: Callable[[], Any]
    is_wanted: Callable[[], bool]
    is_patient: bool
    is_short: bool
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    since: float = field(default_factory=time.monotonic)

    def refuse(self, queue_s: float) -> None:
        """Answer that the server has too much to do; called in the event loop."""
        if not self.answer.done():
            self.answer.set_exception(OverloadError(queue_s))

    def finish(self, result: Any, error: BaseException | None) -> None:
        """Give the outcome to the caller; called in the event loop."""
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(result)
        else:
            self.answer.set_exception(error)


class ListQueue:
    """Runs jobs one after the other: the models and the live view are used by one job at a time.

    A short job runs in the event loop, one every other turn, so that the loop reads its sockets, answers other calls
    and writes between two of them: a thread that competes with the loop for Python's lock makes both slower (related
    items that are made anew take 1.5 times as long). All other jobs run in a thread.

    While the server is crowded, a job that has waited for `queue_s` is refused rather than run. Refusals are not sent
    earlier: a caller that repeats its request at once would otherwise cost more than its list.

    All methods are called in the event loop.

    Args:
        queue_s: the longest time a job waits, in seconds.
        prepare: called once in each thread that runs jobs, before the first one.

    Attributes:
        is_crowded: whether the server has more connections than it promises to answer without refusals.
        may_use_loop: whether a short job can run now without waiting for a file or a database.
        timed: returns the form of a job that notes when it waits and runs, None to note nothing.
    """

    def __init__(self, queue_s: float, prepare: Callable[[], None] = lambda: None) -> None:
        self.is_crowded: Callable[[], bool] = lambda: False
        self.may_use_loop: Callable[[], bool] = lambda: False
        self.timed: Callable[[Callable[[], Any]], Callable[[], Any]] | None = None
        self._queue_s, self._prepare = queue_s, prepare
        self._urgent: deque[Waiting] = deque()
        self._waiting: deque[Waiting] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._is_running, self._is_prepared = False, False
        self._mean_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(
        self,
        job: Callable[[], R],
        *,
        is_wanted: Callable[[], bool] = always,
        is_patient: bool = False,
        is_urgent: bool = False,
        is_short: bool = False,
    ) -> R:
        """Return what a job returns.

        Args:
            job: called in the thread, or in the event loop.
            is_wanted: whether the caller still waits; it is not run otherwise.
            is_patient: whether it waits however long, as a push job does.
            is_urgent: whether it goes before all jobs that are not.
            is_short: whether it takes a few milliseconds.

        Raises:
            OverloadError: it has waited too long.
        """
        if self.timed is not None and not is_patient:  # a batch has thousands of jobs
            job = self.timed(job)
        loop = asyncio.get_running_loop()
        waiting = Waiting(job, is_wanted, is_patient or is_urgent, is_short, loop, loop.create_future())
        (self._urgent if is_urgent else self._waiting).append(waiting)
        self._start_next(loop)
        if self._timer is None and not waiting.is_patient:
            self._timer = loop.call_later(self._queue_s, self._sweep, loop)
        result: R = await waiting.answer
        return result

    def close(self) -> None:
        """End the thread, after the job that runs."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse the jobs at the head of the queue that have waited too long, some per turn of the event loop."""
        self._timer = None
        for _ in range(REFUSALS_PER_TURN):
            if not self._waiting or not self._is_late(self._waiting[0]):
                break
            self._waiting.popleft().refuse(self._queue_s)
        if self._waiting:
            left = self._waiting[0].since + self._queue_s - time.monotonic()
            self._timer = loop.call_later(max(left, REFUSAL_PAUSE_S), self._sweep, loop)

    def _is_late(self, waiting: Waiting) -> bool:
        if waiting.is_patient or not self.is_crowded():
            return False
        return time.monotonic() - waiting.since >= self._queue_s

    def _start_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the next job in the next turn of the event loop, unless one runs."""
        if not self._is_running and (self._urgent or self._waiting):
            self._is_running = True
            loop.call_soon(self._run_next)

    def _run_next(self) -> None:
        """Run the next job: a short one in the event loop, after the calls that have just been read."""
        waiting = self._next()
        if waiting is None:
            self._is_running = False
        elif waiting.is_short and self._mean_s < MAX_IN_LOOP_S:
            waiting.loop.call_soon(self._run_here, waiting)
        else:
            self._submit(waiting)

    def _run_here(self, waiting: Waiting) -> None:
        """Run a job in the event loop, or hand it to the thread if it would wait."""
        try:
            may_run = self.may_use_loop()
            if may_run and not self._is_prepared:
                self._prepare()
                self._is_prepared = True
        except Exception as error:  # the next jobs must not wait for ever
            self._finish(waiting, None, error)
            return
        if may_run:
            self._finish(waiting, *self._run(waiting))
        else:
            self._submit(waiting)

    def _submit(self, waiting: Waiting) -> None:
        """Hand a job to the thread."""
        try:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "lists", self._prepare)
            self._thread.submit(self._run_in_thread, waiting)
        except RuntimeError as error:  # it ends, or has failed to start
            self._finish(waiting, None, error)

    def _run_in_thread(self, waiting: Waiting) -> None:
        outcome = self._run(waiting)
        with suppress(RuntimeError):  # the loop has been closed: nobody waits
            waiting.loop.call_soon_threadsafe(self._finish, waiting, *outcome)

    def _run(self, waiting: Waiting) -> tuple[Any, BaseException | None]:
        begun = time.monotonic()
        try:
            return waiting.job(), None
        except StopIteration as error:  # a future refuses it, and its caller would wait for ever
            return None, RuntimeError(f"a job has raised {error!r}")
        except BaseException as error:  # it is the caller's
            return None, error
        finally:
            if waiting.is_short:
                self._mean_s += MEAN_SHARE * (time.monotonic() - begun - self._mean_s)

    def _finish(self, waiting: Waiting, result: Any, error: BaseException | None) -> None:
        try:
            waiting.finish(result, error)  # first: its answer is sent before the next job runs
        finally:
            self._is_running = False
            self._start_next(waiting.loop)

    def _next(self) -> Waiting | None:
        """Return the next job, None if those that waited have been refused, or their callers have gone."""
        while self._urgent or self._waiting:
            waiting = (self._urgent or self._waiting).popleft()
            if not waiting.answer.done() and waiting.is_wanted() and not self._is_late(waiting):
                return waiting
            waiting.refuse(self._queue_s)
        return None
