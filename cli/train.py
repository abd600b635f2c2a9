"""The command that trains a bundle."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import typer

from cli.options import DEFAULT_MODELS, AsJson, ConfigFile, Models, wall_clock
from cli.output import progress, show_json, show_lines, show_table, tell
from recsys.core.config.toml_reader import check_config
from recsys.core.errors import ConfigError
from training.choices import DEFAULT_KEEP, GATE_METRIC_NAMES

if TYPE_CHECKING:
    from training.choices import GateMetricName
    from training.train import TrainReport

REFUSED: Final = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    data: Annotated[Path | None, typer.Option("--data", help="Folder of tables, as `recsys ingest` writes it.")] = None,
    models: Models = DEFAULT_MODELS,
    config: ConfigFile = None,
    if_changed: Annotated[
        bool, typer.Option("--if-changed", help="Do nothing if the tables, settings and code are unchanged.")
    ] = False,
    keep: Annotated[int, typer.Option(help="Number of latest bundles to keep.")] = DEFAULT_KEEP,
    gate: Annotated[
        bool | None,
        typer.Option("--gate/--no-gate", help="Compare changed settings with the current ones before they serve."),
    ] = None,
    gate_metric: Annotated[str | None, typer.Option(help=f"What decides: {', '.join(GATE_METRIC_NAMES)}.")] = None,
    activate_worse: Annotated[
        bool, typer.Option("--activate-worse", help="Activate the new bundle even if the gate finds it worse.")
    ] = False,
    accept_shrink: Annotated[
        bool,
        typer.Option("--accept-shrink", help="Train even if most rows of the current bundle are gone."),
    ] = False,
    engine: Annotated[
        Literal["local", "spark"],
        typer.Option(help="What counts the events: this process, or Apache Spark for more than fit into its memory."),
    ] = "local",
    master: Annotated[
        str, typer.Option(help="URL of the Spark master: local[N], spark://…, yarn or k8s://….")
    ] = "local[*]",
    state: Annotated[
        Path | None,
        typer.Option(help="Folder of counts that Spark keeps, so that the next training counts only what is new."),
    ] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print all settings as TOML and exit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit all models on a folder of tables and make the result the current bundle."""
    from training.config import read_config, render_config
    from training.source import load_tables
    from training.spark.changes import Keep
    from training.spark.kept import KeptSettings
    from training.spark.shop import spark_source
    from training.train import train as run

    settings = read_config(config)
    if print_config:
        show_lines([render_config(settings).rstrip()])
        return
    if data is None:
        raise ConfigError("no data to train on: add --data DIR, the folder that `recsys ingest` wrote")
    if state is not None and engine == "local":
        raise ConfigError(
            f"--state is {str(state)!r}, but only Spark keeps counts: add --engine spark, or leave it out"
        )
    kept_in = None if state is None else Keep(state, KeptSettings.of(settings.engine))
    gate_config = settings.gate if gate is None else replace(settings.gate, enabled=gate)
    if gate_metric is not None:
        gate_config = replace(gate_config, metric=cast("GateMetricName", gate_metric))
    check_config(gate_config, "gate")
    with progress() as on_progress:
        report = run(
            data,
            models,
            settings.engine,
            now=wall_clock(),
            if_changed=if_changed,
            keep=keep,
            gate=gate_config,
            activate_worse=activate_worse,
            accept_shrink=accept_shrink,
            source=load_tables if engine == "local" else spark_source(master, settings.spark, _java(), kept_in),
            progress=on_progress,
        )
    show_json(report.to_dict()) if as_json else _show(report)
    if report.refused:
        tell(f"recsys: {report.refused}")
        raise typer.Exit(REFUSED)


def _java() -> str | None:
    """Return the Java program of `JAVA_HOME`, None where it is not set: then the search path has it."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else None


def _show(report: TrainReport) -> None:
    rows = ", ".join(f"{count:,} {name}" for name, count in report.rows.items())
    if report.is_new:
        show_table(("stage", "seconds"), [(stage, f"{took:.1f}") for stage, took in report.seconds.items()])
        took = sum(report.seconds.values())
        show_lines([f"trained on {rows} in {took:.0f} s, {report.peak_memory_mb:,.0f} MB peak memory"])
    else:
        show_lines([f"up to date: trained on {rows}, nothing has changed since"])
    show_lines(report.orders)
    show_lines(f"not learned: {note}" for note in report.notes)
    show_lines(f"removed: {version}" for version in report.removed)
    if report.gate:
        show_lines([f"gate: {report.gate['decision']}" + (f", {why}" if (why := report.gate["why"]) else "")])
    show_lines([f"written, not activated: {report.version}" if report.refused else f"current: {report.version}"])
