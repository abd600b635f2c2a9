"""A bounded cache that several threads share; the values used longest ago are removed first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedCache(Generic[K, V]):
    """Values by key, at most `max_size` of them or, with `size_of`, of at most this size together.

    Args:
        max_size: bound of the sizes together; a value that is larger by itself is not kept.
        size_of: size of a value; 1 each if not given.
    """

    def __init__(self, max_size: float, size_of: Callable[[V], float] | None = None) -> None:
        self._values: LRUCache[K, V] = LRUCache(max_size, getsizeof=size_of)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return the value of a key, None where there is none."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep a value, in the place of an earlier one; remove others until it fits."""
        with self._lock:
            if self._values.getsizeof(value) <= self._values.maxsize:
                self._values[key] = value
