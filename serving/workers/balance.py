"""Which worker gets a connection, and when one is moved: pure decisions on counts and processor time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DECAY: Final = 0.9
"""Weight of the past after one interval: the load is that of about the last ten intervals."""

MAX_SHARE: Final = 0.55
"""Share of the load of two workers from which the busier one returns a connection."""

MIN_LOAD_S: Final = 0.5
"""Processor time below which there is nothing to share."""


@dataclass
class WorkerLoad:
    """The load of one worker.

    Attributes:
        n_open: its connections.
        cpu_s: its processor time of late: `L ← DECAY·L + ΔCPU` per interval.
        is_silent: whether it has not reported of late: it starves, or hangs.
    """

    n_open: int = 0
    cpu_s: float = 0.0
    is_silent: bool = False

    def add(self, cpu_s: float) -> None:
        """Add the processor time of one interval."""
        self.cpu_s = DECAY * self.cpu_s + cpu_s


def for_new_connection(loads: Sequence[WorkerLoad]) -> list[int]:
    """Return the workers in the order in which they should get a new connection: the fewest open ones first."""
    return sorted(range(len(loads)), key=lambda n: (loads[n].is_silent, loads[n].n_open, loads[n].cpu_s))


def for_moved_connection(loads: Sequence[WorkerLoad]) -> list[int]:
    """Return the workers in the order in which they should get a connection that a busy one has returned."""
    return sorted(range(len(loads)), key=lambda n: (loads[n].is_silent, loads[n].cpu_s, loads[n].n_open))


def too_busy(loads: Sequence[WorkerLoad]) -> int | None:
    """Return the worker that should return a connection, None if the load is even.

    Connections of equal rate are even by their number, but for an odd one; callers that use few of their connections
    most of the time are not.
    """
    if len(loads) < 2:
        return None
    busiest = max(range(len(loads)), key=lambda n: loads[n].cpu_s)
    most, least = loads[busiest].cpu_s, min(load.cpu_s for load in loads if not load.is_silent or load.cpu_s)
    if most + least < MIN_LOAD_S or most <= MAX_SHARE * (most + least) or loads[busiest].n_open < 2:
        return None
    return busiest
