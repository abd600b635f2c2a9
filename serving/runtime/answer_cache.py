"""Encoded responses that are given again while they are right; the least recently used are removed first."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from cachetools import LRUCache

from recsys.data.offers import OfferScope, OffersKey
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
    """Everything that a response for no user depends on, within one bundle.

    Attributes:
        placement, item_id, limit: as requested.
        period: number of the quarter of an hour, of the minute for a list that changes by minutes.
        scope, offers: of the offers that apply.
        fields: columns of items.
    """

    placement: str
    item_id: str
    limit: int
    period: int
    scope: OfferScope = OfferScope()
    offers: OffersKey = ((), ())
    fields: tuple[str, ...] = ()


class PersonalKey(NamedTuple):
    """Everything that a response for a user depends on besides the user's own state, within one bundle.

    Attributes:
        placement, limit: as requested.
        user: key of the user's events, None for nobody in particular.
        minute: of the moment that the response is for, since 1970.
        fingerprint: of everything else in the request; see `recsys.pipeline.pagination.request_fingerprint`.
        offers: that apply.
        variants: the user's variant by experiment.
    """

    placement: str
    limit: int
    user: str | None
    minute: int
    fingerprint: str
    offers: OffersKey = ((), ())
    variants: tuple[tuple[str, str], ...] = ()


class CachedAnswer(NamedTuple):
    """One response.

    Attributes:
        body: encoded.
        payload: its entry in the log of impressions.
        token: of the next page, None if there is none.
        rows: rows of the items that it names, the one that it is for included.
        span: the times from the first to before the second of which the user's history is the same; of a response for
            a user only.
        log_seq: number of the last entry of the live log that it was made with; of a response for a user only.
        follows_catalog: whether any change of the catalog makes it outdated at once, as of a list of what has just
            changed.
    """

    body: bytes
    payload: ImpressionPayload
    token: str | None = None
    rows: tuple[int, ...] = ()
    span: tuple[float, float] = (-math.inf, math.inf)
    log_seq: int | None = None
    follows_catalog: bool = False

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        rest = len(self.token or "") + ROW_BYTES * len(self.rows) + ENTRY_BYTES
        return len(self.body) + len(bytes(self.payload.items)) + rest


class LiveState(NamedTuple):
    """What a response is made from: the state of the live view before it is made.

    Attributes:
        version: of the catalog.
        position: number of item changes.
        seq: number of the last entry of the log.
    """

    version: int = 0
    position: int = 0
    seq: int = 0


class _Kept(NamedTuple):
    """A response with the state that it was made from."""

    answer: CachedAnswer
    state: LiveState


class AnswerCache:
    """Responses of one bundle; each new bundle has a new cache.

    A response that names a changed item is never returned, nor one for a user about whom anything has changed, nor a
    list of moments after any change of the catalog. Another one may be up to `MAX_STALE_S` old while changes keep
    coming: an item that is new, cheaper or back in stock joins such a list that much later.

    Any thread may use it.

    Args:
        max_bytes: memory limit; 0 disables the cache.
        live: the changes of catalog and users, None for a bundle alone.
        clock: seconds of a clock that never goes back.

    Attributes:
        is_enabled: whether it keeps anything.
    """

    def __init__(
        self, max_bytes: int, live: LiveView | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._live, self._clock = live, clock
        self._oldest_version, self._moved_at = 0, -math.inf
        self._lock = threading.Lock()
        self._answers: LRUCache[AnswerKey | PersonalKey, _Kept] = LRUCache(
            max_bytes, getsizeof=lambda kept: kept.answer.n_bytes
        )
        self.is_enabled = max_bytes > 0

    def state(self) -> LiveState:
        """Return the state of the live view, for a response that is made after this."""
        live = self._live
        return LiveState() if live is None else LiveState(live.catalog_version, live.position, live.seq)

    def get(self, key: AnswerKey | PersonalKey, as_of: int = 0) -> CachedAnswer | None:
        """Return the response, None if it is not cached or no longer right.

        Args:
            key: of the response.
            as_of: the moment that it is for, seconds since 1970; of a response for a user.
        """
        with self._lock:
            kept = self._answers.get(key)
            if kept is None or not self._is_right(key, kept):
                return None
            since, before = kept.answer.span
            return kept.answer if since <= as_of < before else None

    def _is_right(self, key: AnswerKey | PersonalKey, kept: _Kept) -> bool:
        """Return whether a response is still right, and remove it if not; only under the lock."""
        if self._live is None:
            return True
        state, version = kept.state, self._live.catalog_version
        is_outdated = False
        if state.version != version:
            now = self._clock()
            if now - self._moved_at >= MAX_STALE_S:
                self._oldest_version, self._moved_at = version, now
            is_outdated = (
                kept.answer.follows_catalog
                or state.version < self._oldest_version
                or self._live.has_changed(kept.answer.rows, state.position)
            )
        if isinstance(key, PersonalKey) and key.user is not None:
            is_outdated = is_outdated or self._live.has_user_changed(key.user, state.seq)
        if is_outdated:
            del self._answers[key]
        return not is_outdated

    def put(self, key: AnswerKey | PersonalKey, answer: CachedAnswer, state: LiveState) -> None:
        """Cache a response, and remove others until it fits; one that is larger than the cache is not kept.

        Args:
            key: of the response.
            answer: the response.
            state: as of `state`, before the response was made.
        """
        if answer.n_bytes <= self._answers.maxsize:
            with self._lock:
                self._answers[key] = _Kept(answer, state)
