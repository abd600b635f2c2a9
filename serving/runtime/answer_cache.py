"""Encoded responses that are the same for everybody, bounded in memory; the least recently used is removed first."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from cachetools import LRUCache

from recsys.data.offers import OfferContextKey, OfferScope
from serving.runtime.impressions import ImpressionPayload

ENTRY_BYTES: Final = 400
"""Memory of an entry besides its bytes: key, links and object headers."""

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
    """

    body: bytes
    payload: ImpressionPayload
    token: str | None = None

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return len(self.body) + len(bytes(self.payload.items)) + len(self.token or "") + ENTRY_BYTES


class AnswerCache:
    """Responses of one bundle over one state of the catalog: never stale, and each new bundle has a new cache.

    Any thread may use it.

    Args:
        max_bytes: memory limit; 0 disables the cache.
    """

    def __init__(self, max_bytes: int) -> None:
        self._catalog_version = 0
        self._lock = threading.Lock()
        self._answers: LRUCache[AnswerKey, CachedAnswer] = LRUCache(max_bytes, getsizeof=lambda answer: answer.n_bytes)

    def keep_to(self, catalog_version: int) -> None:
        """Remove all responses of another state of the catalog.

        Args:
            catalog_version: the state of the catalog that the next responses are made from.
        """
        if catalog_version != self._catalog_version:
            with self._lock:
                self._catalog_version = catalog_version
                self._answers.clear()

    def get(self, key: AnswerKey) -> CachedAnswer | None:
        """Return the response, None if it is not cached."""
        with self._lock:
            return self._answers.get(key)

    def put(self, key: AnswerKey, answer: CachedAnswer) -> None:
        """Cache a response, and remove others until it fits; one that is larger than the cache is not kept."""
        if answer.n_bytes <= self._answers.maxsize:
            with self._lock:
                self._answers[key] = answer
