"""The job that judges: a shop cut at a moment, the models fitted on its past, and how well they foretold the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.ids import IdMap
from recsys.core.metrics import Interval
from recsys.core.progress import Progress, Stopwatch, silent
from recsys.data.dataset import load_dataset
from recsys.evaluation.curves import ScoreBin, TradeoffPoint, calibration_bins, sweep_tail_discount
from recsys.evaluation.experiment import Experiment, QuestionResults
from recsys.evaluation.protocols import PROTOCOLS, InsufficientDataError
from recsys.evaluation.splits import Window, WindowName, find_window
from recsys.evaluation.summary import EvaluationSummary, summarize
from recsys.evaluation.tasks import ANONYMOUS
from recsys.fitting.engine import EngineConfig
from training.choices import DEFAULT_HOLDOUT_DAYS

WINDOWS: Final[tuple[WindowName, ...]] = ("report", "tune")

LIST_COLUMNS: Final = {
    "protocol": pl.String(),
    "method": pl.String(),
    "query": pl.Int64(),
    "user_id": pl.String(),
    "seed_item_id": pl.String(),
    "as_of": pl.Datetime("us", "UTC"),
    "rank": pl.Int32(),
    "item_id": pl.String(),
}
RELEVANT_COLUMNS: Final = {"protocol": pl.String(), "query": pl.Int64(), "item_id": pl.String()}


@dataclass(frozen=True)
class EvaluationReport:
    """How good the lists are.

    Attributes:
        window_name: `report` or `tune`.
        window: the judged span; models knew only what came before it.
        timezone: the shop's.
        outcomes: by protocol, the figures of each of its questions.
        judged: by protocol, what they were worked out from: queries, lists and a value for each.
        skipped: by protocol, why a question could not be asked; its other questions stand.
        seconds: by stage.
        users: ids of `judged`'s users.
        items: ids of `judged`'s items.
        dial: what `discover` comes to at each setting of its discount, and others beside it; empty unless asked for.
        score_bins: how often what `for_you` listed was taken, by its score; empty unless asked for.
        importances: by feature of the learned ranker, its share of what the ranker gains; empty where none is fitted.
    """

    window_name: WindowName
    window: Window
    timezone: str
    outcomes: Mapping[str, tuple[EvaluationSummary, ...]]
    judged: Mapping[str, tuple[QuestionResults, ...]]
    skipped: Mapping[str, str]
    seconds: Mapping[str, float]
    users: IdMap
    items: IdMap
    dial: Sequence[TradeoffPoint] = ()
    score_bins: Sequence[ScoreBin] = ()
    importances: Mapping[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """`protocol → method → metric → {value, low, high}`."""
        found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
        for protocol, outcomes in self.outcomes.items():
            for outcome in outcomes:
                for method, metrics in outcome.metrics.items():
                    rows = found.setdefault(protocol, {}).setdefault(method, {})
                    rows.update({metric: _plain(interval) for metric, interval in metrics.items()})
        return found

    def about(self) -> dict[str, Any]:
        """What the figures rest on: the window, queries, comparisons with baselines, segments and times."""
        return {
            "window": {"name": self.window_name, **_moments(self.window)},
            "timezone": self.timezone,
            "skipped": dict(self.skipped),
            "seconds": dict(self.seconds),
            "questions": {
                protocol: [_question(outcome) for outcome in outcomes] for protocol, outcomes in self.outcomes.items()
            },
        }


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
    """Judge the placements and the baselines on a window of a shop's own past.

    Models are fitted on what came before the window; nothing after the window is read at all, so that tuning cannot
    touch the report window.

    Args:
        data_dir: the folder that `ingest` wrote.
        config: settings of the models.
        window: the last days of the data to report on, the days before them to tune on.
        holdout_days: length of a window, in local days, >= 1.
        protocols: which to run, from `PROTOCOLS`.
        with_curves: also turn the long-tail dial and bin the scores, where `discovery` and `next_basket` are run.
        progress: told of each stage.

    Raises:
        ConfigError: an unknown protocol or window, or a length that cannot be.
        DataError: the tables cannot be used, or hold nothing before the window.
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
    outcomes, judged, skipped = _run(experiment, protocols, stopwatch)
    report = EvaluationReport(
        window, span, dataset.timezone, outcomes, judged, skipped, stopwatch.seconds, dataset.users, dataset.items
    )
    report = replace(report, importances=experiment.engine.rankers.next.importances)
    if with_curves:
        stopwatch("curves")
        report = replace(report, dial=_dial(experiment, judged), score_bins=_score_bins(experiment, judged))
    stopwatch.stop()
    return report


def write_report(report: EvaluationReport, path: Path) -> Path:
    """Write the figures as JSON, and what they rest on beside it; returns the path of the latter."""
    beside = path.with_suffix(".about.json")
    for place, content in ((path, report.figures()), (beside, report.about())):
        place.write_text(json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return beside


def write_lists(report: EvaluationReport, path: Path) -> Path:
    """Write the judged lists as Parquet, and the relevant items beside them; returns the path of the latter.

    A query's number is its own within its protocol, the same in both files and for every method.
    """
    beside = path.with_suffix(".relevant.parquet")
    _table(_list_frames(report), LIST_COLUMNS).write_parquet(path)
    _table(_relevant_frames(report), RELEVANT_COLUMNS).write_parquet(beside)
    return beside


def _run(
    experiment: Experiment, protocols: Sequence[str], progress: Progress
) -> tuple[dict[str, tuple[EvaluationSummary, ...]], dict[str, tuple[QuestionResults, ...]], dict[str, str]]:
    outcomes: dict[str, tuple[EvaluationSummary, ...]] = {}
    judged: dict[str, tuple[QuestionResults, ...]] = {}
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
        judged[protocol] = tuple(found)
    return outcomes, judged, skipped


def _dial(experiment: Experiment, judged: Mapping[str, Sequence[QuestionResults]]) -> list[TradeoffPoint]:
    return [point for question in judged.get("discovery", ()) for point in sweep_tail_discount(experiment, question)]


def _score_bins(experiment: Experiment, judged: Mapping[str, Sequence[QuestionResults]]) -> list[ScoreBin]:
    asked = [question.task for question in judged.get("next_basket", ()) if question.task is not None]
    return [found for task in asked for found in calibration_bins(experiment, task)]


def _check(window: str, holdout_days: int, protocols: Sequence[str]) -> None:
    if window not in WINDOWS:
        raise ConfigError(f"window is {window!r}, expected one of {', '.join(WINDOWS)}")
    if holdout_days < 1:
        raise ConfigError(f"holdout_days is {holdout_days}, expected at least 1 day")
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise ConfigError(f"{protocol!r} is no protocol: choose from {', '.join(PROTOCOLS)}")
    if len(set(protocols)) != len(protocols) or not protocols:
        raise ConfigError(f"protocols are {', '.join(protocols) or 'none'}; name each once, and at least one")


def _plain(interval: Interval) -> dict[str, float]:
    return {name: value for name, value in asdict(interval).items() if math.isfinite(value)}


def _moments(window: Window) -> dict[str, str]:
    return {name: datetime.fromtimestamp(second, UTC).isoformat() for name, second in vars(window).items()}


def _question(outcome: EvaluationSummary) -> dict[str, Any]:
    """A question without the figures that the report gives already."""
    return {
        "main": outcome.primary_metric,
        "ours": list(outcome.treatments),
        "best_baseline": outcome.best_baseline(),
        "n_queries": outcome.n_queries,
        "n_units": outcome.n_units,
        "comparisons": [_flat(comparison) for comparison in outcome.comparisons],
        "segments": [_flat(segment) for segment in outcome.segments],
    }


def _flat(row: Any) -> dict[str, Any]:
    return {name: _plain(value) if isinstance(value, Interval) else value for name, value in vars(row).items()}


def _table(frames: Iterable[pl.DataFrame], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=columns), *frames])


def _numbered(report: EvaluationReport) -> Iterator[tuple[str, int, QuestionResults]]:
    """Protocol, the number of its question's first query, and the question."""
    for protocol, questions in report.judged.items():
        first = 0
        for question in questions:
            yield protocol, first, question
            first += question.n_queries


def _list_frames(report: EvaluationReport) -> Iterator[pl.DataFrame]:
    user_ids, item_ids = _column(report.users), _column(report.items)
    for protocol, first, question in _numbered(report):
        for method, lists in question.lists.items():
            query, rank = np.nonzero(lists >= 0)
            task = question.task
            assert task is not None, "lists answer queries"
            yield pl.DataFrame(
                {
                    "query": first + query,
                    "user_id": _named(user_ids, task.user_idx[query]),
                    "seed_item_id": _named(item_ids, task.seed[query]),
                    "as_of": pl.Series(task.as_of[query] * 1_000_000).cast(pl.Datetime("us", "UTC")),
                    "rank": (rank + 1).astype(np.int32),
                    "item_id": _named(item_ids, lists[query, rank]),
                }
            ).select(pl.lit(protocol).alias("protocol"), pl.lit(method).alias("method"), pl.all())


def _relevant_frames(report: EvaluationReport) -> Iterator[pl.DataFrame]:
    item_ids = _column(report.items)
    for protocol, first, question in _numbered(report):
        if question.task is not None:
            relevant = question.task.relevant.tocoo()
            yield pl.DataFrame(
                {"query": first + relevant.row.astype(np.int64), "item_id": _named(item_ids, relevant.col)}
            ).select(pl.lit(protocol).alias("protocol"), pl.all())


def _column(ids: IdMap) -> pl.Series:
    return pl.Series(ids.ids, dtype=pl.String)


def _named(ids: pl.Series, rows: np.ndarray[Any, Any]) -> pl.Series:
    """Ids of rows, null for -1."""
    known = pl.Series(rows)
    return ids.gather(known.set(known == ANONYMOUS, None))
