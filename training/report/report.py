"""The report that people read: an evaluation as one HTML page that loads nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from recsys.core.metrics import Interval
from recsys.evaluation.summary import Comparison, EvaluationSummary, Segment
from training.evaluate import EvaluationReport
from training.extras import require_extra
from training.report.plots import plot_dial, plot_importances, plot_scores, plot_segments

MAX_BASELINES: Final = 4
"""Baselines in a plot by segment; tables hold all."""

DESCRIPTIVE: Final = ("head_share", "gini", "coverage", "novelty", "diversity")
"""Metrics that say how lists are, not how well they foretell: no baseline is best by them."""

STYLE: Final = """
:root { --ours: #e4eff8; --line: #d0d0d0; --quiet: #5a5a5a; }
body { font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, "Noto Sans", "PingFang SC", "Hiragino Sans",
  "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; color: #1a1a1a; background: #fff; max-width: 76rem;
  margin: 2rem auto; padding: 0 1.2rem; }
h1, h2, h3 { line-height: 1.25; } h2 { margin-top: 2.6rem; border-bottom: 1px solid var(--line); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; font-weight: 600; }
tr.ours td, tr.ours td:first-child { background: var(--ours); }
td small, p.note, figcaption { color: var(--quiet); } td small { display: block; font-size: 11px; }
td.better { font-weight: 600; } td.better::before { content: "▲ "; color: #0072b2; }
td.worse { font-weight: 600; } td.worse::before { content: "▼ "; color: #d55e00; }
figure { margin: 1.2rem 0; break-inside: avoid; } svg { max-width: 100%; height: auto; }
svg text { font-family: "DejaVu Sans", Verdana, "Noto Sans", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
  "Noto Sans CJK SC", sans-serif !important; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; } dt { color: var(--quiet); }
dd { margin: 0; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } .scroll { overflow: visible; }
  table { font-size: 8px; } td small { font-size: 7px; } th, td { padding: .1rem .25rem; }
  tr.ours td { print-color-adjust: exact; } }
"""


def require_report() -> None:
    """Refuse to write a report that could not be drawn; call it before the evaluation, which takes minutes.

    Raises:
        ConfigError: Matplotlib is not installed.
    """
    require_extra("report", "matplotlib")


def write_html(report: EvaluationReport, path: Path) -> None:
    """Write the report as one HTML file, the same bytes for the same figures.

    Args:
        report: what was found; the plots of its curves are left out where it has none.
        path: the file.

    Raises:
        ConfigError: Matplotlib is not installed.
    """
    require_report()
    path.write_text("\n".join(_page(report)) + "\n", encoding="utf-8")


def _page(report: EvaluationReport) -> Iterator[str]:
    first, last = _dates(report)
    title = f"How good the lists are: {first} to {last}"
    yield f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>"
    yield from _header(report, first, last)
    yield from _plots(report)
    for protocol, outcomes in report.outcomes.items():
        yield f'<h2 id="{escape(protocol)}">{escape(protocol)}</h2>'
        if protocol in report.skipped:
            yield f'<p class="note">Not asked: {escape(report.skipped[protocol])}</p>'
        for outcome in outcomes:
            yield from _question(outcome)
    yield "</body>\n</html>"


def _header(report: EvaluationReport, first: str, last: str) -> Iterator[str]:
    asked = (
        f"{protocol} {' + '.join(f'{outcome.n_queries:,}' for outcome in outcomes)}"
        for protocol, outcomes in report.outcomes.items()
        if outcomes
    )
    rows = {
        "window": f"{report.window_name}: {first} to {last}, both included",
        "time zone": report.timezone,
        "shop": f"{len(report.users):,} shoppers, {len(report.items):,} items",
        "queries": ", ".join(asked) or "none",
    }
    told = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    yield f"<dl>{told}</dl>"
    yield (
        '<p class="note">Models and baselines know only what came before the window. Shaded rows are ours; ★ marks the '
        "baseline that is best by a metric. Intervals are 95 %, by paired bootstrap. The last rows are the relative "
        "difference to that baseline, ▲ or ▼ where its interval is clear of zero.</p>"
    )


def _plots(report: EvaluationReport) -> Iterator[str]:
    yield '<h2 id="plots">Plots</h2>'
    if report.dial:
        told = (
            "Both share one part of the queries. Each point of the line is a setting of the dial; baselines have none."
        )
        yield _figure("Accuracy against the long tail, as the dial of discover turns", plot_dial(report.dial), told)
    yield from _by_history(report)
    yield from _by_hour(report)
    if report.score_bins:
        told = "Bars are 95 % intervals over shoppers. Where the score can be trusted, they rise to the right."
        yield _figure("What a score of for_you is worth", plot_scores(report.score_bins), told)
    if report.importances:
        told = "By the ranker's own count, over all of its trees."
        yield _figure("What the learned ranker looks at", plot_importances(report.importances), told)
    else:
        yield '<p class="note">No ranker is fitted, so that there are no feature importances to show.</p>'


def _by_history(report: EvaluationReport) -> Iterator[str]:
    """The first question about shoppers that was asked."""
    for protocol in ("next_basket", "rolling", "discovery"):
        for outcome in report.outcomes.get(protocol, ()):
            segments = _segments(outcome, "history")
            if segments:
                panels = {protocol: segments}
                svg = plot_segments("history", panels, outcome.treatments, "baskets of the shopper before the window")
                yield _figure("Quality by length of history", svg, _sample_note(outcome))
                return


def _by_hour(report: EvaluationReport) -> Iterator[str]:
    outcomes = report.outcomes.get("time_of_day", ())
    panels = {f"{', '.join(outcome.treatments)}": _segments(outcome, "hour") for outcome in outcomes}
    panels = {title: segments for title, segments in panels.items() if segments}
    if panels:
        ours = [method for outcome in outcomes for method in outcome.treatments]
        svg = plot_segments("hour", panels, ours, f"hour of the basket, {report.timezone}")
        yield _figure(
            "Quality by part of the day", svg, "Bars are 95 % intervals over shoppers; for nobody, over baskets."
        )


def _segments(outcome: EvaluationSummary, kind: str) -> list[Segment]:
    """Parts of a kind, for our methods and for the baselines that matter most."""
    value = {
        method: figures[outcome.primary_metric].value
        for method, figures in outcome.metrics.items()
        if outcome.primary_metric in figures
    }
    baselines = sorted((name for name in value if name not in outcome.treatments), key=lambda name: -value[name])
    shown = baselines[: MAX_BASELINES - 1] + [name for name in baselines[MAX_BASELINES - 1 :] if name == "popularity"]
    methods = {*outcome.treatments, *shown}
    return [segment for segment in outcome.segments if segment.kind == kind and segment.method in methods]


def _sample_note(outcome: EvaluationSummary) -> str:
    return f"Bars are 95 % intervals over {outcome.n_units:,} shoppers; the best baselines and popularity beside ours."


def _figure(title: str, svg: str, told: str) -> str:
    name, caption = escape(title), f"<figcaption>{escape(told)}</figcaption>"
    return f'<h3>{name}</h3>\n<figure role="img" aria-label="{name}">\n{svg}{caption}</figure>'


def _question(outcome: EvaluationSummary) -> Iterator[str]:
    names = _metrics(outcome)
    best = {
        name: outcome.best_baseline(name) for name in names if not name.removeprefix("acc_").startswith(DESCRIPTIVE)
    }
    asked = f"{outcome.n_queries:,} queries, intervals over {outcome.n_units:,}"
    yield f"<h3>{escape(', '.join(outcome.treatments))}: {asked}</h3>"
    yield '<div class="scroll"><table><thead><tr><th>method</th>'
    yield "".join(f"<th>{escape(name)}</th>" for name in names) + "</tr></thead><tbody>"
    for method in sorted(outcome.metrics, key=lambda method: method not in outcome.treatments):
        cells = (_cell(outcome.metrics[method].get(name), is_best=best.get(name) == method) for name in names)
        kind = ' class="ours"' if method in outcome.treatments else ""
        star = " ★" if best.get(outcome.primary_metric) == method else ""
        yield f"<tr{kind}><td>{escape(method)}{star}</td>{''.join(cells)}</tr>"
    for method in outcome.treatments:
        found = {row.metric: row for row in outcome.comparisons if row.method == method and row.is_best}
        if found:
            cells = (_change(found.get(name) if name in best else None) for name in names)
            yield f"<tr><td>{escape(method)} to ★</td>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def _metrics(outcome: EvaluationSummary) -> Sequence[str]:
    """All metrics of a question, the deciding one first."""
    every: Iterable[str] = (name for figures in outcome.metrics.values() for name in figures)
    return list(dict.fromkeys((outcome.primary_metric, *every)))


def _cell(interval: Interval | None, *, is_best: bool) -> str:
    if interval is None or not math.isfinite(interval.value):
        return "<td></td>"
    star = " ★" if is_best else ""
    if not interval.low < interval.high:
        return f"<td>{interval.value:,.4g}{star}</td>"
    return f"<td>{interval.value:.4f}{star}<small>{interval.low:.4f} – {interval.high:.4f}</small></td>"


def _change(comparison: Comparison | None) -> str:
    if comparison is None or not math.isfinite(comparison.relative.value):
        return "<td></td>"
    found = comparison.relative
    kind = ' class="better"' if found.low > 0 else ' class="worse"' if found.high < 0 else ""
    return f"<td{kind}>{found.value:+.1%}<small>{found.low:+.1%} – {found.high:+.1%}</small></td>"


def _dates(report: EvaluationReport) -> tuple[str, str]:
    """The window's first and last day in the shop's zone."""
    zone = ZoneInfo(report.timezone)
    start, stop = (datetime.fromtimestamp(second, UTC).astimezone(zone) for second in vars(report.window).values())
    return start.date().isoformat(), (stop - timedelta(seconds=1)).date().isoformat()
