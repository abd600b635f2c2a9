"""The shared objects of one app, which its calls work with."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path

from recsys.core.errors import StoreError
from recsys.data.null_words import spellings
from recsys.drafts.history import PlacementHistory
from recsys.eventlog.log_rows import LogRow
from recsys.eventlog.opening import create_log, is_database
from recsys.eventlog.store import AppendOutcome, EventStore, LogEntry, latest_time
from recsys.pipeline.catalog_map import CatalogMap
from recsys.pipeline.catalog_search import ItemSearch
from recsys.pipeline.pagination import KEY_BYTES, PageSeal
from serving.responses import IdGenerator
from serving.runtime.auth import KeyRing, read_keys
from serving.runtime.bundle_watcher import BundleWatcher
from serving.runtime.clock import Clock
from serving.runtime.draft_schedule import DraftSchedule
from serving.runtime.experiment_looks import ExperimentLooks
from serving.runtime.impressions import Impressions
from serving.runtime.key_limits import KeyLimits, Limits, open_counts
from serving.runtime.list_queue import ListQueue
from serving.runtime.list_stats import ListStats
from serving.runtime.merges import MergeLog
from serving.runtime.pace import Pace
from serving.runtime.placement_file import check_placements
from serving.runtime.plans import Plans
from serving.runtime.retention import Retention
from serving.runtime.settings import Settings
from serving.runtime.shop_state import ShopState
from serving.runtime.snapshot import Snapshot, limit_threads
from serving.runtime.telemetry import Telemetry
from serving.runtime.traces import Traces, check_installed, open_traces


@dataclass(frozen=True)
class AppContext:
    """The objects of one shop's server; another app in the same process shares none of them.

    Attributes:
        settings: as started.
        state: the documents of the shop: keys, placements, experiments.
        clock: the server's time.
        telemetry: metrics.
        watcher: the bundle that is being served.
        keys: the callers' keys, None if keys are not required.
        limits: what limited keys have used.
        impressions: records the lists that are shown.
        merges: the merges of users' ids.
        page_key: what page tokens are sealed with.
        plans: the push plan.
        lists: makes lists one after the other.
        traces: spans of calls, None if they are not traced.
        retention: removes old entries from the live log.
        history: the file of placements with its drafts, versions and audit log.
        schedule: activates drafts whose time has come.
        id_generator: makes the ids of responses.
        pace: the pauses of the tasks in the background.
    """

    settings: Settings
    state: ShopState
    clock: Clock
    telemetry: Telemetry
    watcher: BundleWatcher
    keys: KeyRing | None
    limits: KeyLimits
    impressions: Impressions
    merges: MergeLog
    plans: Plans
    lists: ListQueue
    retention: Retention
    history: PlacementHistory
    schedule: DraftSchedule
    traces: Traces | None
    page_key: bytes = field(repr=False)
    id_generator: IdGenerator
    pace: Pace

    @classmethod
    def of(cls, settings: Settings) -> AppContext:
        """Return the objects of a server that has no bundle yet.

        Raises:
            ConfigError: the keys or the push plan cannot be read, or there are none.
            StoreError: the database that has the state cannot be opened.
        """
        state = ShopState(settings)
        try:
            return cls._of(settings, state)
        except BaseException:
            state.close()
            raise

    @classmethod
    def _of(cls, settings: Settings, state: ShopState) -> AppContext:
        clock = Clock(settings.clock, settings.started_at, settings.logged_until)
        telemetry = Telemetry(settings.metrics_dir)
        keys = None if state.keys is None else KeyRing(state.keys)

        def open_log() -> EventStore:
            return app_context.store

        pace = Pace()
        lists = ListQueue(settings.queue_ms / 1000, lambda: limit_threads(settings))
        run_job = partial(lists.run, is_urgent=True)
        watcher = BundleWatcher(settings, clock, telemetry, open_log, run_job, pace.sleep, state)
        lists.may_use_loop = watcher.is_up_to_date
        traces = open_traces(settings.traces, lambda: watcher.current.version if watcher.current else None)
        if traces is not None:
            lists.timed = traces.timed
        impressions = Impressions(settings, telemetry, open_log, clock.received_at, pace.sleep)
        retention = Retention(settings, open_log, lambda: app_context.now())
        history = state.history()
        app_context = cls(
            settings,
            state,
            clock,
            telemetry,
            watcher,
            keys,
            KeyLimits(settings, telemetry),
            impressions,
            MergeLog(open_log, watcher.identities),
            Plans(settings.plan, open_log),
            lists,
            retention,
            history,
            DraftSchedule(settings, state, history, clock, watcher.catalog_schema, pace.sleep),
            traces,
            page_key_of(settings),
            IdGenerator(clock.received_at),
            pace,
        )
        return app_context

    @cached_property
    def store(self) -> EventStore:
        """The live log, opened on first use: by each process for itself, after any fork.

        Raises:
            StoreError: it cannot be opened.
        """
        return open_store(self.settings)

    @cached_property
    def stats(self) -> ListStats:
        """Counts of lists by day."""
        return ListStats(lambda: self.store)

    @cached_property
    def experiments(self) -> ExperimentLooks:
        """The course of each experiment."""
        return ExperimentLooks(lambda: self.store)

    @cached_property
    def comparing(self) -> asyncio.Lock:
        """Held while a draft is compared with what is served."""
        return asyncio.Lock()

    @cached_property
    def null_words(self) -> frozenset[str]:
        """The spellings of words that stand for nothing."""
        return spellings(real=self.settings.real_words)

    def item_search(self, snapshot: Snapshot) -> ItemSearch:
        """Return the search of a bundle's items; it is built when a bundle is searched for the first time."""
        search = self._searches.get(snapshot.version)
        if search is None:
            search = ItemSearch.of(snapshot.recommender.engine)
            self._searches.clear()
            self._searches[snapshot.version] = search
        return search

    @cached_property
    def _searches(self) -> dict[str, ItemSearch]:
        return {}

    def catalog_map(self, snapshot: Snapshot) -> CatalogMap:
        """Return the map of a bundle's items; it is made when it is asked for for the first time."""
        found = self._maps.get(snapshot.version)
        if found is None:
            found = CatalogMap.of(snapshot.recommender.engine)
            self._maps.clear()
            self._maps[snapshot.version] = found
        return found

    @cached_property
    def _maps(self) -> dict[str, CatalogMap]:
        return {}

    def close(self) -> None:
        """End the thread, let go of the bundle, store the entries that wait, and close the live log if it is open."""
        self.lists.close()
        self.watcher.current = None
        self.limits.close()
        if self.traces is not None and self.settings.workers > 1:  # a worker runs no `atexit`
            self.traces.flush()
        opened = self.__dict__.pop("store", None)
        if opened is not None:
            opened.close()
        self.state.close()

    def now(self) -> int:
        """Return the time for entries of the log, seconds since 1970; a data clock must have been started by a bundle.

        Raises:
            NotReadyError: the data clock has not been started.
        """
        if self.clock.kind == "data" and self.watcher.current is None:
            self.watcher.snapshot()
        return self.clock.now()

    def page_seal(self) -> PageSeal:
        """Return what page tokens are sealed with now."""
        return PageSeal(self.page_key, int(self.clock.received_at()))

    async def stored(self, entries: Sequence[LogEntry | LogRow]) -> list[AppendOutcome]:
        """Store entries; they are durable once this returns.

        Raises:
            StoreError: nothing was stored.
        """
        return await asyncio.wrap_future(self.store.submit(entries))


def with_start_time(settings: Settings) -> Settings:
    """Read what workers need once before anything starts: an error there would only kill the workers.

    Returns:
        The settings with the times that the workers' clocks start from, and with the secret of their page tokens.
    """
    check_installed(settings.traces)
    with closing(ShopState(settings)) as state:
        if state.keys is not None:
            KeyRing(state.keys)
            if not all(Limits.of(key, settings).is_none for key in read_keys(state.keys)):
                open_counts(settings).close()
        check_placements(settings, state.placements, state.experiments)
    store = open_store(settings)
    try:
        logged_until = latest_time(store)
        page_key = settings.page_key or store.shared_secret() or secrets.token_hex()  # the same in all workers
    finally:
        store.close()
    return settings.model_copy(update={"started_at": time.time(), "logged_until": logged_until, "page_key": page_key})


def page_key_of(settings: Settings) -> bytes:
    """Return the key of page tokens: from the secret of the settings, else a new one."""
    secret = secrets.token_bytes() if settings.page_key is None else settings.page_key.encode(errors="surrogateescape")
    return blake2b(secret, digest_size=KEY_BYTES).digest()


def open_store(settings: Settings) -> EventStore:
    """Open the live log that the settings name, and create it if it does not exist.

    Raises:
        ConfigError: the address of a database is wrong, or its driver is not installed.
        StoreError: naming the file or the database, the reason and the remedy.
    """
    location = settings.log_location
    try:
        if not is_database(location):
            Path(location).parent.mkdir(parents=True, exist_ok=True)
        return create_log(location)
    except (OSError, StoreError) as error:
        raise StoreError(f"the live log cannot be opened ({error}): choose another one with `--store`") from error
