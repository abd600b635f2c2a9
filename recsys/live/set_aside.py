"""The entries of the live log that a view could not apply."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

MAX_SET_ASIDE: Final = 1000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SetAsideEntry:
    """An entry of the log that could not be applied.

    Attributes:
        seq: its number; 0 where only the content of an item could not be computed.
        entry_type: its type.
        key: its key, "" for none.
        reason: the error.
    """

    seq: int
    entry_type: str
    key: str
    reason: str


class SetAsideEntries:
    """Collects what could not be applied. Parts of a view have its `add`: with a method of the view they would keep it.

    Attributes:
        first: the first `MAX_SET_ASIDE` entries.
        n: number of all of them.
    """

    def __init__(self) -> None:
        self.first: list[SetAsideEntry] = []
        self.n = 0

    def add(self, seq: int, entry_type: str, key: str, error: Exception) -> None:
        """Add an entry, and log it."""
        self.n += 1
        reason = f"{type(error).__name__}: {error}"
        if len(self.first) < MAX_SET_ASIDE:
            self.first.append(SetAsideEntry(seq, entry_type, key, reason))
        logger.warning(
            "entry %d of the live log (%s %r) is set aside, it cannot be applied: %s", seq, entry_type, key, reason
        )
