"""How often the background tasks of one shop's server look for something new: seldom while nobody calls it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

QUIET_S: Final = 10.0
"""Without a call for this long, nobody waits for what the tasks find."""

SELDOM_S: Final = 30.0
LOOK_S: Final = 1.0


class Pace:
    """The pauses of the background tasks of one server; only its event loop may use it.

    A process may have hundreds of shops, few of which are called at a time: tasks that looked ten times a second for
    each would take a core. So they rest while a shop is not called, and its next call waits until each has looked.

    Attributes:
        may_rest: whether pauses are long while there are no calls; each call must then be made within `awake`.
    """

    def __init__(self) -> None:
        self.may_rest = False
        self._called_at, self._until, self._n_calls = time.monotonic(), 0.0, 0
        self._resting: dict[asyncio.Task[None] | None, asyncio.Future[None]] = {}
        self._looking: dict[asyncio.Task[None] | None, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def awake(self) -> AsyncIterator[None]:
        """Surround a call: no task rests during it. If some did, wait until each has looked, for `LOOK_S` at most."""
        self._n_calls += 1
        try:
            await self._wake()
            yield
        finally:
            self._n_calls -= 1
            self._called_at = time.monotonic()

    async def _wake(self) -> None:
        now = time.monotonic()
        if not self._resting and not self._looking:
            return
        if self._resting:
            self._until = now + LOOK_S
        loop = asyncio.get_running_loop()
        for task, rest in self._resting.items():
            self._looking.setdefault(task, loop.create_future())
            if not rest.done():
                rest.set_result(None)
        self._resting.clear()
        if now < self._until:
            await asyncio.wait(self._looking.values(), timeout=self._until - now)

    async def sleep(self, seconds: float) -> None:
        """Pause the task that calls this.

        Args:
            seconds: the pause; a rest lasts `SELDOM_S`, or until the next call.
        """
        task = asyncio.current_task()
        looked = self._looking.pop(task, None)
        if looked is not None:
            looked.set_result(None)
        is_called = self._n_calls > 0 or time.monotonic() - self._called_at < QUIET_S
        if not self.may_rest or is_called or seconds >= SELDOM_S:
            await asyncio.sleep(seconds)
            return
        rest = self._resting[task] = asyncio.get_running_loop().create_future()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(SELDOM_S):
                    await rest
        finally:
            if self._resting.get(task) is rest:
                del self._resting[task]
