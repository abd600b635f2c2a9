"""What was shown to whom: every answered list goes to the live log, behind the requests' backs.

A request leaves a note in a bounded queue and goes on; a task of its own turns notes into entries, in small turns, and
hands them to the store. Where more is shown than can be kept, notes are dropped and counted, and nobody waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from recsys.core.errors import RecsysError, StoreError
from recsys.core.request import Recommendations, Request
from recsys.eventlog.identities import user_key
from recsys.eventlog.store import AppendOutcome, EventStore, LogEntry
from recsys.live.view import LiveView
from serving.runtime.settings import Settings
from serving.runtime.telemetry import Telemetry

FLUSH_S: Final = 1.0
"""How long a note waits at most, and what a killed process may lose; a list shown often is written once a turn."""

YIELD_EVERY: Final = 100
"""Showings that are encoded in one go, some 0.2 ms; requests get their turn after each."""

MAX_SHOWN: Final = 500
"""Showings of one entry, which bounds what a reader must hold."""

HASHES: Final = 1 << 32

Who = dict[str, str]
"""Columns that name a shopper."""

_encode: Final = msgspec.json.Encoder().encode

logger = logging.getLogger(__name__)


class ImpressionPayload(NamedTuple):
    """What a list shows, as the log has it; kept beside an encoded answer, it serves every showing of it.

    Attributes:
        placement, model_version, fallback_used: as in the answer.
        items: JSON of a list with an object for each item.
    """

    placement: str
    model_version: str
    fallback_used: bool
    items: msgspec.Raw


class Impression(NamedTuple):
    """One showing.

    Attributes:
        recommendation_id: of the answer.
        at: the moment that the answer is for, seconds since 1970.
        shown: what it shows.
        who: the shopper, None where nobody is named or the shopper wants no history kept.
    """

    recommendation_id: str
    at: int
    shown: ImpressionPayload
    who: Who | None


class ImpressionItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item of a list, as the log has it.

    Attributes:
        item_id, score: as in the answer.
        position: its rank, where that is not its place in this list: on later pages.
        propensity: as in the answer: how likely chance was to put it there; left out where chance had no part.
    """

    item_id: str
    score: float
    position: int | None = None
    propensity: float | None = None


class Impressions:
    """Takes notes of what is shown, and writes them to the live log.

    Args:
        settings: `impression_sample` says which lists are noted, `impression_queue` how many may wait.
        telemetry: counts what became of them.
        log: gives the live log of this process.
        received_at: gives the machine's time, seconds since 1970.
    """

    def __init__(
        self, settings: Settings, telemetry: Telemetry, log: Callable[[], EventStore], received_at: Callable[[], float]
    ) -> None:
        self._sample = settings.impression_sample
        self._threshold = round(self._sample * HASHES)
        self._room = settings.impression_queue
        self._telemetry, self._log, self._received_at = telemetry, log, received_at
        self._of_shoppers: list[list[Impression]] = []
        self._of_nobody: dict[int, list[Impression]] = defaultdict(list)
        self._alike: deque[list[Impression]] = deque()
        self._waiting = 0
        self._dropped = 0

    def note(self, recommendation_id: str, at: int, shown: ImpressionPayload, who: Who | None = None) -> None:
        """Take a note, if the list is of the sample; about a microsecond, and never waits.

        Args:
            recommendation_id: of the answer; it alone decides whether the list is of the sample.
            at: the moment that the answer is for, seconds since 1970.
            shown: what it shows.
            who: the shopper, None where nobody is to be named.
        """
        if crc32(recommendation_id.encode()) >= self._threshold:
            return
        if self._waiting >= self._room:
            self._dropped += 1
            return
        self._waiting += 1
        note = Impression(recommendation_id, at, shown, who)
        if who is None:
            self._of_nobody[id(shown)].append(note)
        else:
            self._of_shoppers.append([note])

    async def follow(self) -> None:
        """Write notes to the log for ever."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits; what the store does not take is counted as failed, and not tried again."""
        self._alike.extend(self._of_shoppers)
        self._alike.extend(part for same in self._of_nobody.values() for part in _parts(same))
        self._of_shoppers, self._of_nobody, self._waiting = [], defaultdict(list), 0
        dropped, self._dropped = self._dropped, 0
        self._telemetry.shown("dropped", dropped)
        received_at = self._received_at()
        waiting: list[tuple[list[LogEntry], Future[list[AppendOutcome]]]] = []
        while self._alike:
            some = self._next_entries(received_at)  # a turn's alone, so that a flush that is cancelled loses none
            try:
                waiting.append((some, self._log().submit(some)))
            except RecsysError as error:
                self._failed(some, error)
            await asyncio.sleep(0)
        for some, stored in waiting:
            try:
                outcomes = await asyncio.wrap_future(stored)
            except StoreError as error:
                self._failed(some, error)
            else:
                kept = [entry for entry, outcome in zip(some, outcomes, strict=True) if outcome == "stored"]
                self._telemetry.shown("logged", sum(map(_showings, kept)))

    def _failed(self, entries: Sequence[LogEntry], error: RecsysError) -> None:
        count = sum(map(_showings, entries))
        self._telemetry.shown("failed", count)
        logger.warning("%d lists that were shown are not in the live log: %s", count, error)

    def _next_entries(self, received_at: float) -> list[LogEntry]:
        """An entry for each of the next lists, until they were shown often enough for a turn."""
        entries, room = [], YIELD_EVERY
        while self._alike and room > 0:
            same = self._alike.popleft()
            room -= len(same)
            first, body = same[0], self._body(same[0])
            if len(same) > 1:
                body["shown"] = [{"recommendation_id": each.recommendation_id, "at": each.at} for each in same]
            key = first.recommendation_id if len(same) == 1 else None
            entries.append(LogEntry("impression", key, float(first.at), received_at, body))
        return entries

    def _body(self, note: Impression) -> dict[str, Any]:
        body = note.shown._asdict() | (note.who or {})
        return body if self._sample == 1 else body | {"sampled": self._sample}


def shown_of(answer: Recommendations) -> ImpressionPayload:
    """What an answer shows."""
    items = [
        ImpressionItem(
            item.item_id,
            item.score,
            None if item.rank == place else item.rank,
            None if item.propensity == 1 else item.propensity,
        )
        for place, item in enumerate(answer.items, 1)
    ]
    return ImpressionPayload(answer.placement, answer.model_version, answer.fallback_used, msgspec.Raw(_encode(items)))


def who_of(live: LiveView | None, request: Request) -> Who | None:
    """Whom a list is shown to: the ids of the request, None where there is none or they want no history kept."""
    key = user_key(request.user_id, request.visitor_id, request.session_id)
    if key is None:
        return None
    if live is not None:
        opted_out = live.profiles.is_opted_out
        if opted_out(key) or opted_out(live.identities.target(key)):
            return None
    ids = (("user_id", request.user_id), ("visitor_id", request.visitor_id), ("session_id", request.session_id))
    return {name: value for name, value in ids if value is not None}


def _parts(same: list[Impression]) -> Iterator[list[Impression]]:
    """Showings of one list, so many at a time as an entry may hold."""
    for start in range(0, len(same), MAX_SHOWN):
        yield same[start : start + MAX_SHOWN]


def _showings(entry: LogEntry) -> int:
    return len(entry.body.get("shown", (entry,)))
