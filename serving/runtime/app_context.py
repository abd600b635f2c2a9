"""What the calls of one app work with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from recsys.core.errors import StoreError
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import AppendOutcome, EventStore, LogEntry
from serving.responses import IdGenerator
from serving.runtime.auth import KeyRing
from serving.runtime.bundle_watcher import BundleWatcher
from serving.runtime.clock import Clock
from serving.runtime.impressions import Impressions
from serving.runtime.settings import Settings
from serving.runtime.telemetry import Telemetry


@dataclass(frozen=True)
class AppContext:
    """One shop's server: nothing of it is shared with another app in the same process.

    Attributes:
        settings: as started.
        clock: what time it is.
        telemetry: what is counted.
        state: the bundle in service.
        keys: who may do what, None where keys are not asked for.
        impressions: what was shown to whom.
        tickets: ids of answers.
    """

    settings: Settings
    clock: Clock
    telemetry: Telemetry
    state: BundleWatcher
    keys: KeyRing | None
    impressions: Impressions
    tickets: IdGenerator = field(default_factory=IdGenerator)

    @classmethod
    def of(cls, settings: Settings) -> AppContext:
        """A service with no bundle yet.

        Raises:
            ConfigError: the file of keys cannot be read, or holds none.
        """
        clock = Clock(settings.clock, settings.started_at, settings.logged_until)
        telemetry = Telemetry(settings.metrics_dir)
        keys = None if settings.keys is None else KeyRing(settings.keys)
        state = BundleWatcher(settings, clock, telemetry, lambda: service.store)
        impressions = Impressions(settings, telemetry, lambda: service.store, clock.received_at)
        service = cls(settings, clock, telemetry, state, keys, impressions)
        return service

    @cached_property
    def store(self) -> EventStore:
        """The live log, opened where it is first asked for: in each process for itself, after any fork.

        Raises:
            StoreError: it cannot be opened.
        """
        return open_store(self.settings)

    def close(self) -> None:
        """Store what waits, and let go of the live log if it was opened."""
        opened = self.__dict__.pop("store", None)
        if opened is not None:
            opened.close()

    def now(self) -> int:
        """What time it is for whoever writes; a data clock must have been started by a bundle first.

        Raises:
            NotReadyError: it has not.
        """
        if self.clock.kind == "data" and self.state.current is None:
            self.state.snapshot()
        return self.clock.now()

    async def stored(self, entries: Sequence[LogEntry]) -> list[AppendOutcome]:
        """Store entries durably; returns once they are.

        Raises:
            StoreError: nothing was stored.
        """
        return await asyncio.wrap_future(self.store.submit(entries))


def open_store(settings: Settings) -> EventStore:
    """Open the live log that the settings name, made if there is none.

    Raises:
        StoreError: naming the file, the reason and the remedy.
    """
    path = settings.store_path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteStore(path)
    except (OSError, StoreError) as error:
        raise StoreError(f"the live log cannot be kept ({error}); `--store PATH` names another place") from error
