"""Impressions: every list that is returned is written to the live log, asynchronously, off the request path.

A request appends to a bounded queue and does not wait. A task makes entries of the queue in small steps and submits
them to the store. If more lists are shown than can be stored, impressions are dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from recsys.core.errors import RecsysError, StoreError
from recsys.core.placements import ListVariant
from recsys.core.request import Recommendations, Request
from recsys.eventlog.identities import user_key
from recsys.eventlog.store import AppendOutcome, EventStore, LogEntry
from recsys.live.view import LiveView
from serving.runtime.settings import Settings
from serving.runtime.telemetry import Telemetry

FLUSH_S: Final = 1.0
"""The longest time that an impression waits, and what a killed process may lose."""

ENCODE_BATCH: Final = 100
"""Impressions that are encoded at once, in about 0.2 ms; requests are handled in between."""

MAX_IMPRESSIONS: Final = 500
"""Impressions of one entry, which bounds the memory of a reader."""

HASHES: Final = 1 << 32

UserColumns = dict[str, str]
"""Columns that identify a user: `user_id`, `visitor_id`, `session_id`."""

_encode: Final = msgspec.json.Encoder().encode

logger = logging.getLogger(__name__)


class ImpressionPayload(NamedTuple):
    """The log's form of a list; cached with an encoded response, it is used by all impressions of it.

    Attributes:
        placement, model_version, fallback_used: as in the response.
        items: JSON array with an object for each item.
        experiments: the user's variant by experiment, None if the list is in none.
    """

    placement: str
    model_version: str
    fallback_used: bool
    items: msgspec.Raw
    experiments: dict[str, str] | None = None


class Impression(NamedTuple):
    """One impression of a list.

    Attributes:
        recommendation_id: of the response.
        at: the moment that the response is for, seconds since 1970.
        payload: the list.
        user_ids: the user, None if none is given or the user has opted out.
        shown_at: by the machine's clock, seconds since 1970: an erasure after it removes the impression that waits.
        log_seq: number of the last entry of the live log that the list was made with: a later erasure removes it too.
    """

    recommendation_id: str
    at: int
    payload: ImpressionPayload
    user_ids: UserColumns | None
    shown_at: float
    log_seq: int | None


class ImpressionItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The log's form of one item of a list.

    Attributes:
        item_id, score: as in the response.
        position: its rank, if that is not its position in this list: on later pages.
        propensity: as in the response: the probability of the position; left out if the order is not random.
    """

    item_id: str
    score: float
    position: int | None = None
    propensity: float | None = None


class Impressions:
    """Collects impressions and writes them to the live log.

    Args:
        settings: `impression_sample` is the share that is recorded, `impression_queue` how many may wait.
        telemetry: counts the impressions by result.
        open_log: returns the live log of this process.
        received_at: returns the machine's time, seconds since 1970.
        sleep: the pauses between writes.
    """

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        open_log: Callable[[], EventStore],
        received_at: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._sample = settings.impression_sample
        self._threshold = round(self._sample * HASHES)
        self._max_waiting = settings.impression_queue
        self._telemetry, self._open_log, self._received_at = telemetry, open_log, received_at
        self._of_users: list[list[Impression]] = []
        self._anonymous: dict[int, list[Impression]] = defaultdict(list)
        self._queue: deque[list[Impression]] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._dropped = 0

    def record(
        self,
        recommendation_id: str,
        at: int,
        payload: ImpressionPayload,
        user_ids: UserColumns | None = None,
        log_seq: int | None = None,
    ) -> None:
        """Queue an impression, if the list is in the sample; any thread may call it, it takes about a microsecond.

        A list of an experiment is always recorded.

        Args:
            recommendation_id: of the response; it alone decides whether the list is in the sample.
            at: the moment that the response is for, seconds since 1970.
            payload: the list.
            user_ids: the user, None if none is to be stored.
            log_seq: number of the last entry of the live log that the list was made with.
        """
        if payload.experiments is None and crc32(recommendation_id.encode()) >= self._threshold:
            return
        impression = Impression(recommendation_id, at, payload, user_ids, self._received_at(), log_seq)
        with self._lock:
            if self._waiting >= self._max_waiting:
                self._dropped += 1
                return
            self._waiting += 1
            if user_ids is None:
                self._anonymous[id(payload)].append(impression)
            else:
                self._of_users.append([impression])

    async def run(self) -> None:
        """Write impressions to the log, forever."""
        while True:
            await self._sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write the queue; impressions that the store refuses are counted as failed, and not tried again."""
        with self._lock:
            self._queue.extend(self._of_users)
            self._queue.extend(part for same in self._anonymous.values() for part in _parts(same))
            self._of_users, self._anonymous, self._waiting = [], defaultdict(list), 0
            dropped, self._dropped = self._dropped, 0
        self._telemetry.shown("dropped", dropped)
        waiting: list[tuple[list[LogEntry], Future[list[AppendOutcome]]]] = []
        while self._queue:
            some = self._next_entries()  # one step's entries only: a flush that is cancelled loses no others
            try:
                waiting.append((some, self._open_log().submit(some)))
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
                self._telemetry.shown("logged", sum(map(_n_impressions, kept)))

    def _failed(self, entries: Sequence[LogEntry], error: RecsysError) -> None:
        count = sum(map(_n_impressions, entries))
        self._telemetry.shown("failed", count)
        logger.warning("%d impressions are not in the live log: %s", count, error)

    def _next_entries(self) -> list[LogEntry]:
        """Return an entry for each of the next lists, up to the number of impressions of one step."""
        entries, room = [], ENCODE_BATCH
        while self._queue and room > 0:
            same = self._queue.popleft()
            room -= len(same)
            first, body = same[0], self._body(same[0])
            if len(same) > 1:
                body["shown"] = [{"recommendation_id": each.recommendation_id, "at": each.at} for each in same]
            key = first.recommendation_id if len(same) == 1 else None
            entries.append(LogEntry("impression", key, float(first.at), first.shown_at, body, made_with=first.log_seq))
        return entries

    def _body(self, impression: Impression) -> dict[str, Any]:
        body = impression.payload._asdict() | (impression.user_ids or {})
        if body.pop("experiments") is not None:
            return body | {"experiments": impression.payload.experiments}
        return body if self._sample == 1 else body | {"sampled": self._sample}


def impression_payload(listed: Recommendations, variant: ListVariant | None = None) -> ImpressionPayload:
    """Return the log's form of a list, and of the variant that its user has."""
    items = [
        ImpressionItem(
            item.item_id,
            item.score,
            None if item.rank == position else item.rank,
            None if item.propensity == 1 else item.propensity,
        )
        for position, item in enumerate(listed.items, 1)
    ]
    experiments = None if variant is None else dict(variant.exposures)
    encoded = msgspec.Raw(_encode(items))
    return ImpressionPayload(listed.placement, listed.model_version, listed.fallback_used, encoded, experiments)


def unit_of(
    live: LiveView | None, user_id: str | None, visitor_id: str | None = None, session_id: str | None = None
) -> str | None:
    """Return the root of the chain of a user's merged ids; None if there is no user, or the user has opted out."""
    key = user_key(user_id, visitor_id, session_id)
    if key is None or live is None:
        return key
    root, opted_out = live.identities.target(key), live.profiles.is_opted_out
    return None if opted_out(key) or opted_out(root) else root


def user_columns(live: LiveView | None, request: Request) -> UserColumns | None:
    """Return the ids of the request's user; None if there is none, or the user has opted out."""
    if unit_of(live, request.user_id, request.visitor_id, request.session_id) is None:
        return None
    ids = (("user_id", request.user_id), ("visitor_id", request.visitor_id), ("session_id", request.session_id))
    return {name: value for name, value in ids if value is not None}


def _parts(same: list[Impression]) -> Iterator[list[Impression]]:
    """Split the impressions of one list into entries."""
    for start in range(0, len(same), MAX_IMPRESSIONS):
        yield same[start : start + MAX_IMPRESSIONS]


def _n_impressions(entry: LogEntry) -> int:
    return len(entry.body.get("shown", (entry,)))
