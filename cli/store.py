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
