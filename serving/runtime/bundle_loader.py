"""Opens bundles to be served; one that is refused is tried again at growing intervals, because it may be repaired."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from recsys.bundles.registry import CURRENT
from recsys.core.errors import RecsysError
from recsys.rules.placement_registry import PlacementRegistry
from serving.runtime.settings import Settings
from serving.runtime.snapshot import Snapshot, open_snapshot, warm_up
from serving.runtime.telemetry import Telemetry

logger = logging.getLogger(__name__)

MAX_RETRY_S = 60.0


@dataclass(frozen=True)
class Refusal:
    """A bundle that could not be opened.

    Attributes:
        reason: why, for people.
        wait_s: until the next try.
        retry_at: time of the next try, by a clock that never goes back.
    """

    reason: str
    wait_s: float
    retry_at: float


class BundleLoader:
    """Opens bundles, the current one as those of experiments.

    Args:
        settings: as started.
        telemetry: metrics.
        catch_up: applies all entries of the live log to a snapshot.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry, catch_up: Callable[[Snapshot], object]) -> None:
        self._settings, self._telemetry, self._catch_up = settings, telemetry, catch_up
        self._refusals: dict[str, Refusal] = {}

    def open(self, version: str, book: PlacementRegistry) -> Snapshot | None:
        """Return a bundle that is ready to be served; None if it is refused, see `reason`.

        Args:
            version: of the bundle.
            book: the lists that it is to serve.
        """
        refusal = self._refusals.get(version)
        if refusal is not None and time.monotonic() < refusal.retry_at:
            return None
        try:
            snapshot = open_snapshot(self._settings, version)
            gc.freeze()  # a long log causes many collections, which would traverse the whole bundle
            self._catch_up(snapshot)  # before it is served: the first read may take long
            if snapshot.recommender.live is not None:
                snapshot.recommender.live.settle()
            book.check(snapshot.recommender.current.items_table.schema)
            snapshot = replace(snapshot, recommender=replace(snapshot.recommender, book=book))
            warm_up(snapshot.recommender)
        except Exception as error:  # no fault of a new bundle may stop the others
            self._refuse(version, error)
            return None
        self._refusals.pop(version, None)
        self._telemetry.opened("served")
        return snapshot

    def reason(self, version: str) -> str | None:
        """Return why a bundle is refused, None if it is not."""
        refusal = self._refusals.get(version)
        return None if refusal is None else f"bundle {version} is refused: {refusal.reason}"

    def forget(self, keep: Collection[str] = ()) -> None:
        """Forget the refusals of all bundles but some: they may be tried at once."""
        self._refusals = {version: each for version, each in self._refusals.items() if version in keep}

    def _refuse(self, version: str, error: Exception) -> None:
        known = isinstance(error, RecsysError)
        before = self._refusals.get(version)
        wait_s = self._settings.poll_seconds if before is None else min(2 * before.wait_s, MAX_RETRY_S)
        reason = (
            str(error) if known else f"{type(error).__name__} while it was opened; the server's log has the traceback"
        )
        self._refusals[version] = Refusal(reason, wait_s, time.monotonic() + wait_s)
        self._telemetry.opened("refused")
        logger.error("%s", self.reason(version), exc_info=None if known else error)


def activated_at(settings: Settings) -> float:
    """Return when the current bundle was activated, seconds since 1970; 0 if that cannot be read."""
    try:
        return (settings.models / CURRENT).stat().st_mtime
    except OSError:
        return 0.0
