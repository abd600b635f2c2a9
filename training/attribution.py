"""The job that says what came of the lists that a server showed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from recsys.evaluation.attribution import Attribution, attribution
from training.logbook import open_log


def attribute(path: Path, window_days: float) -> Attribution:
    """Read a live log, a running server's too, and attribute its events to its lists.

    Raises:
        ConfigError: there is no log, or the window is no length of time.
        StoreError: the log cannot be read.
    """
    with closing(open_log(path)) as store:
        return attribution(store, window_days)
