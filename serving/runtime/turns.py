"""Long work in short turns, between the lists of others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, TypeVar

from serving.runtime.list_queue import ListQueue

TURN_S: Final = 0.01
"""About how long the requests of others wait for one turn, in seconds."""

T = TypeVar("T")


async def in_turns(queue: ListQueue, steps: Iterator[T], seconds: float) -> tuple[list[T], bool]:
    """Return the results of some steps, and whether these are all.

    Args:
        queue: makes the lists.
        steps: each `next` takes a few milliseconds.
        seconds: how long the whole work may take; what is done by then is returned.
    """
    deadline = time.monotonic() + seconds
    found: list[T] = []
    is_over = False
    while not is_over and time.monotonic() < deadline:
        part, is_over = await queue.run(lambda: _turn(steps, deadline), is_patient=True)
        found += part
    return found, is_over


def _turn(steps: Iterator[T], deadline: float) -> tuple[list[T], bool]:
    end = min(time.monotonic() + TURN_S, deadline)
    found = []
    for each in steps:
        found.append(each)
        if time.monotonic() >= end:
            return found, False
    return found, True
