"""Commands over the live log of a server."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, wall_clock
from cli.output import show_json, show_lines


def app() -> typer.Typer:
    """Build the commands of `recsys store`."""
    commands = typer.Typer(help="Maintain the live log.", no_args_is_help=True)
    commands.callback()(lambda: None)
    commands.command("prune")(prune)
    commands.command("check")(check)
    return commands


def prune(
    older_than_days: Annotated[
        float,
        typer.Option(
            min=0, max=36_500, help="Remove events and impressions that happened longer ago than this number of days."
        ),
    ],
    store: Annotated[Path, typer.Option(help="The live log of `recsys serve`.")],
    changes_up_to: Annotated[
        int,
        typer.Option(
            min=0,
            help="Also remove the changes of items and users up to this number of the log; give the `store_seq` of the"
            " tables from which the shop's files were written, so that the files contain the changes.",
        ),
    ] = 0,
    compact: Annotated[
        bool, typer.Option("--compact", help="Return the free space to the disk; writers wait meanwhile.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove old events and impressions from the live log; merges and erasures stay."""
    from recsys.eventlog.store import ITEM_CHANGES, USER_CHANGES
    from training.ingest.event_log import open_log

    before = wall_clock() - timedelta(days=older_than_days)
    with closing(open_log(store)) as log:
        result = {
            "before": before.isoformat(timespec="seconds"),
            "events_removed": log.delete_before(before.timestamp()),
            "changes_removed": log.delete_changes(changes_up_to, (*ITEM_CHANGES, *USER_CHANGES)),
            "compacted": log.compact() if compact else None,
        }
    if as_json:
        show_json(result)
        return
    show_lines([f"removed {result['events_removed']:,} events and impressions before {result['before']}"])
    if changes_up_to:
        show_lines([f"removed {result['changes_removed']:,} changes up to number {changes_up_to}"])
    if compact:
        show_lines(["compacted" if result["compacted"] else "not compacted: a reader was busy, try again"])


def check(
    store: Annotated[Path, typer.Option(help="The live log of `recsys serve`.")],
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
    from recsys.live.view import LiveView
    from recsys.pipeline.recommender import Recommender
    from training.ingest.event_log import open_log

    with closing(open_log(store)) as log:
        report = check_log(log)
        set_aside: list[dict[str, object]] = []
        if models is not None:
            live = LiveView(Recommender.open(models).engine)
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
