"""The bundle that is being served, and its replacement by a newer one without a pause."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import polars as pl

from recsys.bundles.registry import CURRENT, current_version, versions
from recsys.core.errors import RecsysError, StoreError
from recsys.core.placements import Placement
from recsys.core.request import Request
from recsys.eventlog.identities import Identities
from recsys.eventlog.store import EventStore
from serving.problems import NotReadyError
from serving.runtime.clock import Clock
from serving.runtime.memory import release_freed_memory
from serving.runtime.placement_file import PlacementFile
from serving.runtime.settings import Settings
from serving.runtime.snapshot import Snapshot, new_caches, open_snapshot, warm_up
from serving.runtime.telemetry import Telemetry

logger = logging.getLogger(__name__)

NO_PLACEMENTS: Mapping[str, Placement] = MappingProxyType({})
MAX_RETRY_S = 60.0

STEP_ENTRIES = 256
"""Entries of the log that are applied at once while it is followed: bounds how long requests wait."""

REQUEST_ENTRIES = 2048
"""Entries that a request applies itself, so that its list has them; only a longer backlog is left to the follower."""

FOLLOW_S = 0.1
"""Pause between two looks at the log; requests read the newest entries themselves."""

SETTLE_S = 0.1

IS_LOST: Final = "is missing or empty: the last bundle is served until a restart; activate a bundle by name"

_PATH: Final = re.compile(r"(?<![\w.])/(?:[^\s/'\",;:()]+/)*([^\s/'\",;:()]+)")
"""An absolute path, and its last part."""

OpenLog = Callable[[], EventStore]
"""Returns the live log of this process."""


@dataclass(frozen=True)
class Refusal:
    """A bundle that could not be opened; it is tried again, at growing intervals, because it may be repaired."""

    version: str
    wait_s: float
    retry_at: float


RunJob = Callable[[Callable[[], bool]], Awaitable[bool]]
"""Runs a job somewhere and returns its result."""


async def run_here(job: Callable[[], bool]) -> bool:
    """Return the result of a job that runs in the event loop."""
    return job()


class BundleWatcher:
    """Keeps the current snapshot and follows `CURRENT` to newer ones.

    Args:
        settings: as started.
        clock: started by the first bundle.
        telemetry: metrics.
        open_log: returns the live log, None for bundles alone.
        run_job: runs a job in the thread that makes lists, as entries of the log change what it reads.

    Attributes:
        current: the snapshot that is being served, None before the first good bundle.

    Raises:
        ConfigError: the file of placements cannot be read, or is invalid.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        telemetry: Telemetry,
        open_log: OpenLog | None = None,
        run_job: RunJob = run_here,
    ) -> None:
        self._settings = settings
        self._run_job = run_job
        self._open_log = open_log
        self._is_behind = self._is_broken = False
        self._clock = clock
        self._telemetry = telemetry
        self._refusal: Refusal | None = None
        self._bundle_error: str | None = None
        self._placement_file = PlacementFile(
            settings.placements_path, settings.experiments, is_optional=settings.placements is None
        )
        self.current: Snapshot | None = None
        self._caught_up: Snapshot | None = None

    @property
    def last_error(self) -> str | None:
        """Why the newest bundle, or the newest file of placements, is not being served; None if both are.

        It names no folder of the machine: everybody may read it.
        """
        text = "; ".join(filter(None, (self._bundle_error, self._placement_file.last_error)))
        return _PATH.sub(r"\1", text) or None

    def snapshot(self) -> Snapshot:
        """Return what is being served, up to date with all entries of the live log that any process has acknowledged.

        Raises:
            NotReadyError: there is no bundle yet.
        """
        current = self.current
        if current is None:
            missing = "there is no bundle yet; run `recsys train` for this server's --models, or wait until it is open"
            reason = self.last_error or missing
            raise NotReadyError(f"no model is served: {reason}", int(self._settings.poll_seconds) + 1)
        self._catch_up(current)
        return current.with_log_seq()

    def snapshot_if_current(self) -> Snapshot | None:
        """Return what is being served if it has all entries of the live log; it changes nothing, and never waits.

        Only the event loop may call it: the log is read once for all requests of one turn.
        """
        current = self.current
        if current is None or current is self._caught_up:
            return current
        live = current.recommender.live
        try:
            if live is not None and self._open_log is not None and not live.is_current(self._open_log()):
                return None
        except StoreError:
            return None  # `snapshot` says what is wrong
        self._skip_until_end_of_turn(current)
        return current

    def check_lists(self) -> Snapshot:
        """Return what is being served, after making one list from it.

        Raises:
            NotReadyError: there is no bundle yet, or no list can be made.
        """
        snapshot = self.snapshot()
        recommender = snapshot.recommender
        name = next((name for name, each in recommender.placements.items() if each.anchor == "none"), "for_you")
        try:
            recommender.recommend_for(Request(name, self._clock.now(), limit=1))
        except Exception as error:
            if not self._is_broken:
                logger.exception("no list can be made: %s", error)
            self._is_broken = True
            raise NotReadyError("no list can be made; the server's log has the reason", 1) from error
        self._is_broken = False
        return snapshot

    def up_to_date(self, snapshot: Snapshot) -> Snapshot:
        """Bring a snapshot that is used for long up to date with the live log; a few microseconds."""
        self._catch_up(snapshot)
        return snapshot.with_log_seq()

    def identities(self) -> Identities | None:
        """Return the merges that lists are made with, after all entries of the log; None without a bundle."""
        current = self.current
        if current is None or current.recommender.live is None:
            return None
        self._catch_up(current, None)
        return current.recommender.live.identities

    def _skip_until_end_of_turn(self, snapshot: Snapshot) -> None:
        """Do not read the log again for the other requests of this turn of the event loop.

        They were all read from their sockets before it, and the end of the turn is queued behind them: an entry that
        was acknowledged before a caller sent its request cannot be missed.
        """
        self._caught_up = snapshot
        asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._caught_up = None

    def _catch_up(self, snapshot: Snapshot, limit: int | None = REQUEST_ENTRIES) -> bool:
        """Read the new entries of the log; if it cannot be read, the entries known so far are still used.

        Args:
            snapshot: whose view reads them.
            limit: largest number of entries; None for all.

        Returns:
            Whether more entries can be read at once.
        """
        live, is_complete = snapshot.recommender.live, True
        if live is None or self._open_log is None:
            return False
        try:
            is_complete = live.catch_up(self._open_log(), limit)
            self._is_behind = False
        except StoreError as error:
            if not self._is_behind:
                logger.exception("the live log cannot be read, lists are made without its newest entries: %s", error)
            self._is_behind = True
        self._telemetry.set_aside(live.n_set_aside)
        return not is_complete

    def catalog_schema(self) -> Mapping[str, pl.DataType] | None:
        """Return the columns of the catalog that is served, None before the first good bundle."""
        return self.current.recommender.current.items_table.schema if self.current else None

    @property
    def placements_version(self) -> str:
        """The version of the file of placements that is served."""
        return self._placement_file.version

    @property
    def placements_error(self) -> str | None:
        """Why the newest version of the file of placements is not served, None if it is."""
        return _PATH.sub(r"\1", self._placement_file.last_error or "") or None

    @property
    def placements(self) -> Mapping[str, Placement]:
        """The placements that can be served now; none before the first good bundle."""
        return self.current.recommender.placements if self.current else NO_PLACEMENTS

    async def run(self) -> None:
        """Follow `CURRENT` and the live log forever."""
        await asyncio.gather(self._follow_bundles(), self._follow_log(), self._settle())

    async def _follow_bundles(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.refresh)
            except Exception as error:  # a fault of one moment must not end the following
                self._bundle_error = f"{type(error).__name__} while bundles were followed; the server's log has it"
                logger.exception("bundles could not be followed: %s", error)
            await asyncio.sleep(self._settings.poll_seconds)

    async def _follow_log(self) -> None:
        """Apply the entries of the log in short steps, between requests, so that none of them finds a long backlog."""
        while True:
            is_behind = False
            try:
                if self.current is not None:
                    is_behind = await self._run_job(partial(self._catch_up, self.current, STEP_ENTRIES))
            except Exception as error:
                logger.exception("the live log could not be followed: %s", error)
            await asyncio.sleep(0 if is_behind else FOLLOW_S)

    async def _settle(self) -> None:
        """Compute the content of changed items in a thread, so that requests are answered meanwhile."""
        while True:
            live = None if self.current is None else self.current.recommender.live
            if live is not None and not live.is_settled:
                try:
                    await asyncio.to_thread(live.settle)
                except Exception as error:
                    logger.exception("the content of changed items could not be computed: %s", error)
            await asyncio.sleep(SETTLE_S)

    def refresh(self) -> None:
        """Serve what is new: the bundle that `CURRENT` names, and the file of placements."""
        if self.current is None and self._placement_file.poll(None):
            self._refusal = None  # the file may have been the reason for the refusal
        self._refresh_bundle()
        current = self.current
        if current is None or not self._placement_file.poll(current.recommender.current.items_table.schema):
            return
        recommender = replace(current.recommender, book=self._placement_file.book)
        cache, personal = new_caches(self._settings, recommender.live)
        self.current = replace(current, recommender=recommender, cache=cache, personal=personal)

    def _refresh_bundle(self) -> None:
        """Open, warm and serve the bundle that `CURRENT` names, unless it is already served or was just refused."""
        version, problem = self._wanted()
        if version is None or (self.current and version == self.current.version):
            self._refusal, self._bundle_error = None, problem
            return
        if self._refusal and version == self._refusal.version and time.monotonic() < self._refusal.retry_at:
            return
        try:
            snapshot = open_snapshot(self._settings, version)
            gc.freeze()  # a long log causes many collections, which would traverse the whole bundle
            self._catch_up(snapshot, None)  # before it is served: the first read may take long
            if snapshot.recommender.live is not None:
                snapshot.recommender.live.settle()
            book = self._placement_file.book
            book.check(snapshot.recommender.current.items_table.schema)
            snapshot = replace(snapshot, recommender=replace(snapshot.recommender, book=book))
            warm_up(snapshot.recommender)
            self._serve(snapshot, problem)
        except Exception as error:  # no fault of a new bundle may stop the old one
            self._refuse(version, error)

    def _wanted(self) -> tuple[str | None, str | None]:
        """Return the version that `CURRENT` names, and why it names none that can be read.

        Then the version that is being served stays; a server that starts serves the newest one.
        """
        try:
            version = current_version(self._settings.models)
            is_lost = version is None and self.current is not None
            return version, f"{CURRENT} {IS_LOST}" if is_lost else None
        except (RecsysError, OSError) as error:
            if str(error) != self._bundle_error:
                logger.error("%s", error)
            known = versions(self._settings.models)
            return self.current.version if self.current else (known[-1] if known else None), str(error)

    def _serve(self, snapshot: Snapshot, problem: str | None) -> None:
        self._clock.start(snapshot.recommender.data_end, activated_at(self._settings))
        self._refusal, self._bundle_error = None, problem
        self.current = snapshot
        gc.freeze()  # else a full collection traverses the whole bundle and delays all requests
        release_freed_memory()
        self._telemetry.opened("served")
        logger.info("bundle %s is being served", snapshot.version)

    def _refuse(self, version: str, error: Exception) -> None:
        known = isinstance(error, RecsysError)
        wait_s = self._settings.poll_seconds
        if self._refusal and self._refusal.version == version:
            wait_s = min(2 * self._refusal.wait_s, MAX_RETRY_S)
        self._refusal = Refusal(version, wait_s, time.monotonic() + wait_s)
        reason = (
            str(error) if known else f"{type(error).__name__} while it was opened; the server's log has the traceback"
        )
        self._bundle_error = f"bundle {version} is refused: {reason}"
        self._telemetry.opened("refused")
        logger.error("%s", self._bundle_error, exc_info=None if known else error)


def activated_at(settings: Settings) -> float:
    """Return when the current bundle was activated, seconds since 1970; 0 if that cannot be read."""
    try:
        return (settings.models / CURRENT).stat().st_mtime
    except OSError:
        return 0.0
