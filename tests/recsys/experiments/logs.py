"""Logs of experiments for tests: exposures and orders of many shoppers, without a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recsys.experiments.assignment import OUTSIDE, RunningExperiment, variant_of
from recsys.experiments.definitions import ExperimentDefinition, PermanentHoldout
from recsys.experiments.outcomes import ACTIONS, EXPOSURES, ExperimentLog

START = datetime(2026, 11, 1, tzinfo=UTC)


def simulated_log(
    definition: ExperimentDefinition, n_shoppers: int, clicks: dict[str, float], n_days: int = 14, seed: int = 3
) -> ExperimentLog:
    """One list of four items per shopper, the first clicked at a rate by variant; one order of 20 by every fifth."""
    rng = np.random.default_rng(seed)
    running = RunningExperiment(definition, 1.0, PermanentHoldout())
    exposures, actions = [], []
    for n in range(n_shoppers):
        unit = f"u{n}"
        variant = variant_of(running, unit)
        if variant == OUTSIDE:
            continue
        at = START + timedelta(days=n_days * n / n_shoppers)
        exposures.append((unit, variant, at, f"r{n}", ["a", "b", "c", "d"]))
        if rng.random() < clicks[variant]:
            actions.append((unit, "view_item", at + timedelta(minutes=1), "a", f"r{n}", None, None, None, None))
        if rng.random() < 0.2:
            at += timedelta(minutes=5)
            actions.append((unit, "purchase", at, "a", None, f"b{n}", 2.0, 10.0 + rng.normal(), "EUR"))
    return ExperimentLog(pl.DataFrame(exposures, EXPOSURES, orient="row"), pl.DataFrame(actions, ACTIONS, orient="row"))
