"""Churn on the report window: the model that training chooses, against the recency rule and each other candidate.

    python -m benchmarks.churn --data data/demo --json churn.json

Everything is fitted on the events before the window. A buyer churns who does not order in the window, whose length is
the horizon. Intervals are 95 %, by bootstrap over buyers. The processor time is that of all segments.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.results import Result, command
from recsys.data.catalog import read_catalog
from recsys.data.dataset import DAY_S, Dataset, load_dataset
from recsys.evaluation.splits import find_window
from recsys.segments.churn import CANDIDATES, ChurnModel, fit_candidate, past_moment
from recsys.segments.churn_evaluation import ChurnEvaluation, evaluate_candidates
from recsys.segments.config import SegmentConfig
from recsys.segments.table import created_seconds, fit_segments
from recsys.segments.visits import dataset_visits

MIN_AUC = 0.85
MAX_SECONDS = 5.0
N_DRAWS = 1000


def evaluate(dataset: Dataset, config: SegmentConfig) -> tuple[ChurnModel, ChurnEvaluation, float]:
    """Fit on the past of the report window, and compare the candidates on the window."""
    days = int(config.churn.horizon_days)
    window = find_window(dataset, "report", days)
    before = window.start - 1
    known = dataset.until(window.start)
    started = time.process_time()
    model = fit_segments(known, read_catalog(dataset.catalog), config, np.random.default_rng(0)).churn
    seconds = time.process_time() - started
    visits = dataset_visits(dataset, config.value.min_discount)
    created_at = created_seconds(dataset.profiles["created_at"])
    moment = past_moment(visits, created_at, before, (window.stop - window.start) / DAY_S)
    buyers = moment.stats.n_orders > 0
    past = dataset_visits(known, config.value.min_discount)
    predicted = {}
    for name in CANDIDATES:
        fitted = fit_candidate(name, past, created_at, before, config.churn, np.random.default_rng(0))
        predicted[name] = 1 - fitted.repeat_probability(moment.stats)[buyers]
    predicted["chosen"] = 1 - model.repeat_probability(moment.stats)[buyers]
    return model, evaluate_candidates(predicted, ~moment.has_ordered, np.random.default_rng(1), N_DRAWS), seconds


def measure(options: argparse.Namespace) -> list[Result]:
    """Measure AUC, the gain over the recency rule, log loss and calibration of each candidate."""
    config = SegmentConfig()
    if options.horizon_days is not None:
        config = replace(config, churn=replace(config.churn, horizon_days=options.horizon_days))
    model, found, seconds = evaluate(load_dataset(options.data), config)
    results = []
    for n, name in enumerate(found.names):
        values = {
            "auc": found.auc[n],
            "auc_low": found.auc_low[n],
            "auc_high": found.auc_high[n],
            "gain_low": found.gain_low[n],
            "gain_high": found.gain_high[n],
            "log_loss": found.log_loss[n],
        }
        case, goals = name, {}
        if name == "chosen":
            case = f"chosen: {model.serves}"
            values |= {
                "calibration_error": found.calibration_error,
                "churn_rate": found.churn_rate,
                "fit_cpu_s": seconds,
            }
            goals = {"auc": (">=", MIN_AUC), "gain_low": (">=", 0.0), "fit_cpu_s": ("<=", MAX_SECONDS)}
        results.append(Result("churn", case, values, goals))
    return results


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of tables")
    parser.add_argument("--horizon-days", type=float, help="length of the window; that of the settings if not given")


if __name__ == "__main__":
    command("benchmarks.churn", __doc__, [add_options], measure)
