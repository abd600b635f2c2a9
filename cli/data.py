"""Commands that make a folder of tables and look into it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import AsJson, ConfigFile, Data, parse_moment, wall_clock
from cli.output import progress, show_json, show_lines, show_table
from recsys.core.errors import ConfigError
from training.config import read_config
from training.demo_data import build_demo
from training.doctor.doctor import render, run_doctor
from training.ingest.ingest import IngestConfig, IngestReport, InputFiles, ingest

Source = Annotated[Path | None, typer.Option(help="Parquet, CSV or JSON Lines, or a folder of such files.")]
Now = Annotated[
    str | None, typer.Option("--now", help="The moment that counts as now, RFC 3339; the clock's if not given.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo-data")(demo_data)
    app.command("ingest")(ingest_tables)
    app.command("doctor")(doctor)


def demo_data(out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("data/demo")) -> None:
    """Write the demo shop's tables: a year of a grocer's baskets."""
    with progress() as on_progress:
        is_new = build_demo(out, on_progress)
    show_lines([f"{out} {'is written' if is_new else 'is up to date'}"])


def ingest_tables(
    out: Annotated[Path, typer.Option("--out", help="Folder of tables to write; an older one is replaced.")],
    events: Source = None,
    items: Source = None,
    users: Source = None,
    offers: Source = None,
    from_store: Annotated[
        Path | None,
        typer.Option("--from-store", help="The live log of `recsys serve`; it joins the files."),
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="The shop's IANA zone, such as Asia/Shanghai.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of CSV and JSON files, such as gb18030.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="THEIRS=OURS", help="Your name of a column and ours; repeatable.")
    ] = None,
    default_event: Annotated[
        str | None, typer.Option(help="Event of every row, where there is no such column.")
    ] = None,
    timestamp_format: Annotated[str | None, typer.Option(help="strftime format of times.")] = None,
    category_separator: Annotated[str | None, typer.Option(help="Between the levels of a category.")] = None,
    tag_separators: Annotated[str | None, typer.Option(help="Characters that each end a tag.")] = None,
    max_reject_share: Annotated[float | None, typer.Option(help="Largest share of bad rows, 0 to 1.")] = None,
    future_tolerance: Annotated[float | None, typer.Option(help="Minutes that an event may lie ahead.")] = None,
    config: ConfigFile = None,
    now: Now = None,
    as_json: AsJson = False,
) -> None:
    r"""Check a shop's files and write them as a folder of tables; bad rows are kept apart with their reasons.

    Options go before the table \[ingest] of --config.
    """
    given: dict[str, Any] = {
        "timezone": timezone,
        "encoding": encoding,
        "columns": _columns(column) if column else None,
        "default_event": default_event,
        "timestamp_format": timestamp_format,
        "category_separator": category_separator,
        "tag_separators": tag_separators,
        "max_reject_share": max_reject_share,
        "future_tolerance": future_tolerance,
    }
    settings: IngestConfig = replace(
        read_config(config).ingest, **{name: value for name, value in given.items() if value is not None}
    )
    moment = parse_moment(now, "--now") if now else wall_clock()
    with progress() as on_progress:
        report = ingest(InputFiles(events, items, users, offers, from_store), settings, out, moment, on_progress)
    show_json(report.to_dict()) if as_json else _show_report(report, out)


def doctor(data: Data, now: Now = None, as_json: AsJson = False) -> None:
    """Say what a folder of tables holds, what is odd in it, and which lists it can feed."""
    report = run_doctor(data, parse_moment(now, "--now") if now else wall_clock())
    show_json(report.to_dict()) if as_json else show_lines([render(report)])


def _columns(pairs: list[str]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        theirs, equals, ours = pair.rpartition("=")
        if not (theirs and equals and ours):
            raise ConfigError(f"--column is {pair!r}, expected THEIRS=OURS, such as --column 会员号=user_id")
        columns[theirs] = ours
    return columns


def _show_report(report: IngestReport, out: Path) -> None:
    figures = ("rows", "kept", "duplicates", "rejected")
    rows = [(name, *(asdict(table)[figure] for figure in figures)) for name, table in report.tables.items()]
    show_table(("table", *figures), rows)
    for name, table in report.tables.items():
        show_lines(
            f"{name}: {count:,} {'row' if count == 1 else 'rows'} left out: {reason}"
            for reason, count in table.reasons.items()
        )
        show_lines(f"{name}: {note}" for note in table.notes)
        if table.ignored_columns:
            show_lines([f"{name}: columns without a place: {', '.join(table.ignored_columns)}"])
    show_lines([f"{out} is written, in the zone {report.info.timezone}"])
