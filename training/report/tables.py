"""The tables of the evaluation report: one per question, a row per method, a column per metric."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from recsys.core.metrics import Interval
from recsys.evaluation.summary import Comparison, EvaluationSummary

DESCRIPTIVE: Final = ("head_share", "gini", "coverage", "novelty", "diversity", "best_seller_")
"""Metrics that describe the lists and do not measure their accuracy: no baseline is best by them."""


@dataclass(frozen=True)
class Cell:
    """A value with its interval.

    Attributes:
        value: the value as text, "" where there is none.
        range: its interval as text, "" where there is none.
        is_best: whether the method is the best baseline by this metric.
        change: whether a difference excludes zero, and its direction.
    """

    value: str = ""
    range: str = ""
    is_best: bool = False
    change: Literal["", "better", "worse"] = ""


@dataclass(frozen=True)
class TableRow:
    """The cells of one method, or of its difference to the best baseline."""

    label: str
    cells: tuple[Cell, ...]
    is_treatment: bool = False


@dataclass(frozen=True)
class Table:
    """The metrics of one question."""

    title: str
    metrics: tuple[str, ...]
    rows: tuple[TableRow, ...]


def question_table(outcome: EvaluationSummary) -> Table:
    """Build the table of one question: the treatments, the baselines, then the differences to the best baseline."""
    names = [name for metrics in outcome.metrics.values() for name in metrics]
    metrics = tuple(dict.fromkeys((outcome.primary_metric, *names)))
    best = {
        name: outcome.best_baseline(name) for name in metrics if not name.removeprefix("acc_").startswith(DESCRIPTIVE)
    }
    title = f"{', '.join(outcome.treatments)}: {outcome.n_queries:,} queries, intervals over {outcome.n_units:,}"
    return Table(title, metrics, (*_methods(outcome, metrics, best), *_differences(outcome, metrics, best)))


def _methods(outcome: EvaluationSummary, metrics: tuple[str, ...], best: dict[str, str | None]) -> Iterator[TableRow]:
    for method in sorted(outcome.metrics, key=lambda method: method not in outcome.treatments):
        values = outcome.metrics[method]
        star = " ★" if best.get(outcome.primary_metric) == method else ""
        cells = tuple(value_cell(values.get(name), is_best=best.get(name) == method) for name in metrics)
        yield TableRow(method + star, cells, is_treatment=method in outcome.treatments)


def _differences(
    outcome: EvaluationSummary, metrics: tuple[str, ...], best: dict[str, str | None]
) -> Iterator[TableRow]:
    for method in outcome.treatments:
        found = {row.metric: row for row in outcome.comparisons if row.method == method and row.is_best}
        if found:
            cells = tuple(change_cell(found.get(name) if name in best else None) for name in metrics)
            yield TableRow(f"{method} to ★", cells)


def value_cell(interval: Interval | None, *, is_best: bool) -> Cell:
    """Write a metric with its interval; an empty cell where the method has no value."""
    if interval is None or not math.isfinite(interval.value):
        return Cell()
    if not interval.low < interval.high:
        return Cell(f"{interval.value:,.4g}", is_best=is_best)
    return Cell(f"{interval.value:.4f}", f"{interval.low:.4f} – {interval.high:.4f}", is_best)


def change_cell(comparison: Comparison | None) -> Cell:
    """Write the relative difference to the best baseline; an empty cell where there is none."""
    if comparison is None or not math.isfinite(comparison.relative.value):
        return Cell()
    found = comparison.relative
    change: Literal["", "better", "worse"] = "better" if found.low > 0 else "worse" if found.high < 0 else ""
    return Cell(f"{found.value:+.1%}", f"{found.low:+.1%} – {found.high:+.1%}", change=change)
