"""The command that writes a push plan."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.documents import PlacementFile, PlanExperiments
from cli.options import DEFAULT_MODELS, AsJson, LiveLogBeside, Models, parse_moment
from cli.output import count_progress, show_json, show_lines

if TYPE_CHECKING:
    from training.planning import PlanReport


def app() -> typer.Typer:
    """Build the commands of `recsys push`."""
    commands = typer.Typer(help="Push plans: who gets which messages, when and on which channel.", no_args_is_help=True)
    commands.callback()(_push)
    commands.command("plan")(plan)
    return commands


def _push() -> None:
    """Keep `plan` a command of its own."""


def plan(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the shards.")],
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="TOML file of the plan.", show_default="all defaults")
    ] = None,
    models: Models = DEFAULT_MODELS,
    users: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Shoppers: ids as text, CSV, Parquet …", show_default="all of the bundle"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of tables whose messages.parquet has earlier messages.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Moment of the plan, RFC 3339.", show_default="the latest known event")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes.", show_default="one per processor, fewer for few shoppers")
    ] = None,
    shard_size: Annotated[int, typer.Option(help="Shoppers per shard.")] = 1000,
    format_: Annotated[
        str | None, typer.Option("--format", help="Of the shards: parquet or ndjson.", show_default="parquet")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Keep the finished shards of an interrupted run with the same inputs.")
    ] = True,
    placements: PlacementFile = None,
    live_log: LiveLogBeside = None,
    experiments: PlanExperiments = None,
    as_json: AsJson = False,
) -> None:
    """Plan each shopper's messages for the seven local days after the day of the moment."""
    from training.batch import BatchPlan
    from training.planning import PlanRequest, write_plan

    moment = parse_moment(as_of, "--as-of") if as_of else None
    request = PlanRequest(models, plan_file, users, data, moment, placements, live_log, experiments)
    batch = BatchPlan(workers, shard_size, format_, resume)
    report = write_plan(request, out, batch, count_progress)
    show_json(asdict(report)) if as_json else _show(report, out)


def _show(report: PlanReport, out: Path) -> None:
    moment = datetime.fromtimestamp(report.as_of, UTC).isoformat()
    details = [
        f"{report.without_message:,} get none",
        f"{report.held_out:,} are in the holdout (is_holdout: do not send)",
        f"{report.refused:,} opted out or were erased" if report.refused else "",
        f"{report.kept_shards:,} of {report.shards:,} shards are from an interrupted run" if report.kept_shards else "",
    ]
    head = (
        f"{out} is written by {report.model_version}, as of {moment}: {report.messages:,} messages for "
        f"{report.shoppers:,} shoppers; {', '.join(filter(None, details))}"
    )
    found = report.messages_by_list
    lists = [f"messages: {', '.join(f'{name} {n:,}' for name, n in found.items() if n) or 'none'}"]
    if empty := [name for name, n in found.items() if not n]:
        lists.append(f"no message: {', '.join(empty)} (no shopper has an item there, or another list is worth more)")
    variants = [
        f"{name}: " + ", ".join(f"{variant} {n:,} shoppers with messages" for variant, n in found.items())
        for name, found in report.variants.items()
    ]
    show_lines([head, *lists, *variants, *report.consent_rules])
