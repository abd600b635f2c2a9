"""Commands that write a folder of tables and examine it."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.documents import PlacementFile
from cli.options import AsJson, ConfigFile, Data, parse_moment, wall_clock
from cli.output import progress, show_json, show_lines, show_table
from recsys.core.errors import ConfigError

if TYPE_CHECKING:
    from training.ingest.reports import IngestReport, TableReport

Source = Annotated[
    list[Path] | None, typer.Option(help="Parquet, CSV, JSON Lines or .xlsx, or a folder of such files; repeatable.")
]
Now = Annotated[str | None, typer.Option("--now", help="Present moment, RFC 3339.", show_default="the clock's")]

GROCER, CHINESE = "grocer", "cn"
"""The demo shops."""

MAX_SHOWN = 20
"""Entries of the live log that are named; `--json` names all."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo-data")(demo_data)
    app.command("ingest")(ingest_tables)
    app.command("doctor")(doctor)


def demo_data(
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write.", show_default="data/demo, or data/cn")
    ] = None,
    shop: Annotated[
        str, typer.Option(help="grocer: one year of a real grocer's baskets; cn: a generated Chinese shop.")
    ] = GROCER,
    users: Annotated[int | None, typer.Option(help="Users of the generated shop.", show_default="4000")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the generated shop.", show_default="0")] = None,
) -> None:
    """Write the tables of a demo shop."""
    if shop not in (GROCER, CHINESE):
        raise ConfigError(f"--shop is {shop!r}, expected {GROCER} or {CHINESE}")
    if shop == GROCER and (users is not None or seed is not None):
        raise ConfigError(f"--users and --seed are for the generated shop: add --shop {CHINESE}")
    from training.chinese_shop.shop import DEFAULT_USERS, ChineseShopConfig, build_chinese_shop
    from training.demo_data import build_demo

    out = out or Path("data") / ("demo" if shop == GROCER else CHINESE)
    config = ChineseShopConfig(DEFAULT_USERS if users is None else users, seed or 0)
    with progress() as on_progress:
        is_new = build_demo(out, on_progress) if shop == GROCER else build_chinese_shop(out, config, on_progress)
    show_lines([f"{out} {'is written' if is_new else 'is up to date'}"])


def ingest_tables(
    out: Annotated[Path, typer.Option("--out", help="Folder of tables to write; an existing one is replaced.")],
    events: Source = None,
    items: Source = None,
    users: Source = None,
    offers: Source = None,
    identities: Source = None,
    messages: Source = None,
    from_store: Annotated[
        str | None,
        typer.Option(
            "--from-store", metavar="FILE", help="Live log of `recsys serve`, added to the files; or postgresql://…"
        ),
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="IANA zone of the shop, such as Asia/Shanghai.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of CSV and JSON files, such as gb18030.")] = None,
    sheet: Annotated[
        str | None, typer.Option(help="Sheet of .xlsx files, by name.", show_default="the first one")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="THEIRS=OURS", help="Your column name and the standard one; repeatable."),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line of CSV files has the column names.",
            show_default="yes, unless it looks like data",
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TABLE:]NAME,NAME,…",
            help="Column names of CSV files without a header, in order; with TABLE: if several tables are given.",
        ),
    ] = None,
    default_event: Annotated[
        str | None, typer.Option(help="Event name of every row, where there is no such column.")
    ] = None,
    event_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THEIRS=OURS", help="Your name of an event and the standard one, or `skip` for none; repeatable."
        ),
    ] = None,
    timestamp_format: Annotated[str | None, typer.Option(help="strftime format of times.")] = None,
    decimal: Annotated[
        str | None,
        typer.Option(help="Mark before decimals: point or comma.", show_default="the one that each column uses"),
    ] = None,
    real_word: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help="A word such as null that is an id or a value of yours; repeatable."),
    ] = None,
    category_separator: Annotated[str | None, typer.Option(help="Text between the levels of a category.")] = None,
    tag_separators: Annotated[str | None, typer.Option(help="Characters that each end a tag.")] = None,
    items_format: Annotated[
        str | None,
        typer.Option(
            help="Format of the items files: plain, or a product export: shopify, woocommerce, magento, merchant.",
            show_default="recognized by the columns",
        ),
    ] = None,
    max_reject_share: Annotated[float | None, typer.Option(help="Largest share of rejected rows, 0 to 1.")] = None,
    future_tolerance: Annotated[float | None, typer.Option(help="Minutes that an event may be in the future.")] = None,
    earliest: Annotated[
        str | None, typer.Option(help="Earliest time that an event may have.", show_default="1990-01-01")
    ] = None,
    complete_catalog: Annotated[
        bool | None,
        typer.Option(
            "--complete-catalog/--partial-catalog",
            help="Whether items that the items files lack are not listed; the default depends on the purchases.",
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Moment of the export of items and offers, RFC 3339: earlier live changes do not win over it.",
            show_default="the files' time minus catalog.export_lag",
        ),
    ] = None,
    config: ConfigFile = None,
    now: Now = None,
    as_json: AsJson = False,
) -> None:
    """Validate a shop's files and write them as a folder of tables; rejected rows are kept with their reasons.

    Options override the tables [ingest] and [catalog] of --config.
    """
    from training.config import read_config
    from training.ingest.ingest import InputFiles, ingest

    sources = InputFiles(events, items, users, offers, identities, messages, from_store)
    given: dict[str, Any] = {
        "timezone": timezone,
        "encoding": encoding,
        "sheet": sheet,
        "columns": _pairs(column, "--column", "会员号=user_id") if column else None,
        "csv_columns": _csv_columns(header, columns or [], tuple(sources.tables())),
        "trust_header": header,
        "event_names": _pairs(event_name, "--event-name", "购买=purchase") if event_name else None,
        "default_event": default_event,
        "timestamp_format": timestamp_format,
        "category_separator": category_separator,
        "decimal": decimal,
        "real_words": tuple(real_word) if real_word else None,
        "tag_separators": tag_separators,
        "items_format": items_format,
        "max_reject_share": max_reject_share,
        "future_tolerance": future_tolerance,
        "earliest": earliest,
    }
    file = read_config(config)
    settings = replace(file.ingest, **{name: value for name, value in given.items() if value is not None})
    catalog = file.catalog if complete_catalog is None else replace(file.catalog, complete=complete_catalog)
    exported = parse_moment(as_of, "--as-of") if as_of else None
    moment = parse_moment(now, "--now") if now else wall_clock()
    with progress() as on_progress:
        report = ingest(replace(sources, as_of=exported), settings, out, moment, on_progress, catalog)
    show_json(report.to_dict()) if as_json else _show_report(report, out)


def doctor(data: Data, placements: PlacementFile = None, now: Now = None, as_json: AsJson = False) -> None:
    """Report what a folder of tables contains, what is unusual, and which lists it supports.

    With --placements also where the file's weights replace learned ones, and which of its rules keep no item.
    """
    from training.doctor.doctor import render, run_doctor

    report = run_doctor(data, parse_moment(now, "--now") if now else wall_clock(), placements)
    show_json(report.to_dict()) if as_json else show_lines([render(report)])


def _csv_columns(header: bool | None, given: list[str], tables: tuple[str, ...]) -> dict[str, tuple[str, ...]] | None:
    """Return the column names by table; None where the options say nothing."""
    if header is not False:
        if given:
            raise ConfigError(f"--columns is {given[0]!r}: it goes with --no-header, for CSV files without a header")
        return None
    columns = {}
    for text in given:
        prefix, colon, names = text.rpartition(":")
        if not colon and len(tables) != 1:
            raise ConfigError(
                f"--columns is {text!r}: name its table, such as --columns {(*tables, 'events')[0]}:{text}"
            )
        columns[prefix if colon else tables[0]] = tuple(name.strip() for name in names.split(","))
    if not columns:
        raise ConfigError(
            "--no-header needs the names: add --columns, such as --columns user_id,item_id,event,timestamp"
        )
    return columns


def _pairs(pairs: list[str], option: str, example: str) -> dict[str, str]:
    read = {}
    for pair in pairs:
        theirs, equals, ours = pair.rpartition("=")
        if not (theirs and equals and ours):
            raise ConfigError(f"{option} is {pair!r}, expected THEIRS=OURS, such as {option} {example}")
        read[theirs] = ours
    return read


def _example(table: TableReport, reason: str) -> str:
    return f" ({table.examples[reason]})" if reason in table.examples else ""


def _show_report(report: IngestReport, out: Path) -> None:
    from training.ingest.event_names import listed, mapping_advice

    counts = ("rows", "kept", "duplicates", "rejected")
    rows = [
        (name, *(asdict(table)[count] for count in counts), sum(table.skipped.values()))
        for name, table in report.tables.items()
    ]
    show_table(("table", *counts, "skipped"), rows)
    for name, table in report.tables.items():
        if table.skipped:
            show_lines([f"{name}: skipped, because these events are not about an item: {listed(table.skipped)}"])
        if table.unknown_events:
            show_lines(
                [f"{name}: unknown names: {listed(table.unknown_events)}; {mapping_advice(table.unknown_events)}"]
            )
        found = [("row", "left out", table.reasons), ("cell", "emptied", table.emptied)]
        show_lines(
            f"{name}: {count:,} {noun if count == 1 else f'{noun}s'} {effect}: {reason}{_example(table, reason)}"
            for noun, effect, reasons in found
            for reason, count in reasons.items()
        )
        show_lines(f"{name}: {note}" for note in table.notes)
        if table.ignored_columns:
            show_lines([f"{name}: unknown columns, ignored: {', '.join(table.ignored_columns)}"])
    if report.set_aside:
        show_lines([f"the live log: {len(report.set_aside):,} entries cannot be read and are left out"])
        show_lines(f"the live log: entry {seq}: {why}" for seq, why in islice(report.set_aside.items(), MAX_SHOWN))
    show_lines([f"{out} is written, in the zone {report.info.timezone}"])
