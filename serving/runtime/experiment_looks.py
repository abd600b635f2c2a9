"""The course of each experiment by the live log, computed one at a time and kept until the log goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.exceptions import HTTPException

from recsys.eventlog.store import EventStore
from recsys.experiments.definitions import ExperimentDefinition
from recsys.experiments.looks import DailyLook, coarse_looks
from recsys.experiments.outcomes import read_experiment_log
from recsys.pipeline.recommender import Recommender

BATCH: Final = 500
"""Entries to read at a time: few, as lists wait for a thread that decodes them."""

MAX_LOOKS: Final = 60
RETRY_S: Final = 5


@dataclass(frozen=True)
class ExperimentCourse:
    """What the live log has of one experiment.

    Attributes:
        log_seq: number of the last entry that was read.
        n_exposures: lists, and messages, of the experiment.
        first_at: time of the first one; None without any.
        looks: the earliest first; the last one is of the whole log; none without exposures.
        is_complete: whether all looks were computed in time.
    """

    log_seq: int
    n_exposures: int
    first_at: datetime | None
    looks: tuple[DailyLook, ...]
    is_complete: bool


class ExperimentLooks:
    """Looks at experiments; safe to call from several threads.

    Args:
        open_log: returns the live log.
    """

    def __init__(self, open_log: Callable[[], EventStore]) -> None:
        self._open_log = open_log
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[tuple[object, ...], ExperimentCourse]] = {}

    def course(
        self, definition: ExperimentDefinition, retired: tuple[str, ...], shop: Recommender, seconds: float
    ) -> ExperimentCourse:
        """Return the course of an experiment; the one that is kept if nothing has changed since.

        Args:
            definition: variants, metrics and rules.
            retired: variants that are no longer compared.
            shop: the bundle, which has the time zone and the merges of the tables.
            seconds: how long it may take: the looks that are computed by then are returned, the whole log first.

        Raises:
            HTTPException: 503 if another experiment is being analyzed, or the log cannot be read in time.
            ConfigError: the purchases have prices of several currencies.
            StoreError: the log cannot be read.
        """
        log = self._open_log()
        state = log.last_seq(), definition, retired, shop.version
        kept = self._kept.get(definition.name)
        if kept is not None and kept[0] == state and kept[1].is_complete:
            return kept[1]
        if not self._lock.acquire(blocking=False):
            raise HTTPException(
                503, "another experiment is being analyzed: try again later", {"Retry-After": str(RETRY_S)}
            )
        try:
            found = _course(log, definition, retired, shop, seconds)
        finally:
            self._lock.release()
        self._kept[definition.name] = state, found
        return found


def _course(
    log: EventStore, definition: ExperimentDefinition, retired: tuple[str, ...], shop: Recommender, seconds: float
) -> ExperimentCourse:
    deadline = time.monotonic() + seconds

    def check_time(_stage: str, share: float = 0.0) -> None:
        if share < 1 and time.monotonic() > deadline:
            raise HTTPException(
                503,
                f"the live log could not be read within {seconds:g} s ({share:.0%} of it was): allow more `seconds`, or"
                " run `recsys experiments analyze` on the machine of the log",
            )

    last_seq, info = log.last_seq(), shop.engine.dataset_info
    merges = dict(zip(info.merged, info.merged_into, strict=True))
    found = read_experiment_log(log, definition.name, info.timezone, None, merges, batch=BATCH, on_progress=check_time)
    if found.exposures.is_empty():
        return ExperimentCourse(last_seq, 0, None, (), True)
    looks: list[DailyLook] = []
    is_complete = True
    for look in coarse_looks(definition, found, retired, MAX_LOOKS):
        looks.append(look)
        is_complete = time.monotonic() < deadline
        if not is_complete:
            break
    looks.sort(key=lambda look: look.until)
    return ExperimentCourse(
        last_seq, found.exposures.height, found.exposures["timestamp"][0], tuple(looks), is_complete
    )
