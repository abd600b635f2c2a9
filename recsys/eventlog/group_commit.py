"""Group commit: one thread commits, together, all items that arrived during the last commit."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

from recsys.core.errors import StoreBusyError, StoreError

GROUP_SIZE: Final = 5_000
"""Items per commit: bounds how long one commit blocks other processes."""

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """One thread that commits for many callers.

    Args:
        commit: stores the items of several callers durably and returns one result per item; if it raises, none is
            stored.
        max_waiting: maximum number of waiting items; beyond it, `submit` raises.
        name: of the thread.
    """

    def __init__(self, commit: Callable[[list[T]], list[R]], max_waiting: int, name: str) -> None:
        self._commit, self._max_waiting = commit, max_waiting
        self._waiting: deque[tuple[Sequence[T], Future[list[R]]]] = deque()
        self._n_waiting = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[T]) -> Future[list[R]]:
        """Add items to the next commit.

        Raises:
            StoreBusyError: too many items wait already.
            StoreError: the store is closed.
        """
        future: Future[list[R]] = Future()
        with self._changed:
            if self._is_closed:
                raise StoreError("the store is closed: open it again to write to it")
            if self._n_waiting + len(items) > self._max_waiting:
                raise StoreBusyError(self._n_waiting, len(items), self._max_waiting)
            self._waiting.append((items, future))
            self._n_waiting += len(items)
            self._changed.notify()
        return future

    def close(self) -> None:
        """Refuse new items, commit the waiting ones and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._take():
            active = [(items, future) for items, future in group if future.set_running_or_notify_cancel()]
            if active:
                self._settle(active)

    def _take(self) -> list[tuple[Sequence[T], Future[list[R]]]]:
        """Wait for calls and return some, each complete; none once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            group: list[tuple[Sequence[T], Future[list[R]]]] = []
            size = 0
            while self._waiting and (not group or size + len(self._waiting[0][0]) <= GROUP_SIZE):
                group.append(self._waiting.popleft())
                size += len(group[-1][0])
            self._n_waiting -= size
            return group

    def _settle(self, group: list[tuple[Sequence[T], Future[list[R]]]]) -> None:
        """Commit and resolve the future of every caller, with the same error if the commit failed."""
        try:
            results = self._commit([item for items, _ in group for item in items])
        except Exception as error:
            logger.warning("a commit for %d callers failed: %s", len(group), error)
            for _, future in group:
                future.set_exception(error)
            return
        start = 0
        for items, future in group:
            future.set_result(results[start : start + len(items)])
            start += len(items)
