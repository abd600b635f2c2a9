"""The evaluation report as one HTML page that loads no other file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from recsys.evaluation.summary import EvaluationSummary, Segment
from training.evaluation_report import EvaluationReport
from training.extras import require_extra
from training.report.plots import plot_dial, plot_importances, plot_scores, plot_segments
from training.report.tables import question_table

TEMPLATE: Final = "report.html.jinja"
MAX_BASELINES: Final = 4
"""Baselines in a plot by segment; the tables contain all."""


@dataclass(frozen=True)
class Plot:
    """A figure of the page.

    Attributes:
        title: heading, also the description for screen readers.
        svg: the drawing, as markup.
        caption: text below it.
    """

    title: str
    svg: str
    caption: str


def require_report() -> None:
    """Check that a report can be written; call it before the evaluation, which takes minutes.

    Raises:
        ConfigError: a package of the extra is not installed.
    """
    require_extra("report", "matplotlib", "jinja2")


def write_html(report: EvaluationReport, path: Path) -> None:
    """Write the report as one HTML file; equal metrics give equal bytes.

    Args:
        report: the results; plots without data are left out.
        path: the file.

    Raises:
        ConfigError: a package of the extra is not installed.
    """
    require_report()
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
    path.write_text(template.render(_context(report)) + "\n", encoding="utf-8")


def _context(report: EvaluationReport) -> dict[str, Any]:
    """Collect the values of the template."""
    first, last = _dates(report)
    queries = (
        f"{protocol} {' + '.join(f'{outcome.n_queries:,}' for outcome in outcomes)}"
        for protocol, outcomes in report.outcomes.items()
        if outcomes
    )
    return {
        "title": f"Quality of the lists: {first} to {last}",
        "facts": {
            "window": f"{report.window_name}: {first} to {last}, both included",
            "time zone": report.timezone,
            "shop": f"{len(report.users):,} users, {len(report.items):,} items",
            "queries": ", ".join(queries) or "none",
        },
        "plots": list(_plots(report)),
        "has_ranker": bool(report.importances),
        "protocols": [
            {
                "name": protocol,
                "skipped": report.skipped.get(protocol, ""),
                "tables": [question_table(outcome) for outcome in outcomes],
            }
            for protocol, outcomes in report.outcomes.items()
        ],
    }


def _plots(report: EvaluationReport) -> Iterator[Plot]:
    if report.dial:
        caption = "Both plots use the same part of the queries. Each point of the line is one tail discount."
        yield Plot("Accuracy and the long tail, by the tail discount of discover", plot_dial(report.dial), caption)
    yield from _by_history(report)
    yield from _by_hour(report)
    if report.score_bins:
        caption = "Bars are 95 % intervals over users. Where scores are calibrated, the points rise to the right."
        yield Plot("Purchases by score of for_you", plot_scores(report.score_bins), caption)
    if report.importances:
        svg = plot_importances(report.importances)
        yield Plot("Feature importances of the ranker", svg, "Share of the gain over all trees.")


def _by_history(report: EvaluationReport) -> Iterator[Plot]:
    """Plot the first question with segments by history."""
    for protocol in ("next_basket", "rolling", "discovery"):
        for outcome in report.outcomes.get(protocol, ()):
            segments = _segments(outcome, "history")
            if segments:
                svg = plot_segments(
                    "history", {protocol: segments}, outcome.treatments, "baskets of the user before the window"
                )
                caption = f"Bars are 95 % intervals over {outcome.n_units:,} users; best baselines and popularity."
                yield Plot("Quality by length of history", svg, caption)
                return


def _by_hour(report: EvaluationReport) -> Iterator[Plot]:
    outcomes = report.outcomes.get("time_of_day", ())
    panels = {", ".join(outcome.treatments): _segments(outcome, "hour") for outcome in outcomes}
    panels = {title: segments for title, segments in panels.items() if segments}
    if panels:
        treatments = [method for outcome in outcomes for method in outcome.treatments]
        svg = plot_segments("hour", panels, treatments, f"hour of the basket, {report.timezone}")
        caption = "Bars are 95 % intervals over users; over baskets where no user is known."
        yield Plot("Quality by part of the day", svg, caption)


def _segments(outcome: EvaluationSummary, kind: str) -> list[Segment]:
    """Select the segments of a kind for the treatments, the best baselines and popularity."""
    value = {
        method: metrics[outcome.primary_metric].value
        for method, metrics in outcome.metrics.items()
        if outcome.primary_metric in metrics
    }
    baselines = sorted((name for name in value if name not in outcome.treatments), key=lambda name: -value[name])
    shown = baselines[: MAX_BASELINES - 1] + [name for name in baselines[MAX_BASELINES - 1 :] if name == "popularity"]
    methods = {*outcome.treatments, *shown}
    return [segment for segment in outcome.segments if segment.kind == kind and segment.method in methods]


def _dates(report: EvaluationReport) -> tuple[str, str]:
    """Return the first and the last day of the window in the shop's zone."""
    zone = ZoneInfo(report.timezone)
    start, stop = (datetime.fromtimestamp(second, UTC).astimezone(zone) for second in vars(report.window).values())
    return start.date().isoformat(), (stop - timedelta(seconds=1)).date().isoformat()
