"""The jobs of experiments: the live log with older tables, and the plan from the shop's past."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from recsys.core.errors import ConfigError
from recsys.data.dataset import read_info
from recsys.eventlog.identities import Identities
from recsys.eventlog.store import EventStore
from recsys.experiments.baseline import MetricBaseline, measure_baseline, past_as_log
from recsys.experiments.definitions import ExperimentDefinition
from recsys.experiments.outcomes import ExperimentLog, actions_of, read_experiment_log, shopper_table
from recsys.experiments.state import ExperimentBook

EVENTS_FILE = "events.parquet"


def load_log(store: EventStore, experiment: str, data: Path | None = None, timezone: str = "UTC") -> ExperimentLog:
    """Read an experiment's exposures and all outcomes.

    Args:
        store: the live log.
        experiment: its name.
        data: folder of tables with older events, for CUPED; None for the log alone.
        timezone: IANA zone of the shop; that of the tables if there are any.

    Raises:
        ConfigError: the log has no exposure to the experiment.
    """
    if data is None:
        log = read_experiment_log(store, experiment, timezone)
    else:
        info = read_info(data)
        log = read_experiment_log(store, experiment, info.timezone, pl.read_parquet(data / EVENTS_FILE), info.merges)
    if log.exposures.is_empty():
        raise ConfigError(
            f"the live log has no list of experiment {experiment!r}: start it, serve with --experiments, and analyze"
            " the log of that server"
        )
    return log


def baseline_from_tables(data: Path, definition: ExperimentDefinition) -> MetricBaseline:
    """Measure the primary metric on the last days of the shop's tables, as many as the longest duration."""
    info = read_info(data)
    actions = actions_of(pl.read_parquet(data / EVENTS_FILE), Identities(info.merges), info.timezone)
    days = float(definition.settings.max_days)
    return measure_baseline(shopper_table(past_as_log(actions, days)), definition.settings.primary, days)


def baseline_from_log(book: ExperimentBook, store: EventStore, name: str) -> MetricBaseline:
    """Measure the primary metric on the shoppers that an experiment has by now, scaled to all shoppers of its part."""
    definition, share = book.definition(name), book.state(name).share
    log = load_log(store, name)
    start, end = definition.settings.part
    found = measure_baseline(shopper_table(log), definition.settings.primary, max(log.days, 1.0))
    whole = found.shoppers_per_day / max(share * (end - start), 1e-9)
    return MetricBaseline(found.metric, found.value, found.variation, found.variance_reduction, whole, found.days)
