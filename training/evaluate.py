"""The job that evaluates the lists: models fitted on the past of a window, and measured on the purchases in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from recsys.core.errors import ConfigError
from recsys.core.progress import Progress, Stopwatch, silent
from recsys.data.dataset import load_dataset
from recsys.evaluation.curves import ScoreBin, TradeoffPoint, calibration_bins, sweep_tail_discount
from recsys.evaluation.experiment import Experiment, QuestionResults
from recsys.evaluation.protocols import PROTOCOLS, InsufficientDataError
from recsys.evaluation.splits import WindowName, find_window
from recsys.evaluation.summary import EvaluationSummary, summarize
from recsys.fitting.engine import EngineConfig
from training.choices import DEFAULT_HOLDOUT_DAYS
from training.evaluation_report import EvaluationReport

WINDOWS: Final[tuple[WindowName, ...]] = ("report", "tune")


def evaluate(
    data_dir: Path,
    config: EngineConfig,
    *,
    window: WindowName = "report",
    holdout_days: int = DEFAULT_HOLDOUT_DAYS,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    with_curves: bool = False,
    progress: Progress = silent,
) -> EvaluationReport:
    """Measure the placements and the baselines on a window of a shop's own past.

    Models are fitted on the data before the window. Data after the window is not read, so tuning does not use the
    report window.

    Args:
        data_dir: the folder that `ingest` wrote.
        config: settings of the models.
        window: `report` for the last days of the data, `tune` for the days before them.
        holdout_days: length of the window in local days, at least 1.
        protocols: names from `PROTOCOLS`.
        with_curves: also sweep the tail discount and bin the scores, for `discovery` and `next_basket`.
        progress: receives the stages.

    Raises:
        ConfigError: an unknown protocol or window, or a length below 1.
        DataError: the tables cannot be used, or have no data before the window.
    """
    _check(window, holdout_days, protocols)
    curves = ["curves"] if with_curves else []
    stages = ("reading the tables", "fitting", *protocols, *curves)
    stopwatch = Stopwatch(progress, len(stages))
    stopwatch(stages[0])
    dataset = load_dataset(data_dir)
    span = find_window(dataset, window, holdout_days)
    dataset = dataset.until(span.stop)
    stopwatch(stages[1])
    experiment = Experiment.cut(dataset, span, config, stopwatch.step)
    outcomes, results, skipped = _run(experiment, protocols, stopwatch)
    report = EvaluationReport(
        window, span, dataset.timezone, outcomes, results, skipped, stopwatch.seconds, dataset.users, dataset.items
    )
    engine = experiment.engine
    report = replace(report, importances=engine.rankers.next.importances, orders=engine.blends.sentences())
    if with_curves:
        stopwatch("curves")
        report = replace(report, dial=_tail_discounts(experiment, results), score_bins=_score_bins(experiment, results))
    stopwatch.stop()
    return report


def _run(
    experiment: Experiment, protocols: Sequence[str], progress: Progress
) -> tuple[dict[str, tuple[EvaluationSummary, ...]], dict[str, tuple[QuestionResults, ...]], dict[str, str]]:
    outcomes: dict[str, tuple[EvaluationSummary, ...]] = {}
    results: dict[str, tuple[QuestionResults, ...]] = {}
    skipped: dict[str, str] = {}
    for protocol in protocols:
        progress(protocol)
        found: list[QuestionResults] = []
        try:
            found.extend(PROTOCOLS[protocol](experiment))
        except InsufficientDataError as error:
            skipped[protocol] = str(error)
        rng = np.random.default_rng(0)
        outcomes[protocol] = tuple(summarize(question, rng) for question in found)
        results[protocol] = tuple(found)
    return outcomes, results, skipped


def _tail_discounts(experiment: Experiment, results: Mapping[str, Sequence[QuestionResults]]) -> list[TradeoffPoint]:
    return [point for question in results.get("discovery", ()) for point in sweep_tail_discount(experiment, question)]


def _score_bins(experiment: Experiment, results: Mapping[str, Sequence[QuestionResults]]) -> list[ScoreBin]:
    queries = [question.task for question in results.get("next_basket", ()) if question.task is not None]
    return [found for task in queries for found in calibration_bins(experiment, task)]


def _check(window: str, holdout_days: int, protocols: Sequence[str]) -> None:
    if window not in WINDOWS:
        raise ConfigError(f"window is {window!r}, expected one of {', '.join(WINDOWS)}")
    if holdout_days < 1:
        raise ConfigError(f"holdout_days is {holdout_days}, expected at least 1 day")
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise ConfigError(f"{protocol!r} is not a protocol: expected some of {', '.join(PROTOCOLS)}")
    if len(set(protocols)) != len(protocols) or not protocols:
        raise ConfigError(f"protocols are {', '.join(protocols) or 'none'}, expected at least one, each once")
