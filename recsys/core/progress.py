"""Progress of long work, and a stopwatch for its stages."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final, Protocol, TypeVar

HALF_OF_STAGES: Final = 8
"""Stages after which work of unknown length is reported as half done."""

HALF_OF_STEPS: Final = 4
"""Steps after which a stage is reported as half done; their number is not known beforehand."""

REPORTS_PER_LOOP: Final = 20

T = TypeVar("T")


class Progress(Protocol):
    """Receives the progress of long work."""

    def __call__(self, stage: str, share: float = 0.0, /) -> None:
        """Report that a share of a stage, 0 to 1, is done."""


def silent(stage: str, share: float = 0.0) -> None:
    """Report nothing."""


def track(values: Iterable[T], stage: str, progress: Progress) -> Iterator[T]:
    """Yield the values of a loop and report how many are done.

    >>> list(track("ab", "letters", lambda stage, share=0.0: print(stage, share)))
    letters 0.0
    letters 0.5
    ['a', 'b']
    """
    known = list(values)
    every = max(1, len(known) // REPORTS_PER_LOOP)
    for position, value in enumerate(known):
        if position % every == 0:
            progress(stage, position / len(known))
        yield value


class Stopwatch:
    """Measures the time of each stage, and reports stages as shares of the whole; itself a `Progress` of stages.

    Args:
        progress: receives a stage with the share of the whole that is done.
        n_stages: how many stages the whole has; None where that is not known beforehand.

    Attributes:
        seconds: time of each stage that has ended.
    """

    def __init__(self, progress: Progress, n_stages: int | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._n_stages = n_stages
        self._stage = ""
        self._step = ("", 0.0)
        self._n_steps = 0
        self._since = time.perf_counter()

    def __call__(self, stage: str, share: float = 0.0) -> None:
        """Begin a stage, which ends the one before, or report the current one again."""
        if stage != self._stage:
            self._end()
            self._stage, self._step, self._n_steps = stage, ("", 0.0), 0
        self._report(stage, share)

    def step(self, label: str, share: float = 0.0) -> None:
        """Report a step of the current stage."""
        last, last_share = self._step
        if last and (label != last or share < last_share):
            self._n_steps += 1
        self._step = (label, share)
        done = self._n_steps + share
        self._report(f"{self._stage}: {label}", done / (done + HALF_OF_STEPS))

    def stop(self) -> dict[str, float]:
        """End the last stage and return the seconds of each."""
        self._end()
        self._progress("done", 1.0)
        return self.seconds

    def _report(self, text: str, share: float) -> None:
        done = len(self.seconds) + share
        self._progress(text, done / (self._n_stages or done + HALF_OF_STAGES))

    def _end(self) -> None:
        now = time.perf_counter()
        if self._stage:
            self.seconds[self._stage] = round(now - self._since, 3)
        self._stage, self._since = "", now
