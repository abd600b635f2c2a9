"""The nearest items of many users at once: inner products of blocks of users with the longest vectors first.

A search per user decodes the vectors each time. Blocks use decoded vectors, and find the same items up to rounding, in
a third of the time; see `recsys.search.batch_top_k`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from recsys.core.blas_threads import one_blas_thread
from recsys.retrieval.query import Mask
from recsys.retrieval.user_state import UserState
from recsys.search.batch_top_k import ItemsByLength
from recsys.search.vector_index import FlatIndex

MIN_USERS: Final = 128
"""Users for whom it pays to decode and order the vectors."""

USERS_PER_BLOCK: Final = 256


class BlockSearch:
    """Searches for many users, and keeps the decoded vectors for the next ones.

    Takes four bytes per item and factor, twice where a pool or filters leave out items.
    """

    def __init__(self) -> None:
        self._index: FlatIndex | None = None
        self._allowed = b""
        self._items: ItemsByLength | None = None

    def fill(self, states: Iterable[UserState]) -> None:
        """Find the nearest items of some users, where as many as `MIN_USERS` search the same items."""
        digests: dict[int, bytes] = {}
        groups: dict[tuple[int, bytes], list[UserState]] = {}
        for state in states:
            if (state.weighted_history[1] > 0).any():
                allowed = state.query.allowed
                if id(allowed) not in digests:
                    digests[id(allowed)] = _digest(allowed)
                groups.setdefault((id(state.engine.index), digests[id(allowed)]), []).append(state)
        large = {key: group for key, group in groups.items() if len(group) >= MIN_USERS}
        if large:
            with one_blas_thread():  # products of one block are small: more threads wait for each other
                for (_, digest), group in large.items():
                    self._search(group, self._ordered(group[0], digest))

    def _ordered(self, state: UserState, digest: bytes) -> ItemsByLength:
        index = state.engine.index
        if self._items is None or self._index is not index or self._allowed != digest:
            self._items = None  # frees the memory first
            self._items = ItemsByLength.of(index.vectors(), state.query.allowed)
            self._index, self._allowed = index, digest
        return self._items

    @staticmethod
    def _search(states: Sequence[UserState], items: ItemsByLength) -> None:
        """Search in blocks of users who look for similar numbers of items."""
        ordered = sorted(states, key=lambda state: state.n_nearest)
        for start in range(0, len(ordered), USERS_PER_BLOCK):
            block = ordered[start : start + USERS_PER_BLOCK]
            rows, scores = items.search(np.stack([state.vector for state in block]), block[-1].n_nearest)
            for state, found, score in zip(block, rows, scores, strict=True):
                state.keep_nearest(found, score)


def _digest(allowed: Mask | None) -> bytes:
    """Return what masks of the same items have in common."""
    return b"all" if allowed is None else np.packbits(allowed).tobytes()
