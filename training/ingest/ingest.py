"""The job that turns a shop's files into a validated folder of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import polars as pl

from recsys.core.config.ranges import NonNegativeFloat, Share
from recsys.core.config.toml_reader import check_config
from recsys.core.errors import ConfigError, DataError
from recsys.core.progress import Progress, silent
from recsys.core.schema import EVENT_ALIASES, EVENT_NAMES, TABLES, names_instead
from recsys.core.timestamps import EARLIEST_EVENT, parse_iso
from recsys.data.null_words import spelled
from recsys.eventlog.opening import LogLocation, is_database, log_name
from training.exports.formats import ItemsFormat, as_items
from training.ingest.casts import CastOptions, is_zone
from training.ingest.catalog_state import CatalogConfig, find_catalog_state
from training.ingest.csv_reader import CsvHeader
from training.ingest.dataset_folder import check_replaceable, write_folder
from training.ingest.event_log import concat_logs, export_event_log, file_identities, validated_log
from training.ingest.event_names import KNOWN_NAMES, SKIP, aliases_of, listed, mapping_advice
from training.ingest.messages import split_messages, with_clicks
from training.ingest.number_columns import Decimal
from training.ingest.raw_table import RawTable, concat_parts
from training.ingest.readers import read_table
from training.ingest.reports import IngestReport, table_report
from training.ingest.several_files import with_lists
from training.ingest.timestamp_columns import TimestampOptions
from training.ingest.validation import EMPTIED, REJECTS, ValidationResult, ValidationRules, validate_table

Paths = Path | Sequence[Path] | None
"""One file or folder, several of them, or none."""


@dataclass(frozen=True)
class InputFiles:
    """The files, or folders of part files, of each table, and the live log; events, items or the log are required.

    Attributes:
        events, items, users, offers, identities, messages: paths of each table; the rows of several files are added
            up, in their order.
        store: the live log, a file or the address of a database; its events are added to the files, and its changes
            are applied to them.
        as_of: aware moment of the export of items and offers; None for that of the files minus the lag.
    """

    events: Paths = None
    items: Paths = None
    users: Paths = None
    offers: Paths = None
    identities: Paths = None
    messages: Paths = None
    store: LogLocation | None = None
    as_of: datetime | None = None

    def tables(self) -> dict[str, tuple[Path, ...]]:
        """Return the paths of each table that has some, in the order of the schema."""
        given = {name: getattr(self, name) for name in TABLES}
        paths = {name: (value,) if isinstance(value, Path) else tuple(value or ()) for name, value in given.items()}
        return {name: found for name, found in paths.items() if found}


@dataclass(frozen=True)
class IngestConfig:
    """The format of the shop's files, and the share of rows that may be bad.

    Attributes:
        timezone: IANA zone of the shop, also of times without a zone. Without it such times are rejected, and the
            tables have the zone UTC.
        encoding: encoding of CSV and JSON Lines files, such as `utf-8` or `gb18030`.
        sheet: name of the sheet of spreadsheets (`.xlsx`); None for the first one.
        max_reject_share: largest share of a table's rows that may be rejected; duplicates do not count as rejected,
            nor do events that are not about an item count at all.
        future_tolerance: minutes by which a time may be later than the present moment.
        earliest: the earliest time that an event may have; earlier ones, such as 1970, are rejected.
        columns: the shop's column names, each with the standard name.
        csv_columns: column names of each table's CSV files that have no header, in the order of the file.
        trust_header: whether the first line of a CSV file is a header even if it looks like data.
        default_event: event name of every row, where the events have no such column.
        event_names: the shop's event names, each with the standard name; the name `skip` leaves its events out.
        timestamp_format: strftime format of times, tried before the standard ones.
        category_separator: text between the levels of a category.
        decimal: the mark before decimals in texts: `point`, `comma`, or `auto` for the one that each column uses.
        real_words: words such as `null` that are ids or values of this shop; elsewhere they stand for an empty cell.
        max_bad_cell_share: largest share of an optional column's filled cells that may be unreadable.
        tag_separators: characters that each end a tag; without it the column's own of `|`, `;`, `、` and `,`.
        items_format: format of the items files: `plain` for the columns of the items table, `shopify`, `woocommerce`,
            `magento` or `merchant` (Google Merchant Center) for a product export; `auto` recognizes it by the columns.
    """

    timezone: str | None = None
    encoding: str = "utf-8"
    sheet: str | None = None
    max_reject_share: Share = 0.05
    future_tolerance: NonNegativeFloat = 5.0
    earliest: str = str(EARLIEST_EVENT.date())
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    csv_columns: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    trust_header: bool = False
    default_event: str | None = None
    event_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    timestamp_format: str | None = None
    category_separator: str = ">"
    decimal: Decimal = "auto"
    real_words: tuple[str, ...] = ()
    max_bad_cell_share: Share = 0.5
    tag_separators: str | None = None
    items_format: ItemsFormat = "auto"


def ingest(
    sources: InputFiles,
    config: IngestConfig,
    out: Path,
    now: datetime,
    progress: Progress = silent,
    catalog: CatalogConfig | None = None,
) -> IngestReport:
    """Read, validate and write a shop's tables as one folder.

    A bad row never stops the job and is never lost: it goes to `rejects.parquet` with all of its reasons. A job that
    fails leaves `out` unchanged, and its rejects in `<out>.rejects.parquet`.

    Args:
        sources: the files of each table.
        config: their format.
        out: the folder to write; an older one is replaced, any other content is refused.
        now: aware present moment; an event after it by more than the tolerance is in the future.
        progress: receives the stages.
        catalog: what the catalog files are the truth of; None for the defaults.

    Returns:
        Kept and rejected rows by table and reason.

    Raises:
        ConfigError: a setting is unknown or out of range, or `out` cannot be replaced.
        DataError: a file cannot be read, a required column is missing, too many rows are rejected or none is
            kept.
    """
    paths = sources.tables()
    _check_call(sources, config, out, now)
    rules = _rules(config, now)
    n_steps = 2 * len(paths) + 1
    raw: dict[str, RawTable] = {}
    said: dict[str, tuple[str, ...]] = {}
    for step, (table, files) in enumerate(paths.items()):
        progress(f"reading {table}", step / n_steps)
        raw[table], said[table] = _read_files(files, table, config, now)
    _check_columns(raw, config)
    validated: dict[str, ValidationResult] = {}
    raw = split_messages(raw, config.columns)
    for step, table in enumerate(list(raw), len(paths)):
        progress(f"validating {table}", step / n_steps)
        validated[table] = validate_table(raw.pop(table), table, rules)
    kept = with_clicks({table: part.kept for table, part in validated.items()})
    log = None
    if sources.store is not None:
        progress("reading the live log", 0.5)
        log = export_event_log(sources.store, file_identities(kept))
    tables = kept if log is None else kept | {"events": log.all_events(kept)}
    state = find_catalog_state(tables, paths, catalog or CatalogConfig(), sources.as_of)
    log = None if log is None else replace(log, catalog=state)
    from_log = {} if log is None else validated_log(log, kept, rules.latest)
    rejects = pl.concat(
        [pl.DataFrame(schema=REJECTS), *(part.rejects for part in (*validated.values(), *from_log.values()))]
    )
    _refuse_bad_tables(validated, paths, config, rejects, out)
    identities = file_identities(kept) if log is None else log.identities
    if log is not None or "identities" in kept:
        logged = {table: part.kept for table, part in from_log.items()}
        kept = concat_logs(kept, logged, identities, () if log is None else log.new_offers(kept))
        _require_rows(kept, sources)
    progress("writing", (n_steps - 1) / n_steps)
    reports = {
        table: table_report(part, (*said.get(table, ()), *state.notes.get(table, ())))
        for table, part in validated.items()
    }
    reports |= {f"{table} of the live log": table_report(part) for table, part in from_log.items()}
    emptied = pl.concat(
        [pl.DataFrame(schema=EMPTIED), *(part.emptied for part in (*validated.values(), *from_log.values()))]
    )
    left_out = {"rejects": rejects, "emptied": emptied}
    tables = {table: _ordered(rows, table) for table, rows in kept.items()} | left_out
    described = {"report": {table: asdict(report) for table, report in reports.items()}}
    seq, merges = 0 if log is None else log.seq, identities.roots(identities.merges)
    info = write_folder(
        tables,
        described,
        config.timezone or "UTC",
        out,
        store_seq=seq,
        merges=merges,
        is_catalog_complete=state.is_complete,
        exported_at=dict(state.exported_at),
    )
    rejects_beside(out).unlink(missing_ok=True)
    progress("done", 1.0)
    unreadable = () if log is None else log.unreadable
    return IngestReport(info, reports, {stored.seq: str(stored.entry.body["reason"]) for stored in unreadable})


def _read_files(
    paths: Sequence[Path], table: str, config: IngestConfig, now: datetime
) -> tuple[RawTable, tuple[str, ...]]:
    """Return the rows of the files of one table, and what is to be said about how they were read."""
    header = CsvHeader(config.csv_columns.get(table, ()), config.trust_header)
    aliases = aliases_of(config.event_names)
    parts = [read_table(path, table, config.encoding, header, aliases, config.sheet) for path in paths]
    notes: list[str] = []
    if table == "items":
        exports = [as_items(part, _items_format(part, config), now.date()) for part in parts]
        parts, notes = [part for part, _ in exports], [note for _, found in exports for note in found]
    if len(parts) > 1:
        parts = with_lists(parts, config.columns, _casts(config))
    return concat_parts(parts, ", ".join(map(str, paths))), tuple(notes)


def _items_format(part: RawTable, config: IngestConfig) -> ItemsFormat:
    """Return the format of an items file; one whose `item_id` is mapped is not recognized as an export."""
    is_mapped = any(config.columns.get(name) == "item_id" for name in part.frame.columns)
    return "plain" if is_mapped and config.items_format == "auto" else config.items_format


def rejects_beside(out: Path) -> Path:
    """Return the path of the rejects of a failed job."""
    return out.parent / f"{out.name}.rejects.parquet"


def _require_rows(tables: Mapping[str, pl.DataFrame], sources: InputFiles) -> None:
    if "events" not in tables and "items" not in tables:
        raise DataError(f"{log_name(sources.store or 'the tables')} and the files have no valid event and no item")


def _check_call(sources: InputFiles, config: IngestConfig, out: Path, now: datetime) -> None:
    paths = sources.tables()
    if "events" not in paths and "items" not in paths and sources.store is None:
        raise ConfigError("no input: add --events, --items or both, or --from-store")
    if now.tzinfo is None:
        raise ConfigError(f"the time {now.isoformat()} has no time zone; add its offset")
    if config.timezone is not None and not is_zone(config.timezone):
        raise ConfigError(f"{config.timezone!r} is not an IANA time zone such as Asia/Shanghai")
    check_config(config, "ingest")
    try:
        parse_iso(config.earliest, UTC)
    except ValueError as error:
        raise ConfigError(f"earliest is {config.earliest!r}, {error}") from None
    if config.default_event is not None and config.default_event not in {*EVENT_NAMES, *EVENT_ALIASES}:
        raise ConfigError(f"default_event {config.default_event!r} is unknown; known are {KNOWN_NAMES}")
    for table in config.csv_columns:
        if table not in paths:
            raise ConfigError(f"columns are named for {table!r}, expected a table with files: {', '.join(paths)}")
    for theirs, ours in config.event_names.items():
        if ours not in {*EVENT_NAMES, *EVENT_ALIASES, SKIP}:
            raise ConfigError(f"event {theirs!r} is mapped to {ours!r}, expected {SKIP} or one of {KNOWN_NAMES}")
    for theirs, ours in config.columns.items():
        if names := names_instead(ours):
            raise ConfigError(f"column {theirs!r} is mapped to {ours!r}, which is not a column of any table: {names}")
    check_replaceable(out)
    for table, files in paths.items():
        repeated = [path for path in files if [other.resolve() for other in files].count(path.resolve()) > 1]
        if repeated:
            raise ConfigError(f"{table}: {repeated[0]} is given twice; name each file once")
    inputs = [path for files in paths.values() for path in files] + _log_files(sources.store)
    inside = [path for path in inputs if path.resolve().is_relative_to(out.resolve())]
    if inside:
        raise ConfigError(f"{inside[0]} is inside {out}, which this job replaces; name another folder")


def _log_files(location: LogLocation | None) -> list[Path]:
    return [] if location is None or is_database(location) else [Path(location)]


def _check_columns(raw: Mapping[str, RawTable], config: IngestConfig) -> None:
    """Refuse a mapped column that no file has; a file with only broken rows may have it."""
    frames = [part.frame for part in raw.values()]
    if any(frame.width == 0 for frame in frames):
        return
    found = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    for theirs, ours in config.columns.items():
        if theirs not in found:
            raise ConfigError(
                f"column {theirs!r} is mapped to {ours!r}, but no file has it (columns found: {', '.join(found)}); "
                "correct the mapping or leave it out"
            )


def _casts(config: IngestConfig) -> CastOptions:
    return CastOptions(
        TimestampOptions(config.timezone, config.timestamp_format),
        config.category_separator,
        config.tag_separators,
        aliases_of(config.event_names),
        config.decimal,
        spelled(real=config.real_words),
    )


def _rules(config: IngestConfig, now: datetime) -> ValidationRules:
    casts = _casts(config)
    latest = now + timedelta(minutes=config.future_tolerance)
    return ValidationRules(
        latest,
        casts,
        config.columns,
        config.default_event,
        config.event_names,
        parse_iso(config.earliest, UTC),
        config.max_bad_cell_share,
    )


def _refuse_bad_tables(
    validated: dict[str, ValidationResult],
    paths: Mapping[str, Sequence[Path]],
    config: IngestConfig,
    rejects: pl.DataFrame,
    out: Path,
) -> None:
    """Fail if a table has too many rejected rows or no kept one, and write the rejects next to `out`."""
    for table, part in validated.items():
        share = part.rejected / part.judged if part.judged else 0.0
        if part.kept.height and share <= config.max_reject_share:
            continue
        path = rejects_beside(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        rejects.write_parquet(path)
        names = [file.name for file in paths.get(table, paths.get("events", ()))]
        raise DataError(_why_refused(part, table, names, config, path))


def _why_refused(part: ValidationResult, table: str, names: list[str], config: IngestConfig, rejects: Path) -> str:
    source, skipped = ", ".join(names), sum(part.skipped.values())
    if not part.judged:
        return (
            f"{table}: all {skipped:,} {_rows(skipped)} of {source} are events that are not about an item "
            f"({listed(part.skipped)}): export views and purchases too"
        )
    unknown = part.unknown_events()
    reason, count = next(iter(part.faults().items()))
    limit = f"more than the {config.max_reject_share:.1%} allowed" if part.kept.height else "no row is valid"
    why = f"the most frequent reason is {reason!r} ({count:,} {_rows(count)})"
    if reason in part.examples:
        why += f": {part.examples[reason]}"
    if sum(unknown.values()) >= count:
        why = f"event names are not known: {listed(unknown)}; {mapping_advice(unknown)}"
    return (
        f"{table}: {part.rejected:,} of {part.judged:,} {_rows(part.judged)} of {source} "
        f"({part.rejected / part.judged:.1%}) {'was' if part.rejected == 1 else 'were'} rejected, {limit}; {why}; "
        f"all rejects are in {rejects}"
    )


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def _ordered(rows: pl.DataFrame, table: str) -> pl.DataFrame:
    """Sort events and messages by time, with the input order for equal times; other tables keep their order."""
    if table in ("events", "messages") and not rows["timestamp"].is_sorted():
        return rows.sort("timestamp", maintain_order=True)
    return rows
