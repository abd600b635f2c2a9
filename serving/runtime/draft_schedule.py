"""Activates drafts of placements whose time has come, and notes edits of the file by hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import polars as pl

from recsys.core.errors import StoreError
from recsys.core.timestamps import from_micros, utc_text
from recsys.drafts.check import lists_of_text
from recsys.drafts.history import PlacementHistory
from serving.runtime.clock import Clock
from serving.runtime.settings import Settings
from serving.runtime.shop_state import ShopState

logger = logging.getLogger(__name__)


class DraftSchedule:
    """Looks at the file of placements and its drafts now and then; every worker does, one of them acts.

    Args:
        settings: as started.
        state: has the experiments.
        history: the file of placements and its drafts.
        clock: the server's time.
        catalog_schema: returns the columns of the catalog, None before the first bundle.
        sleep: the pauses between looks.
    """

    def __init__(
        self,
        settings: Settings,
        state: ShopState,
        history: PlacementHistory,
        clock: Clock,
        catalog_schema: Callable[[], Mapping[str, pl.DataType] | None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings, self._state, self._history, self._clock = settings, state, history, clock
        self._catalog_schema, self._sleep = catalog_schema, sleep
        self._problem = ""

    async def run(self) -> None:
        """Look forever."""
        while True:
            try:
                await asyncio.to_thread(self.step)
                self._problem = ""
            except StoreError as error:
                self._report(str(error))
            except Exception as error:  # a fault of one moment must not end the schedule
                logger.exception("drafts of placements could not be looked at: %s", error)
            await self._sleep(self._settings.poll_seconds)

    def step(self) -> None:
        """Look once.

        Raises:
            StoreError: a file cannot be read or written.
        """
        at = self.machine_time()
        self._history.observe(at)
        for entry in self._history.activate_due(self._clock.now(), self.check, at):
            logger.info("the scheduled draft %s is activated, placements %s", entry.subject, entry.after)

    def check(self, text: bytes) -> None:
        """Refuse a text of placements that cannot be served.

        Raises:
            ConfigError: with everything that is wrong.
        """
        lists_of_text(text, "placements", self._state.experiments, self._catalog_schema())

    def machine_time(self) -> str:
        """Return the machine's time in RFC 3339, for the audit log."""
        return utc_text(from_micros(self._clock.received_at() * 1e6))

    def _report(self, problem: str) -> None:
        """Log a problem when it begins."""
        if problem != self._problem:
            logger.error("drafts of placements are not looked at: %s", problem)
        self._problem = problem
