"""When a call is sent again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

NOT_CARRIED_OUT: Final = (429, 503)
"""Statuses of calls that the engine has not begun."""

MAX_DOUBLINGS: Final = 16
"""Of the pauses between attempts that go on until they succeed."""

OPEN: Final = (500, 502, 504)
"""Statuses that leave open whether the call was carried out."""


@dataclass(frozen=True)
class Retries:
    """How often and when a call is sent again.

    The pause after attempt `n` is random between 0 and `base_s * 2 ** n`, at most `max_pause_s` ("full jitter",
    Brooker 2015). A `Retry-After` is waited for first; the random pause then keeps callers from coming back together.

    Attributes:
        attempts: of one call, the first one included.
        base_s: the scale of the pauses.
        max_pause_s: the longest pause.
        deadline_s: for all attempts and pauses of a call; a pause that would end later is not begun.
        chance: returns a random number from 0 to 1.
    """

    attempts: int = 3
    base_s: float = 0.1
    max_pause_s: float = 2.0
    deadline_s: float = 5.0
    chance: Callable[[], float] = random.random

    def pause_s(self, attempt: int, retry_after: float | None) -> float:
        """Return the pause after an attempt, the first of which is 0."""
        jitter = self.chance() * min(self.max_pause_s, self.base_s * 2**attempt)
        return (retry_after or 0.0) + jitter

    def again(self, attempt: int, retry_after: float | None, elapsed_s: float) -> float | None:
        """Return the pause before the next attempt, None if there is none."""
        if attempt + 1 >= self.attempts:
            return None
        pause = self.pause_s(attempt, retry_after)
        return pause if elapsed_s + pause < self.deadline_s else None


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds of a `Retry-After`, which is a number or a date; None for anything else.

    >>> retry_after_s("3"), retry_after_s("soon")
    (3.0, None)
    """
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())


def is_retried(status: int, *, is_safe: bool) -> bool:
    """Return whether a call that was answered with a status is sent again."""
    return status in NOT_CARRIED_OUT or (is_safe and status in OPEN)
