"""The command that evaluates the lists and the baselines on a held-out window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from cli.options import ConfigFile, Data
from cli.output import progress, show_lines, show_table
from recsys.core.errors import ConfigError
from training.choices import DEFAULT_HOLDOUT_DAYS, PROTOCOL_NAMES

if TYPE_CHECKING:
    from recsys.core.metrics import Interval
    from recsys.evaluation.splits import WindowName
    from recsys.evaluation.summary import EvaluationSummary
    from training.evaluation_report import EvaluationReport

N_COLUMNS: Final = 7
"""Metrics that a table shows; the files contain all."""

TAIL_COLUMNS: Final = ("recall@20", "long_tail_recall@20", "head_share@20", "coverage@20", "novelty@20", "diversity@20")
"""Shown first where lists are measured by the part of the catalog that they show."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    data: Data,
    window: Annotated[
        str, typer.Option(help="report: the last days of the data. tune: the days before, for the choice of settings.")
    ] = "report",
    holdout_days: Annotated[int, typer.Option(help="Length of a window, in days.")] = DEFAULT_HOLDOUT_DAYS,
    protocols: Annotated[
        str | None, typer.Option(help=f"Names with commas between: {', '.join(PROTOCOL_NAMES)}.", show_default="all")
    ] = None,
    config: ConfigFile = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the metrics here, and their background to *.about.json.")
    ] = None,
    lists_file: Annotated[
        Path | None,
        typer.Option("--lists", help="Write the lists as Parquet, and *.relevant.parquet beside them."),
    ] = None,
    html_file: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Write tables and plots as one page; needs the extra `report`.",
        ),
    ] = None,
) -> None:
    """Fit on the past of a window, and measure each list and each baseline on the purchases in it."""
    from training.config import read_config
    from training.evaluate import evaluate as run
    from training.evaluation_report import write_lists, write_report
    from training.report.report import require_report, write_html

    settings = read_config(config)
    for path in (json_file, lists_file, html_file):
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{path} cannot be written: its folder does not exist")
    if html_file is not None:
        require_report()
    with progress() as on_progress:
        report = run(
            data,
            settings.engine,
            window=cast("WindowName", window),
            holdout_days=holdout_days,
            protocols=[name.strip() for name in protocols.split(",")] if protocols is not None else PROTOCOL_NAMES,
            with_curves=html_file is not None,
            progress=on_progress,
        )
    _show(report)
    if json_file is not None:
        show_lines([f"metrics: {json_file}, background: {write_report(report, json_file)}"])
    if lists_file is not None:
        show_lines([f"lists: {lists_file}, relevant items: {write_lists(report, lists_file)}"])
    if html_file is not None:
        write_html(report, html_file)
        show_lines([f"report: {html_file}"])


def _show(report: EvaluationReport) -> None:
    for protocol, outcomes in report.outcomes.items():
        for outcome in outcomes:
            _show_question(protocol, outcome)
        if protocol in report.skipped:
            show_lines([f"{protocol}: skipped. {report.skipped[protocol]}", ""])
    show_lines([*report.orders, ""] if report.orders else [])
    span = report.about()["window"]
    took = sum(report.seconds.values())
    show_lines(
        [
            "* best baseline by the first metric; ± half of a 95 % interval; vs best: paired relative difference",
            f"{report.window_name} window: {span['start']} to {span['stop']}, in {took:.0f} s",
        ]
    )


def _show_question(protocol: str, outcome: EvaluationSummary) -> None:
    best = outcome.best_baseline()
    shown = _columns(outcome)
    against = {
        found.method: found.relative
        for found in outcome.comparisons
        if found.is_best and found.metric == outcome.primary_metric
    }
    rows = []
    for method, values in outcome.metrics.items():
        mark = " *" if method == best else ""
        cells = [_cell(values.get(name)) for name in shown]
        rows.append([method + mark, *cells, _change(against.get(method))])
    title = f"{protocol}: {', '.join(outcome.treatments)} ({outcome.n_queries:,} queries)"
    show_table(("method", *shown, "vs best"), rows, title)
    show_lines([""])


def _columns(outcome: EvaluationSummary) -> list[str]:
    """Return the primary metric, its parts and the most important others."""
    names = list(outcome.metrics[outcome.treatments[0]])
    parts = [name for name in names if name.startswith(f"{outcome.primary_metric}_")]
    first = TAIL_COLUMNS if set(TAIL_COLUMNS) <= set(names) else ()
    return list(dict.fromkeys((outcome.primary_metric, *parts, *first, *names)))[:N_COLUMNS]


def _cell(interval: Interval | None) -> str:
    if interval is None:
        return ""
    if interval.low == interval.high:
        return f"{interval.value:,.4g}"
    return f"{interval.value:.4f} ±{(interval.high - interval.low) / 2:.4f}"


def _change(relative: Interval | None) -> str:
    if relative is None:
        return ""
    return f"{relative.value:+.1%} [{relative.low:+.1%}, {relative.high:+.1%}]"
