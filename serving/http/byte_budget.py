"""Bytes that a worker holds for its callers, and a bound on their sum."""

from __future__ import annotations

from typing import Final

from serving.problems import CapacityError

SMALL_BYTES: Final = 16_384
"""A caller that holds no more than this may use all of the budget."""

LARGE_SHARE: Final = 0.75
"""Share of the budget for callers that hold more: a crowd of large bodies refuses no small request."""


class ByteBudget:
    """How many bytes a worker may hold for all its callers together.

    Args:
        limit: the bound, in bytes.

    Attributes:
        n_held: bytes that are held now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.n_held = 0

    def has_room(self, n_bytes: int, n_of_caller: int) -> bool:
        """Return whether so many bytes more can be held, for a caller that would then hold `n_of_caller`."""
        limit = self.limit if n_of_caller <= SMALL_BYTES else self.limit * LARGE_SHARE
        return self.n_held + n_bytes <= limit


class HeldBytes:
    """The bytes that are held for one request: its head, its body and what is made from it.

    Args:
        budget: what they count against; None for a request that no budget bounds.

    Attributes:
        n_bytes: bytes that are held now.
        is_refused: whether there was no room for some of its bytes, which are lost.
    """

    __slots__ = ("_budget", "is_refused", "n_bytes")

    def __init__(self, budget: ByteBudget | None = None) -> None:
        self._budget = budget
        self.n_bytes = 0
        self.is_refused = False

    def add(self, n_bytes: int) -> bool:
        """Count bytes, and return whether there is room for them; after a refusal there is none."""
        if self._budget is None:
            return True
        if self.is_refused or not self._budget.has_room(n_bytes, self.n_bytes + n_bytes):
            self.is_refused = True
            return False
        self._budget.n_held += n_bytes
        self.n_bytes += n_bytes
        return True

    def give_back(self, n_bytes: int) -> None:
        """Count some bytes no longer, at most those that are held."""
        if self._budget is not None:
            n_bytes = min(n_bytes, self.n_bytes)
            self._budget.n_held -= n_bytes
            self.n_bytes -= n_bytes

    def close(self) -> None:
        """Give everything back: the request has ended, or waits for nothing."""
        self.give_back(self.n_bytes)

    def require(self, n_bytes: int = 0) -> None:
        """Require that nothing was lost, and that there is room for so many bytes.

        Raises:
            CapacityError: there is not.
        """
        if self.is_refused or (self._budget is not None and not self._budget.has_room(n_bytes, self.n_bytes + n_bytes)):
            raise CapacityError
