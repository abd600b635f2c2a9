"""The bundles that are being served, and the replacement of the current one by a newer one without a pause."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

import polars as pl

from recsys.bundles.registry import CURRENT, current_version, pin, pinned, versions
from recsys.core.errors import BundleError, RecsysError, StoreError
from recsys.core.placements import Placement
from recsys.core.request import Request
from recsys.eventlog.identities import Identities
from recsys.eventlog.store import EventStore
from recsys.rules.list_variants import ListVariants
from recsys.rules.placement_registry import PlacementRegistry
from serving.problems import NotReadyError
from serving.runtime.bundle_loader import BundleLoader, activated_at
from serving.runtime.clock import Clock
from serving.runtime.memory import release_freed_memory
from serving.runtime.settings import Settings, variable_of
from serving.runtime.shop_state import ShopState
from serving.runtime.snapshot import Snapshot
from serving.runtime.telemetry import Telemetry

logger = logging.getLogger(__name__)

NO_PLACEMENTS: Mapping[str, Placement] = MappingProxyType({})

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

RunJob = Callable[[Callable[[], bool]], Awaitable[bool]]
"""Runs a job somewhere and returns its result."""

Sleep = Callable[[float], Awaitable[None]]
"""Pauses a task, for some seconds or longer."""


async def run_here(job: Callable[[], bool]) -> bool:
    """Return the result of a job that runs in the event loop."""
    return job()


class BundleWatcher:
    """Keeps the current snapshot, with those of experiments beside it, and follows `CURRENT` to newer ones.

    Args:
        settings: as started.
        clock: started by the first bundle.
        telemetry: metrics.
        open_log: returns the live log, None for bundles alone.
        run_job: runs a job when no list is made, as entries of the log change what it reads.
        sleep: the pauses between looks at bundles and at the log.
        state: the documents of the shop; those of the settings if not given.

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
        sleep: Sleep = asyncio.sleep,
        state: ShopState | None = None,
    ) -> None:
        self._settings, self._open_log, self._sleep, self._run_job = settings, open_log, sleep, run_job
        self._clock, self._telemetry, self._is_broken = clock, telemetry, False
        self._behind_since: float | None = None
        self._loader = BundleLoader(settings, telemetry, partial(self._catch_up, limit=None))
        self._bundle_error: str | None = None
        self._variant_error: str | None = None
        self._state = ShopState(settings) if state is None else state
        self._placement_file = self._state.placement_file()
        self.current: Snapshot | None = None
        self._served_book: PlacementRegistry | None = None
        self._caught_up: dict[str, Snapshot] = {}

    @property
    def last_error(self) -> str | None:
        """Why the newest bundle, one of an experiment, or the newest file of placements is not being served, or None.

        It names no folder of the machine: everybody may read it.
        """
        text = "; ".join(filter(None, (self._bundle_error, self._variant_error, self._placement_file.last_error)))
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
        return current if current is not None and self.is_current(current) else None

    def is_up_to_date(self) -> bool:
        """Return whether all bundles that are served have all entries of the live log; see `snapshot_if_current`."""
        current = self.current
        return current is not None and all(map(self.is_current, current.served))

    def is_current(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot has all entries of the live log; see `snapshot_if_current`."""
        if self._caught_up.get(snapshot.version) is snapshot:
            return True
        live = snapshot.recommender.live
        try:
            if live is not None and self._open_log is not None and not live.is_current(self._open_log()):
                return False
        except StoreError:
            return False  # `snapshot` says what is wrong
        self._skip_until_end_of_turn(snapshot)
        return True

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
        self._caught_up[snapshot.version] = snapshot
        asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._caught_up.clear()

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
            self._note_log(None)
        except StoreError as error:
            self._note_log(error)
        if snapshot.assigned_by is None:
            self._telemetry.set_aside(live.n_set_aside)
        return not is_complete

    @property
    def stale_seconds(self) -> int | None:
        """For how long lists have been made without the newest entries of the log, which cannot be read; else None."""
        since = self._behind_since
        return None if since is None else int(time.monotonic() - since)

    def _note_log(self, error: StoreError | None) -> None:
        if (error is None) == (self._behind_since is None):
            return
        if error is None:
            logger.warning("the live log can be read again, after %d s", self.stale_seconds)
        else:
            logger.error("the live log cannot be read, lists are made without its newest entries: %s", error)
        self._behind_since = None if error is None else time.monotonic()
        self._telemetry.log_is_lost(is_lost=error is not None)

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
            seen = self._state.version
            try:
                await asyncio.to_thread(self.refresh)
            except Exception as error:  # a fault of one moment must not end the following
                self._bundle_error = f"{type(error).__name__} while bundles were followed; the server's log has it"
                logger.exception("bundles could not be followed: %s", error)
            await self._state.pause(seen, self._settings.poll_seconds, self._sleep)

    async def _follow_log(self) -> None:
        """Apply the entries of the log in short steps, between requests, so that none of them finds a long backlog."""
        while True:
            is_behind = False
            try:
                for snapshot in () if self.current is None else self.current.served:
                    if self._behind_since is not None or not self.is_current(snapshot):
                        is_behind |= await self._run_job(partial(self._catch_up, snapshot, STEP_ENTRIES))
            except Exception as error:
                logger.exception("the live log could not be followed: %s", error)
            await (asyncio.sleep(0) if is_behind else self._sleep(FOLLOW_S))

    async def _settle(self) -> None:
        """Compute the content of changed items in a thread, so that requests are answered meanwhile."""
        while True:
            for snapshot in () if self.current is None else self.current.served:
                live = snapshot.recommender.live
                try:
                    if live is not None and not live.is_settled:
                        await asyncio.to_thread(live.settle)
                except Exception as error:
                    logger.exception("the content of changed items could not be computed: %s", error)
            await self._sleep(SETTLE_S)

    def refresh(self) -> None:
        """Serve what is new: the bundle that `CURRENT` names, the file of placements, bundles of experiments."""
        if self.current is None and self._placement_file.poll():
            self._loader.forget()  # the file may have been the reason for a refusal
        self._refresh_bundle()
        current = self.current
        if current is None:
            return
        if self._placement_file.poll([each.recommender.current.items_table.schema for each in current.served]):
            self._loader.forget()
        self._refresh_others(current)

    def _refresh_bundle(self) -> None:
        """Open, warm and serve the bundle that `CURRENT` names, unless it is already served or was just refused."""
        version, problem = self._wanted()
        current, variants = self.current, self._variants()
        self._loader.forget(keep={version or "", *(variants.bundles if variants else ())})
        if version is None or (current and version == current.version):
            self._bundle_error = problem
            return
        others = dict(current.others) if current else {}
        snapshot = others.pop(version, None) or self._loader.open(version, self._placement_file.book)
        if snapshot is None:
            self._bundle_error = self._loader.reason(version)
            return
        if current:
            others[current.version] = current  # until it is known that no experiment needs it
        self._clock.start(snapshot.recommender.data_end, activated_at(self._settings))
        self._bundle_error = problem
        self._serve(snapshot, others)
        logger.info("bundle %s is being served", version)

    def _refresh_others(self, current: Snapshot) -> None:
        """Serve the bundles that variants of running experiments name beside the current one, and no others."""
        variants = self._variants()
        wanted = variants.bundles if variants else frozenset[str]()
        others = {version: each for version, each in current.others.items() if version in wanted}
        for version in sorted(wanted - {current.version, *others}):
            opened = self._loader.open(version, self._placement_file.book)
            if opened is not None:
                others[version] = opened
                logger.info("bundle %s is being served for variants of experiments", version)
        if others.keys() != current.others.keys() or self._placement_file.book is not self._served_book:
            self._serve(current, others)
        refused = (self._loader.reason(version) for version in sorted(wanted - {current.version, *others}))
        problems = [*(f"{reason}; its experiment waits for it" for reason in refused), self._excess(), self._pin()]
        self._variant_error = "; ".join(filter(None, problems)) or None

    def _variants(self) -> ListVariants | None:
        """The lists of experiments, without those that would need more bundles than may be served."""
        variants = self._placement_file.book.variants
        return None if variants is None else variants.within(self._settings.max_variant_bundles)

    def _excess(self) -> str | None:
        """Why experiments are not served, None if no other reason than their bundles keeps them."""
        every, served = self._placement_file.book.variants, self._variants()
        if every is None or served is None or every is served:
            return None
        waiting = ", ".join(each.definition.name for each in every.bundled if each not in served.bundled)
        return (
            f"experiments {waiting} are not served: all running ones name {len(every.bundles)} bundles, and"
            f" {variable_of('max_variant_bundles')} is {self._settings.max_variant_bundles}"
        )

    def _pin(self) -> str | None:
        """Keep the bundles of running experiments from clean-up; return why that is not possible."""
        variants = self._placement_file.book.variants
        if variants is None:
            return None
        try:
            if set(pinned(self._settings.models)) != variants.bundles:
                pin(self._settings.models, variants.bundles)
        except (BundleError, OSError) as error:
            return f"the bundles of experiments cannot be kept from clean-up: {error}"
        return None

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

    def _serve(self, current: Snapshot, others: Mapping[str, Snapshot]) -> None:
        """Serve bundles with the newest lists, without the experiments that wait for a bundle."""
        book, variants = self._placement_file.book, self._variants()
        self._served_book = book
        if variants is not None:
            served = variants.served_by({current.version, *others})
            book = book if served is book.variants else replace(book, variants=served)
        beside = {version: each.with_book(self._settings, book) for version, each in others.items()}
        self.current = current.with_book(self._settings, book).beside(beside)
        gc.freeze()  # else a full collection traverses the whole bundle and delays all requests
        release_freed_memory()
