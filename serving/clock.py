"""The server's clock: today's, or one that runs on from the end of the data."""

from __future__ import annotations

import time
from typing import Literal


class Clock:
    """What time it is for the server, in whole seconds since 1970.

    Args:
        kind: `wall` for today; `data` for a clock that `start` sets and that runs on from there.
    """

    def __init__(self, kind: Literal["wall", "data"]) -> None:
        self.kind = kind
        self._ahead_s = 0.0 if kind == "wall" else float("-inf")

    def start(self, data_end: int) -> None:
        """Tell the clock where a bundle's data ends; it goes on from the latest end, and never back."""
        if self.kind == "data":
            self._ahead_s = max(self._ahead_s, data_end - time.time())

    @staticmethod
    def received_at() -> float:
        """What time it is for this machine, seconds since 1970, whatever the kind."""
        return time.time()

    def now(self) -> int:
        """Seconds since 1970; a data clock that no bundle has started yet stands at 1970."""
        return max(int(time.time() + self._ahead_s), 0) if self._ahead_s > float("-inf") else 0
