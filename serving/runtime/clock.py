"""The server's clock: the machine's, or one that starts at the end of the data."""

from __future__ import annotations

import time
from typing import Final, Literal

MAX_AHEAD_S: Final = 366 * 86_400
"""A log that extends further past the data was written by another clock: the machine's, over old data."""


class Clock:
    """The server's time, in whole seconds since 1970.

    A data clock is the same in all workers of a server, whenever each of them opens the bundle. It continues from the
    latest entry of the live log as well: entries from before a restart must not be in the future.

    Args:
        kind: `wall` for the machine's time; `data` for a clock that `start` sets and that runs from there.
        started_at: start of the server, seconds since 1970 by the machine's clock; now if not given.
        logged_until: time of the latest entry of the live log at the start, seconds since 1970.
    """

    def __init__(
        self, kind: Literal["wall", "data"], started_at: float | None = None, logged_until: float | None = None
    ) -> None:
        self.kind = kind
        self._started_at = time.time() if started_at is None else started_at
        self._logged_until = logged_until
        self._ahead_s = 0.0 if kind == "wall" else float("-inf")

    def start(self, data_end: int, activated_at: float = 0.0) -> None:
        """Set a data clock to the end of a bundle's data, at the moment of its activation; it never goes back.

        Args:
            data_end: seconds since 1970.
            activated_at: when the bundle became the current one, by the machine's clock; the server's start counts if
                that was later.
        """
        if self.kind == "wall":
            return
        self._ahead_s = max(self._ahead_s, data_end - max(self._started_at, activated_at))
        if self._logged_until is not None and self._logged_until - data_end < MAX_AHEAD_S:
            self._ahead_s = max(self._ahead_s, self._logged_until - self._started_at)

    @staticmethod
    def received_at() -> float:
        """Return the machine's time, seconds since 1970, for either kind of clock."""
        return time.time()

    def now(self) -> int:
        """Return the seconds since 1970; 0 for a data clock that no bundle has started yet."""
        return max(int(time.time() + self._ahead_s), 0) if self._ahead_s > float("-inf") else 0
