"""Encoded answers that are the same for everybody, bounded in memory; the oldest in use goes first."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

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


class AnswerCache:
    """Answers of one bundle; a new bundle comes with a new cache, so none is ever stale.

    Args:
        max_bytes: memory to hold them in; 0 holds none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._room = max_bytes
        self._answers: OrderedDict[AnswerKey, bytes] = OrderedDict()

    def get(self, key: AnswerKey) -> bytes | None:
        """The answer, if it is held."""
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, key: AnswerKey, answer: bytes) -> None:
        """Hold an answer that is not held yet, and let go of those used longest ago until it fits."""
        self._answers[key] = answer
        self._room -= len(answer) + ENTRY_BYTES
        while self._room < 0:
            _, dropped = self._answers.popitem(last=False)
            self._room += len(dropped) + ENTRY_BYTES
