"""Which users changed lately, so that a list can be used again while nothing about its user has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

MAX_USERS: Final = 100_000
"""Users that are remembered; beyond it, all lists that were made before count as changed."""


class UserChanges:
    """The number of the last entry of the log about each user: an event, a change, a merge or an erasure.

    Args:
        max_users: bounds the memory.
    """

    def __init__(self, max_users: int = MAX_USERS) -> None:
        self._max_users = max_users
        self._last: dict[str, int] = {}
        self._unknown_until = 0

    def note(self, changes: Mapping[str, int]) -> None:
        """Note the numbers of entries by the users that they are about."""
        self._last.update(changes)
        if len(self._last) > self._max_users:
            self._unknown_until = max(self._last.values())
            self._last = {}

    def has_changed(self, keys: Iterable[str], seq: int) -> bool:
        """Return whether an entry after a number may be about one of some users."""
        last = self._last
        return seq < self._unknown_until or any(last.get(key, 0) > seq for key in keys)
