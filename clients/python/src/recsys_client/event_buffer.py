"""Events that wait to be sent: a bounded queue, and what became of those that were taken from it."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from recsys_client.models import EventResults

logger = logging.getLogger("recsys_client")

MAX_BATCH: Final = 1_000
"""Events of one call, at most."""

OnRefused = Callable[[Mapping[str, Any], Sequence[Any]], None]


@dataclass
class QueueCounts:
    """What became of the events of a client.

    Attributes:
        accepted: are stored by the engine.
        refused: were sent and are not stored.
        dropped: were never sent: the queue was full, or the engine was not reached before the client was closed.
    """

    accepted: int = 0
    refused: int = 0
    dropped: int = 0


class EventBuffer:
    """A bounded queue of events, safe to use from any thread.

    Args:
        size: number of events that may wait; a further one is dropped and counted.
        on_refused: gets each event that the engine refuses, and the errors.
    """

    def __init__(self, size: int, on_refused: OnRefused | None = None) -> None:
        self._size, self._on_refused = size, on_refused
        self._events: deque[Mapping[str, Any]] = deque()
        self._lock = threading.Lock()
        self.counts = QueueCounts()

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Mapping[str, Any]) -> bool:
        """Add an event, with an id and the present time if it has none; False if it was dropped.

        The id makes it safe to send the event again, and the time is when it happened, not when it is sent.
        """
        given = {"event_id": uuid.uuid4().hex, "timestamp": datetime.now(UTC).isoformat(), **event}
        with self._lock:
            if len(self._events) >= self._size:
                self.counts.dropped += 1
                if self.counts.dropped == 1:
                    logger.error("the queue of %d events is full: further events are dropped", self._size)
                return False
            self._events.append(given)
            return True

    def take(self, n: int) -> list[Mapping[str, Any]]:
        """Remove and return the oldest events."""
        with self._lock:
            return [self._events.popleft() for _ in range(min(n, len(self._events)))]

    def put_back(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Return events to the front; those for which there is no room any more are dropped."""
        with self._lock:
            room = max(0, self._size - len(self._events))
            self.counts.dropped += max(0, len(events) - room)
            self._events.extendleft(reversed(events[:room]))

    def drop(self, events: Sequence[Mapping[str, Any]], reason: object) -> None:
        """Count events that are given up."""
        if events:
            self.counts.dropped += len(events)
            logger.error("%d events are lost: %s", len(events), reason)

    def settle(self, events: Sequence[Mapping[str, Any]], results: EventResults) -> None:
        """Count what the engine answered, and report each event that it refused."""
        self.counts.accepted += results.accepted
        self.counts.refused += results.refused
        for event, result in zip(events, results.results, strict=False):
            if result.errors:
                logger.warning("an event is refused: %s", "; ".join(error.message for error in result.errors))
                if self._on_refused is not None:
                    self._on_refused(event, result.errors)
