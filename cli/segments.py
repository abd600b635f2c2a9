"""The command that shows the segments of all users, and writes them to a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.options import DEFAULT_MODELS, AsJson, LiveLogBeside, Models, parse_moment
from cli.output import show_json, show_lines, show_table

if TYPE_CHECKING:
    from training.segment_report import SegmentReport

COLUMNS: Final = ("life cycle", "users", "share", "high value", "slowing", "P(churn)", "lifetime value")
MODEL_COLUMNS: Final = ("model", "AUC", "95 % interval", "gain over recency", "log loss")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("segments")(segments)


def segments(
    models: Models = DEFAULT_MODELS,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="One row per user, as .parquet or .csv.", show_default="none")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="The numbers and plots as one HTML page.", show_default="none"),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Moment of the segments, RFC 3339.", show_default="the latest known event")
    ] = None,
    live_log: LiveLogBeside = None,
    as_json: AsJson = False,
) -> None:
    """Show how many users are in each segment, and how well churn was predicted on the shop's past."""
    from recsys.pipeline.recommender import Recommender
    from training.report.segments_page import require_page, write_page
    from training.segment_report import check_out, report_segments

    check_out(out)
    if report is not None:
        require_page()
    recommender = Recommender.open(models, live_log=live_log)
    moment = parse_moment(as_of, "--as-of") if as_of else datetime.fromtimestamp(recommender.latest, UTC)
    found = report_segments(recommender, recommender.segments(as_of=moment), moment.isoformat(), out)
    if report is not None:
        write_page(found, report)
    show_json(found.to_dict()) if as_json else _show(found)


def _show(report: SegmentReport) -> None:
    show_lines([f"{report.n_users:,} users by {report.version}, as of {report.as_of}"])
    rows = [
        (
            *(each.life_cycle, each.n_users, f"{each.share:.1%}", each.n_high_value, each.n_slowing),
            None if each.churn_probability is None else f"{each.churn_probability:.1%}",
            None if each.lifetime_value is None else f"{each.lifetime_value:,.0f}",
        )
        for each in report.stages
    ]
    if rows:
        show_table(COLUMNS, rows)
    show_lines([_churn_line(report.churn)])
    models = report.churn["models"]
    if models:
        show_table(MODEL_COLUMNS, [_model_row(each) for each in models])
        error = report.churn["calibration_error"]
        show_lines(
            [f"calibration error {error:.1%}: mean distance of predicted and observed churn, by tenths of users"]
        )
    if report.out:
        show_lines([f"written to {report.out}"])


def _churn_line(churn: dict[str, Any] | Any) -> str:
    """Write which model predicts churn, and on what it was chosen."""
    if not churn["serves"]:
        return "churn is not predicted: there are no orders"
    days = f"no order within {churn['horizon_days']:g} days"
    if not churn["models"]:
        return f"churn ({days}) is predicted by {churn['serves']}: the past is too short to compare models"
    return (
        f"churn ({days}) is predicted by {churn['serves']}, the best on the last {churn['horizon_days']:g} days of "
        f"{churn['n_buyers']:,} buyers, of whom {churn['churn_rate']:.1%} did not order"
    )


def _model_row(model: dict[str, Any]) -> tuple[Any, ...]:
    return (
        model["name"],
        f"{model['auc']:.4f}",
        f"[{model['auc_low']:.4f}, {model['auc_high']:.4f}]",
        f"[{model['gain_low']:+.4f}, {model['gain_high']:+.4f}]" if model["name"] != "recency" else "",
        f"{model['log_loss']:.4f}",
    )
