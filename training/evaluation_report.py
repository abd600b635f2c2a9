"""The results of an evaluation, and the files that they are written to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from recsys.core.ids import IdMap
from recsys.core.metrics import Interval
from recsys.evaluation.curves import ScoreBin, TradeoffPoint
from recsys.evaluation.experiment import QuestionResults
from recsys.evaluation.splits import Window, WindowName
from recsys.evaluation.summary import EvaluationSummary
from recsys.evaluation.tasks import ANONYMOUS

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
    """The quality of the lists.

    Attributes:
        window_name: `report` or `tune`.
        window: the evaluated span; models are fitted on the data before it.
        timezone: IANA zone of the shop.
        outcomes: metrics of each question, by protocol.
        results: queries, lists and values of each question, by protocol.
        skipped: by protocol, why a question has no queries; its other questions remain.
        seconds: time of each stage.
        users: ids of the users in `results`.
        items: ids of the items in `results`.
        dial: accuracy and long-tail share of `discover` at each tail discount, and of other methods; may be empty.
        score_bins: share of the items in `for_you` that were bought, by score; may be empty.
        importances: gain of the ranker by feature; empty where no ranker is fitted.
        orders: what orders each list and why, one sentence each; empty where no weights were learned.
    """

    window_name: WindowName
    window: Window
    timezone: str
    outcomes: Mapping[str, tuple[EvaluationSummary, ...]]
    results: Mapping[str, tuple[QuestionResults, ...]]
    skipped: Mapping[str, str]
    seconds: Mapping[str, float]
    users: IdMap
    items: IdMap
    dial: Sequence[TradeoffPoint] = ()
    score_bins: Sequence[ScoreBin] = ()
    importances: Mapping[str, float] = field(default_factory=dict)
    orders: tuple[str, ...] = ()

    def metrics(self) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """Return `protocol → method → metric → {value, low, high}`."""
        found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
        for protocol, outcomes in self.outcomes.items():
            for outcome in outcomes:
                for method, values in outcome.metrics.items():
                    rows = found.setdefault(protocol, {}).setdefault(method, {})
                    rows.update({metric: _plain(interval) for metric, interval in values.items()})
        return found

    def about(self) -> dict[str, Any]:
        """Return the background: window, queries, comparisons with baselines, segments and times."""
        return {
            "window": {"name": self.window_name, **_moments(self.window)},
            "timezone": self.timezone,
            "skipped": dict(self.skipped),
            "orders": list(self.orders),
            "seconds": dict(self.seconds),
            "questions": {
                protocol: [_question(outcome) for outcome in outcomes] for protocol, outcomes in self.outcomes.items()
            },
        }


def write_report(report: EvaluationReport, path: Path) -> Path:
    """Write the metrics as JSON, and their background to `*.about.json`, whose path is returned."""
    about = path.with_suffix(".about.json")
    for file, content in ((path, report.metrics()), (about, report.about())):
        file.write_text(json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return about


def write_lists(report: EvaluationReport, path: Path) -> Path:
    """Write the lists as Parquet, and the relevant items to `*.relevant.parquet`, whose path is returned.

    The number of a query is unique within its protocol, and the same in both files and for every method.
    """
    relevant = path.with_suffix(".relevant.parquet")
    _table(_list_frames(report), LIST_COLUMNS).write_parquet(path)
    _table(_relevant_frames(report), RELEVANT_COLUMNS).write_parquet(relevant)
    return relevant


def _plain(interval: Interval) -> dict[str, float]:
    return {name: value for name, value in asdict(interval).items() if math.isfinite(value)}


def _moments(window: Window) -> dict[str, str]:
    return {name: datetime.fromtimestamp(second, UTC).isoformat() for name, second in vars(window).items()}


def _question(outcome: EvaluationSummary) -> dict[str, Any]:
    """Return a question without the values that `EvaluationReport.metrics` has."""
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
    """Yield protocol, number of the first query, and results of each question."""
    for protocol, questions in report.results.items():
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
            assert task is not None, "every list belongs to a query"
            yield pl.DataFrame(
                {
                    "query": first + query,
                    "user_id": _ids_of(user_ids, task.user_idx[query]),
                    "seed_item_id": _ids_of(item_ids, task.seed[query]),
                    "as_of": pl.Series(task.as_of[query] * 1_000_000).cast(pl.Datetime("us", "UTC")),
                    "rank": (rank + 1).astype(np.int32),
                    "item_id": _ids_of(item_ids, lists[query, rank]),
                }
            ).select(pl.lit(protocol).alias("protocol"), pl.lit(method).alias("method"), pl.all())


def _relevant_frames(report: EvaluationReport) -> Iterator[pl.DataFrame]:
    item_ids = _column(report.items)
    for protocol, first, question in _numbered(report):
        if question.task is not None:
            relevant = question.task.relevant.tocoo()
            yield pl.DataFrame(
                {"query": first + relevant.row.astype(np.int64), "item_id": _ids_of(item_ids, relevant.col)}
            ).select(pl.lit(protocol).alias("protocol"), pl.all())


def _column(ids: IdMap) -> pl.Series:
    return pl.Series(ids.ids, dtype=pl.String)


def _ids_of(ids: pl.Series, rows: np.ndarray[Any, Any]) -> pl.Series:
    """Return the ids of rows, null for -1."""
    known = pl.Series(rows)
    return ids.gather(known.set(known == ANONYMOUS, None))
