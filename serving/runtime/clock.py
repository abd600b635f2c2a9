"""The server's clock: today's, or one that runs on from the end of the data."""

from __future__ import annotations

import time
from typing import Final, Literal

MAX_AHEAD_S: Final = 366 * 86_400
"""A log that goes on for longer than this after the data was written by another clock: today's, over old data."""


class Clock:
    """What time it is for the server, in whole seconds since 1970.

    A data clock is the same in all workers of a server, whenever each of them opens the bundle. It goes on from the
    latest entry of the live log as well: what was told to the server before a restart must not lie in the future.

    Args:
        kind: `wall` for today; `data` for a clock that `start` sets and that runs on from there.
        started_at: when the server was started, seconds since 1970 by the machine's clock; now if not given.
        logged_until: time of the latest entry of the live log by then, seconds since 1970.
    """

    def __init__(
        self, kind: Literal["wall", "data"], started_at: float | None = None, logged_until: float | None = None
    ) -> None:
        self.kind = kind
        self._started_at = time.time() if started_at is None else started_at
        self._logged_until = logged_until
        self._ahead_s = 0.0 if kind == "wall" else float("-inf")

    def start(self, data_end: int, activated_at: float = 0.0) -> None:
        """Tell the clock where a bundle's data ends; it goes on from the latest end, and never back.

        Args:
            data_end: seconds since 1970.
            activated_at: since when the bundle is the current one, by the machine's clock: of one that came while
                the server ran, its end is of that moment.
        """
        if self.kind == "wall":
            return
        self._ahead_s = max(self._ahead_s, data_end - max(self._started_at, activated_at))
        if self._logged_until is not None and self._logged_until - data_end < MAX_AHEAD_S:
            self._ahead_s = max(self._ahead_s, self._logged_until - self._started_at)

    @staticmethod
    def received_at() -> float:
        """What time it is for this machine, seconds since 1970, whatever the kind."""
        return time.time()

    def now(self) -> int:
        """Seconds since 1970; a data clock that no bundle has started yet stands at 1970."""
        return max(int(time.time() + self._ahead_s), 0) if self._ahead_s > float("-inf") else 0
