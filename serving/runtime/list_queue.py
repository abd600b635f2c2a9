"""The thread of a worker that makes lists, and the queue before it, which is bounded by waiting time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from serving.problems import OverloadError

REFUSALS_PER_TURN: Final = 32
"""Bounds how long a crowd of refusals delays the other requests of the event loop."""

REFUSAL_PAUSE_S: Final = 0.002

R = TypeVar("R")


def always() -> bool:
    """Return true: the caller waits as long as it takes."""
    return True


@dataclass
class Waiting:
    """A job that waits for the thread.

    Attributes:
        job: makes the answer.
        is_wanted: whether its caller still waits.
        is_patient: whether it waits however long.
        loop: of the caller.
        answer: the result.
        since: when it was added; the monotonic clock.
    """

    job: Callable[[], Any]
    is_wanted: Callable[[], bool]
    is_patient: bool
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
    """Runs jobs one after the other in one thread: the models and the live view are used by this thread alone.

    While the server is crowded, a job that has waited for `queue_s` is refused rather than run. Refusals are not sent
    earlier: a caller that repeats its request at once would otherwise cost more than its list.

    Args:
        queue_s: the longest time a job waits, in seconds.
        prepare: called once in the thread.

    Attributes:
        is_crowded: whether the server has more connections than it promises to answer without refusals.
        timed: returns the form of a job that notes when it waits and runs, None to note nothing.
    """

    def __init__(self, queue_s: float, prepare: Callable[[], None] = lambda: None) -> None:
        self.is_crowded: Callable[[], bool] = lambda: False
        self.timed: Callable[[Callable[[], Any]], Callable[[], Any]] | None = None
        self._queue_s, self._prepare = queue_s, prepare
        self._urgent: deque[Waiting] = deque()
        self._waiting: deque[Waiting] = deque()
        self._lock = threading.Lock()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(
        self,
        job: Callable[[], R],
        *,
        is_wanted: Callable[[], bool] = always,
        is_patient: bool = False,
        is_urgent: bool = False,
    ) -> R:
        """Return what a job returns.

        Args:
            job: called in the thread.
            is_wanted: whether the caller still waits; it is not run otherwise.
            is_patient: whether it waits however long, as a push job does.
            is_urgent: whether it goes before all jobs that are not.

        Raises:
            OverloadError: it has waited too long.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="lists", daemon=True)
            self._thread.start()
        if self.timed is not None and not is_patient:  # a batch has thousands of jobs
            job = self.timed(job)
        loop = asyncio.get_running_loop()
        waiting = Waiting(job, is_wanted, is_patient or is_urgent, loop, loop.create_future())
        with self._lock:
            (self._urgent if is_urgent else self._waiting).append(waiting)
        self._tokens.put(True)
        if self._timer is None and not waiting.is_patient:
            self._timer = loop.call_later(self._queue_s, self._sweep, loop)
        result: R = await waiting.answer
        return result

    def close(self) -> None:
        """End the thread, after the job that runs."""
        if self._thread is not None:
            self._tokens.put(False)
            self._thread.join()
            self._thread = None

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse the jobs at the head of the queue that have waited too long, some per turn of the event loop."""
        self._timer = None
        for _ in range(REFUSALS_PER_TURN):
            with self._lock:
                if not self._waiting or not self._is_late(self._waiting[0]):
                    break
                waiting = self._waiting.popleft()
            waiting.refuse(self._queue_s)
        with self._lock:
            head = self._waiting[0] if self._waiting else None
        if head is not None:
            left = head.since + self._queue_s - time.monotonic()
            self._timer = loop.call_later(max(left, REFUSAL_PAUSE_S), self._sweep, loop)

    def _is_late(self, waiting: Waiting) -> bool:
        if waiting.is_patient or not self.is_crowded():
            return False
        return time.monotonic() - waiting.since >= self._queue_s

    def _work(self) -> None:
        self._prepare()
        while self._tokens.get():
            waiting = self._next()
            if waiting is None:
                continue
            result, error = None, None
            try:
                result = waiting.job()
            except BaseException as raised:  # it is the caller's
                error = raised
            _call(waiting, waiting.finish, result, error)
            del waiting, result, error

    def _next(self) -> Waiting | None:
        """Return the next job, None if those that waited have been refused, or their callers have gone."""
        with self._lock:
            while self._urgent or self._waiting:
                waiting = (self._urgent or self._waiting).popleft()
                if not waiting.answer.done() and waiting.is_wanted() and not self._is_late(waiting):
                    return waiting
                _call(waiting, waiting.refuse, self._queue_s)
        return None


def _call(waiting: Waiting, done: Callable[..., None], *given: Any) -> None:
    with suppress(RuntimeError):  # the loop has been closed: nobody waits
        waiting.loop.call_soon_threadsafe(done, *given)
