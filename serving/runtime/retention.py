"""Retention: events and impressions of the live log are removed once they are older than the settings allow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final

from recsys.core.errors import RecsysError
from recsys.data.dataset import DAY_S
from recsys.eventlog.store import EntryType, EventStore
from serving.runtime.settings import Settings

INTERVAL_S: Final = 3600.0
"""How long an entry may stay after its time is over."""

logger = logging.getLogger(__name__)


class Retention:
    """Removes old entries, each hour; every worker may do so, as nothing is left for the second.

    Args:
        settings: `keep_events_days` and `keep_impressions_days`; None keeps entries forever.
        open_log: returns the live log of this process.
        now: returns the time of the entries' clock, seconds since 1970.
    """

    def __init__(self, settings: Settings, open_log: Callable[[], EventStore], now: Callable[[], int]) -> None:
        self._settings, self._open_log, self._now = settings, open_log, now

    async def run(self) -> None:
        """Remove old entries, forever; returns if everything is kept."""
        while any(self._limits()):
            try:
                await asyncio.to_thread(self.remove)
            except RecsysError as error:
                logger.warning("old entries stay in the live log until the next try: %s", error)
            await asyncio.sleep(INTERVAL_S)

    def remove(self) -> dict[EntryType, int]:
        """Remove what is too old now, and return the numbers of removed entries by type.

        Raises:
            NotReadyError: the data clock has not been started.
            StoreError: the log cannot be written.
        """
        now = self._now()
        removed = {kind: self._open_log().delete_before(now - days * DAY_S, (kind,)) for kind, days in self._limits()}
        if any(removed.values()):
            logger.info("retention removed %s from the live log", removed)
        return removed

    def _limits(self) -> Iterator[tuple[EntryType, float]]:
        """Yield the types that are not kept forever, with their days."""
        if (days := self._settings.keep_events_days) is not None:
            yield "event", days
        if (days := self._settings.keep_impressions_days) is not None:
            yield "impression", days
