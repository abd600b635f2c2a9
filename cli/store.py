"""Commands over the live log of a server."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, parse_age, wall_clock
from cli.output import progress, show_json, show_lines
from recsys.core.errors import ConfigError

if TYPE_CHECKING:
    from recsys.eventlog.store import EntryType

LiveLog = Annotated[
    str,
    typer.Option(
        "--store", metavar="FILE", help="The live log of `recsys serve`: a file, or postgresql://user@host/name."
    ),
]


def app() -> typer.Typer:
    """Build the commands of `recsys store`."""
    commands = typer.Typer(help="Maintain the live log.", no_args_is_help=True)
    commands.callback()(lambda: None)
    commands.command("prune")(prune)
    for command in (compact, backup, restore, check, migrate):
        commands.command()(command)
    return commands


def prune(
    store: LiveLog,
    events_older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Remove events that happened longer ago, such as 400d or 36h.")
    ] = None,
    impressions_older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Remove impressions that were shown longer ago, such as 90d.")
    ] = None,
    changes_up_to: Annotated[
        int,
        typer.Option(
            min=0,
            help="Also remove the changes of items and users up to this number of the log; give the `store_seq` of the"
            " tables from which the shop's files were written, so that the files contain the changes.",
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Remove old events and impressions from the live log; merges and erasures stay.

    `recsys store compact` then returns the space to the disk.
    """
    from recsys.eventlog.opening import open_log
    from recsys.eventlog.store import ITEM_CHANGES, USER_CHANGES

    now = wall_clock()
    given: dict[EntryType, str | None] = {"event": events_older_than, "impression": impressions_older_than}
    ages = {kind: parse_age(age, f"--{kind}s-older-than") for kind, age in given.items() if age is not None}
    if not ages and not changes_up_to:
        raise ConfigError("nothing to remove: give --events-older-than 400d, --impressions-older-than 90d or both")
    with closing(open_log(store)) as log:
        removed = {kind: log.delete_before((now - age).timestamp(), (kind,)) for kind, age in ages.items()}
        changes = log.delete_changes(changes_up_to, (*ITEM_CHANGES, *USER_CHANGES)) if changes_up_to else 0
    if as_json:
        before = {f"{kind}s_before": (now - age).isoformat(timespec="seconds") for kind, age in ages.items()}
        counts = {f"{kind}s_removed": count for kind, count in removed.items()}
        show_json({**before, **counts, "changes_removed": changes})
        return
    for kind, age in ages.items():
        show_lines([f"removed {removed[kind]:,} {kind}s before {(now - age).isoformat(timespec='seconds')}"])
    if changes_up_to:
        show_lines([f"removed {changes:,} changes up to number {changes_up_to}"])


def compact(store: LiveLog, as_json: AsJson = False) -> None:
    """Return the space of removed entries to the disk, and overwrite their copies; writers wait meanwhile.

    The exit code is 1 if a reader prevented it.
    """
    from recsys.eventlog.opening import open_log

    with closing(open_log(store)) as log:
        before = log.size_bytes()
        is_done = log.compact()
        after = log.size_bytes()
    if as_json:
        show_json({"compacted": is_done, "bytes_before": before, "bytes_after": after})
    else:
        done = "compacted" if is_done else "not compacted, a reader was busy: try again"
        show_lines([f"{done}; {before:,} bytes before, {after:,} bytes now"])
    if not is_done:
        raise typer.Exit(1)


def backup(
    store: LiveLog,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The copy; replaced if it exists.")],
    as_json: AsJson = False,
) -> None:
    """Copy the live log, while the server runs: one consistent file, checked, without unused parts."""
    from recsys.eventlog.opening import file_of
    from recsys.eventlog.sqlite_backup import backup_log

    entries = backup_log(file_of(store, "copy it with pg_dump, or by the archive of its write-ahead log"), out)
    if as_json:
        show_json({"backup": str(out), "entries": entries, "bytes": out.stat().st_size})
    else:
        show_lines([f"{out} has {entries:,} entries, {out.stat().st_size:,} bytes"])


def restore(
    source: Annotated[Path, typer.Option("--from", metavar="FILE", help="A copy that `recsys store backup` wrote.")],
    store: LiveLog,
    models: Annotated[
        Path | None,
        typer.Option(help="Folder of bundles that will be served over the log.", show_default="the log's folder"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the live log, while no server runs; the old log stays beside it.

    Users whom the old log has erased since are erased from the backup too.
    """
    from recsys.bundles.registry import current_version
    from recsys.eventlog.opening import file_of
    from recsys.eventlog.sqlite_backup import restore_log
    from recsys.pipeline.recommender import Recommender

    path = file_of(store, "restore it with pg_restore while no server runs, then repeat the erasures since")
    folder = models or path.parent
    known = Recommender.of_bundle(folder).engine.dataset_info.store_seq if current_version(folder) is not None else 0
    report = restore_log(source, path, known)
    if as_json:
        show_json({**asdict(report), "replaced": report.replaced and str(report.replaced)})
        return
    show_lines([f"{store} has {report.entries:,} entries"])
    if report.removed:
        show_lines([f"removed {report.removed:,} entries of users who were erased after the backup"])
    if report.replaced is not None:
        show_lines([f"the log before is {report.replaced}: delete it when nothing of it is needed"])
    if report.unreadable:
        show_lines([f"it cannot be read ({report.unreadable}): repeat the erasures that came after the backup"])


def check(
    store: LiveLog,
    models: Annotated[
        Path | None,
        typer.Option(
            help="Folder of bundles: also apply all entries to the current one, as the server does.",
            show_default="none",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the live log: the file, every entry, and whether all entries can be applied; changes nothing.

    The exit code is 1 if anything is wrong.
    """
    from recsys.eventlog.check import check_log
    from recsys.eventlog.opening import open_log
    from recsys.live.view import LiveView
    from recsys.pipeline.recommender import Recommender

    with closing(open_log(store)) as log:
        report = check_log(log)
        set_aside: list[dict[str, object]] = []
        if models is not None:
            live = LiveView(Recommender.of_bundle(models).engine)
            live.catch_up(log)
            _ = live.engine  # builds the catalog
            set_aside = [vars(each) for each in live.set_aside]
    unreadable = [{"seq": seq, "reason": reason} for seq, reason in report.unreadable]
    result = {"entries": report.entries, "damage": report.damage, "unreadable": unreadable, "set_aside": set_aside}
    if as_json:
        show_json(result)
    else:
        show_lines([f"{count:,} entries of type {name}" for name, count in report.entries.items()])
        show_lines([f"the file is damaged: {found}" for found in report.damage])
        show_lines([f"entry {each['seq']} cannot be read: {each['reason']}" for each in unreadable])
        show_lines(
            [
                f"entry {each['seq']} ({each['entry_type']} {each['key']!r}) is set aside: {each['reason']}"
                for each in set_aside
            ]
        )
    if report.damage or unreadable or set_aside:
        raise typer.Exit(1)
    if not as_json:
        show_lines(["nothing is wrong"])


def migrate(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The live log to be copied, as in --store.")],
    target: Annotated[str, typer.Argument(metavar="DATABASE", help="postgresql://user@host/name, without entries.")],
    as_json: AsJson = False,
) -> None:
    """Copy the live log of a file into a PostgreSQL database, with all numbers.

    The server may run meanwhile. Then stop it, run the command again, which copies what was added since, and start the
    server with `--store DATABASE`.
    """
    from recsys.eventlog.opening import create_log, is_database, log_name

    if not is_database(target):
        raise ConfigError(f"DATABASE is {target!r}: expected an address such as postgresql://user@host/name")
    with closing(create_log(target)) as log, progress() as on_progress:
        from recsys.eventlog.postgres.migration import migrate_log
        from recsys.eventlog.postgres.store import PostgresStore

        assert isinstance(log, PostgresStore)
        report = migrate_log(source, log, lambda share: on_progress("copying", share))
    if as_json:
        show_json(asdict(report))
        return
    show_lines([f"copied {report.copied:,} entries of {source} to {log_name(target)}, up to number {report.last_seq}"])
    if report.removed:
        show_lines([f"removed {report.removed:,} copied entries that the file has not any more"])
    if report.unreadable:
        show_lines([f"left out {report.unreadable:,} entries that cannot be read"])
