"""Limits of keys: a token bucket for calls per second, and a quota of calls per UTC day."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from recsys.core.errors import ConfigError
from serving.problems import LimitError
from serving.runtime.auth import Key
from serving.runtime.call_counts import TAG_BYTES, CallCounts
from serving.runtime.settings import Settings
from serving.runtime.telemetry import Telemetry

DAY_S: Final = 86_400
ONE: Final = 1 - 1e-6
"""Tokens that are one, but for the rounding of many refills: who waits for `Retry-After` is admitted."""

MAX_WAIT_S: Final = 1_000_000_000.0
LOGGED_AGAIN_S: Final = 60.0
"""Interval at which the log names a key that goes on calling."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one key may use; None is without limit.

    Attributes:
        rate: calls per second, on average.
        burst: calls that may come at once after a pause; the size of the bucket.
        quota: calls per UTC day.
    """

    rate: float | None
    burst: int
    quota: int | None

    @classmethod
    def of(cls, key: Key, settings: Settings) -> Limits:
        """Return the limits of a key: its own, else those of the server; 0 in a key is without limit."""
        own = key.rate is not None
        rate = key.rate if own else settings.key_rate
        burst = key.burst or (None if own else settings.key_burst) or max(1, math.ceil(rate or 0))
        quota = settings.key_quota if key.quota is None else key.quota
        return cls(rate or None, burst, quota or None)

    @property
    def is_none(self) -> bool:
        """Whether nothing is limited."""
        return self.rate is None and self.quota is None

    @property
    def policy(self) -> str:
        """The value of the header `RateLimit-Policy`.

        >>> Limits(5.0, 20, 1000).policy
        '"rate";q=20;w=4, "quota";q=1000;w=86400'
        """
        rate = [] if self.rate is None else [f'"rate";q={self.burst};w={_seconds(self.burst / self.rate)}']
        return ", ".join(rate + ([] if self.quota is None else [f'"quota";q={self.quota};w={DAY_S}']))


class Account:
    """The calls of one limited key, by all processes that share its record; only the event loop may use it.

    Args:
        key: the key.
        limits: not without any.
        counts: has the record.
        now: returns seconds since 1970.
        telemetry: counts refusals.
    """

    __slots__ = (
        *("_at", "_burst", "_counts", "_left", "_n_used", "_now", "_place", "_policy", "_quota", "_rate"),
        *("_telemetry", "_logged_at", "key", "limits"),
    )

    def __init__(
        self, key: Key, limits: Limits, counts: CallCounts, now: Callable[[], float], telemetry: Telemetry
    ) -> None:
        self.key, self.limits = key, limits
        self._counts, self._now, self._telemetry = counts, now, telemetry
        self._place = counts.place(bytes.fromhex(key.sha256)[:TAG_BYTES])
        self._rate, self._burst, self._quota, self._policy = limits.rate, limits.burst, limits.quota, limits.policy
        self._logged_at = -math.inf
        self._at, self._left, self._n_used = 0.0, float(limits.burst), 0

    def begin(self) -> None:
        """Count a call that begins.

        Raises:
            LimitError: the bucket or the quota is empty; nothing is counted.
        """
        self._use(1, needs_token=True)

    def charge(self, n: int) -> None:
        """Count the further parts of a call that has begun, before they are done; they may empty the bucket below 0.

        Raises:
            LimitError: the quota has less left; nothing is counted.
        """
        if n > 0:
            self._use(n)

    def spend(self, n: int) -> None:
        """Count parts that are done."""
        if n > 0:
            self._use(n, is_done=True)

    def _use(self, n: int, *, needs_token: bool = False, is_done: bool = False) -> None:
        counts, rate, quota = self._counts, self._rate, self._quota
        if counts.is_shared:
            counts.lock()
        try:
            self._at = now = self._now()  # after the wait for the lock: another process may have written later times
            today = int(now) // DAY_S
            tokens, at, day, n_used = counts.read(self._place)
            if rate is not None:
                if now > at:  # a clock that was set back adds nothing, and goes on from there
                    tokens += (now - at) * rate
                if tokens > self._burst:
                    tokens = self._burst
            if day != today:
                n_used = 0
            is_over = quota is not None and n_used + n > quota and not is_done
            is_empty = needs_token and rate is not None and tokens < ONE
            if not (is_over or is_empty):
                n_used += n
                if rate is not None:
                    tokens -= n
            # Without a rate no time is noted: its first one finds a full bucket.
            counts.write(self._place, tokens, 0.0 if rate is None else now, today, n_used)
        finally:
            if counts.is_shared:
                counts.unlock()
        self._left, self._n_used = tokens, n_used
        if is_over:
            raise self._refusal("quota", n, DAY_S - now % DAY_S)
        if is_empty and rate is not None:
            raise self._refusal("rate", n, (1 - tokens) / rate)

    @property
    def n_today(self) -> int:
        """Calls that count for the quota of today."""
        _, _, day, n_used = self._counts.read(self._place)
        return n_used if day == int(self._now()) // DAY_S else 0

    def headers(self) -> Mapping[str, str]:
        """Return the headers that state the limits and what is left, as of the latest call of this process."""
        rate, quota, left = self._rate, self._quota, self._left
        state = ""
        if rate is not None:
            missing = (self._burst if left >= 1 else 1) - left
            state = f'"rate";r={int(left) if left > 0 else 0};t={_seconds(missing / rate)}'
        if quota is not None:
            n_left, wait_s = max(0, quota - self._n_used), DAY_S - int(self._at) % DAY_S
            state = f'{state}{", " if state else ""}"quota";r={n_left};t={wait_s}'
        return {"RateLimit-Policy": self._policy, "RateLimit": state}

    def _refusal(self, reason: str, n: int, wait_s: float) -> LimitError:
        self._telemetry.limited(reason)
        seconds, limits, now = max(1, _seconds(wait_s)), self.limits, self._at
        if reason == "rate":
            limit = f"{limits.rate:g} calls per second with bursts of {limits.burst}"
        else:
            limit = f"{limits.quota} calls per UTC day, of which {max(0, (limits.quota or 0) - self._n_used)} are left"
        if now - self._logged_at >= LOGGED_AGAIN_S or now < self._logged_at:
            self._logged_at = now
            logger.warning("calls of key %s (%s) are refused: it may make %s", self.key.key_id, self.key.name, limit)
        cost = "" if n == 1 else f", and this one counts as {n + 1}"
        remedy = f"send this call again after {seconds} s"
        if reason == "quota" and n > 1 and n + 1 > (limits.quota or 0):
            remedy = "send it in parts, as it counts for more than a day"
        return LimitError(f"the key may make {limit}{cost}: {remedy}", seconds)


class KeyLimits:
    """The accounts of the limited keys: of keys of the file only, so callers cannot add any.

    Args:
        settings: have the limits of keys without their own, and name the file of counts.
        telemetry: counts refusals.
        now: returns seconds since 1970.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry, now: Callable[[], float] = time.time) -> None:
        self._settings, self._telemetry, self._now = settings, telemetry, now
        self._counts: CallCounts | None = None
        self._known: dict[str, tuple[Key, Account | None]] = {}

    def account(self, key: Key) -> Account | None:
        """Return the account of a valid key, None if it is not limited.

        A key that is read again keeps what it has used, and gets its new limits.
        """
        known = self._known.get(key.sha256)
        if known is None or known[0] is not key:
            known = self._known[key.sha256] = key, self._open(key)
        return known[1]

    def used(self, key: Key) -> tuple[Limits, int]:
        """Return the limits of a key, and what it has used of the quota of today; 0 without a quota."""
        limits = Limits.of(key, self._settings)
        if limits.quota is None:
            return limits, 0
        _, account = self._known.get(key.sha256) or (key, self._open(key))
        return limits, 0 if account is None else account.n_today

    def close(self) -> None:
        """Close the file of counts."""
        self._known.clear()
        if self._counts is not None:
            self._counts.close()
            self._counts = None

    def _open(self, key: Key) -> Account | None:
        limits = Limits.of(key, self._settings)
        if limits.is_none:
            return None
        if self._counts is None:
            self._counts = self._opened()
        try:
            return Account(key, limits, self._counts, self._now, self._telemetry)
        except OSError as error:
            logger.error("key %s counts anew from each start: the file of counts cannot grow (%s)", key.key_id, error)
            return Account(key, limits, CallCounts(None), self._now, self._telemetry)

    def _opened(self) -> CallCounts:
        try:
            return open_counts(self._settings)
        except ConfigError as error:  # it could be opened at the start, if a key was limited then
            logger.error("each process counts the calls of limited keys by itself, from its start: %s", error)
            return CallCounts(None)


def open_counts(settings: Settings) -> CallCounts:
    """Open the file of counts.

    Raises:
        ConfigError: it cannot be opened.
    """
    return CallCounts(settings.counts_path, is_shared=settings.workers > 1)


def _seconds(wait_s: float) -> int:
    """Return whole seconds, rounded up.

    >>> _seconds(0.2), _seconds(0.0), _seconds(float("inf"))
    (1, 0, 1000000000)
    """
    return math.ceil(wait_s) if wait_s < MAX_WAIT_S else int(MAX_WAIT_S)
