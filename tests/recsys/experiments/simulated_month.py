"""A live log of some days with an experiment."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from recsys.eventlog.sqlite import SqliteStore
from recsys.experiments.state import read_experiments
from training.simulated_experiment import simulate_days


def write_month(
    store: Path, experiments: Path, name: str, shares: list[float], ctr: dict[str, float], shoppers_per_day: int
) -> None:
    """Write one day with each share of the shoppers; see `simulate_days`."""
    running = read_experiments(experiments).as_running(name)
    with closing(SqliteStore(store)) as log:
        for share in shares:
            simulate_days(log, replace(running, share=share), 1, shoppers_per_day, ctr)
