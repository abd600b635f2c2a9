"""Encoded responses that are the same for everybody, bounded in memory; the least recently used is removed first."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from cachetools import LRUCache

from recsys.data.offers import OfferContextKey, OfferScope
from recsys.live.view import LiveView
from serving.runtime.impressions import ImpressionPayload

ENTRY_BYTES: Final = 400
"""Memory of an entry besides its bytes: key, links and object headers."""

ROW_BYTES: Final = 40
"""Memory of the row of an item."""

MAX_STALE_S: Final = 1.0
"""How long a response may miss changes of items that it does not name."""

QUARTER_S: Final = 900
"""Time zones differ by whole quarters of an hour, so the local hour is constant within a quarter."""


class AnswerKey(NamedTuple):
    """Everything that a response for no user depends on, within one bundle."""

    placement: str
    item_id: str
    limit: int
    quarter: int
    scope: OfferScope = OfferScope()
    offers: tuple[OfferContextKey, OfferContextKey] = ((), ())


class CachedAnswer(NamedTuple):
    """One response.

    Attributes:
        body: encoded.
        payload: its entry in the log of impressions.
        token: of the next page, None if there is none.
        rows: rows of the items that it names, the one that it is for included.
    """

    body: bytes
    payload: ImpressionPayload
    token: str | None = None
    rows: tuple[int, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        rest = len(self.token or "") + ROW_BYTES * len(self.rows) + ENTRY_BYTES
        return len(self.body) + len(bytes(self.payload.items)) + rest


class _Kept(NamedTuple):
    """A response with the state of the catalog that it was made from."""

    answer: CachedAnswer
    version: int
    position: int


class AnswerCache:
    """Responses of one bundle; each new bundle has a new cache.

    A response that names a changed item is never returned. Another one may be up to `MAX_STALE_S` old while changes
    keep coming: an item that is new, cheaper or back in stock joins such a list that much later.

    Any thread may use it.

    Args:
        max_bytes: memory limit; 0 disables the cache.
        live: the changes of the catalog, None for a catalog that does not change.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self, max_bytes: int, live: LiveView | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._live, self._clock = live, clock
        self._oldest_version, self._moved_at = 0, -math.inf
        self._lock = threading.Lock()
        self._answers: LRUCache[AnswerKey, _Kept] = LRUCache(max_bytes, getsizeof=lambda kept: kept.answer.n_bytes)

    def get(self, key: AnswerKey) -> CachedAnswer | None:
        """Return the response, None if it is not cached or no longer right."""
        with self._lock:
            kept = self._answers.get(key)
            return None if kept is None or not self._is_right(key, kept) else kept.answer

    def _is_right(self, key: AnswerKey, kept: _Kept) -> bool:
        """Return whether a response is still right, and remove it if not; only under the lock."""
        if self._live is None:
            return True
        version = self._live.catalog_version
        if kept.version != version:
            now = self._clock()
            if now - self._moved_at >= MAX_STALE_S:
                self._oldest_version, self._moved_at = version, now
            if kept.version < self._oldest_version or self._live.has_changed(kept.answer.rows, kept.position):
                del self._answers[key]
                return False
        return True

    def put(self, key: AnswerKey, answer: CachedAnswer) -> None:
        """Cache a response, and remove others until it fits; one that is larger than the cache is not kept."""
        if answer.n_bytes <= self._answers.maxsize:
            version, position = (0, 0) if self._live is None else (self._live.catalog_version, self._live.position)
            with self._lock:
                self._answers[key] = _Kept(answer, version, position)
