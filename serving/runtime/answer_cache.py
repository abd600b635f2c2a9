"""Encoded answers that are the same for everybody, bounded in memory; the oldest in use goes first."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from recsys.data.offers import OfferContextKey, OfferScope
from serving.runtime.impressions import ImpressionPayload

ENTRY_BYTES = 400
"""Memory of an entry beside its bytes: key, links and object headers."""

QUARTER_S = 900
"""Zones shift by whole quarters of an hour, so the local hour is one within a quarter."""


class AnswerKey(NamedTuple):
    """All that an answer for no user depends on, within one bundle."""

    placement: str
    item_id: str
    limit: int
    quarter: int
    where: OfferScope = OfferScope()
    offers: tuple[OfferContextKey, OfferContextKey] = ((), ())


class CachedAnswer(NamedTuple):
    """One answer.

    Attributes:
        body: encoded.
        shown: what it shows, for the log of impressions.
        token: of the page that follows, None where none does.
    """

    body: bytes
    shown: ImpressionPayload
    token: str | None = None

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return len(self.body) + len(bytes(self.shown.items)) + len(self.token or "") + ENTRY_BYTES


class AnswerCache:
    """Answers of one bundle over one state of the catalogue, so that none is ever stale; a new bundle has a new cache.

    Args:
        max_bytes: memory to hold them in; 0 holds none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self._room = max_bytes
        self._catalogue = 0
        self._answers: OrderedDict[AnswerKey, CachedAnswer] = OrderedDict()

    def keep_to(self, catalogue: int) -> None:
        """Let go of all answers that are of another state of the catalogue.

        Args:
            catalogue: number of the state that the next answers are of.
        """
        if catalogue != self._catalogue:
            self._catalogue = catalogue
            self._answers.clear()
            self._room = self._max_bytes

    def get(self, key: AnswerKey) -> CachedAnswer | None:
        """The answer, if it is held."""
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, key: AnswerKey, answer: CachedAnswer) -> None:
        """Hold an answer that is not held yet, and let go of those used longest ago until it fits."""
        self._answers[key] = answer
        self._room -= answer.n_bytes
        while self._room < 0:
            _, dropped = self._answers.popitem(last=False)
            self._room += dropped.n_bytes
