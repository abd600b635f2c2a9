"""Commands that copy the state of a shop between files and a database."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.options import wall_clock
from cli.output import show_lines
from recsys.core.documents import EXPERIMENTS, KEYS, PLACEMENTS
from recsys.core.errors import ConfigError

Database = Annotated[str, typer.Option("--store", metavar="ADDRESS", help="postgresql://user@host/name.")]


def app() -> typer.Typer:
    """Build the commands of `recsys state`."""
    commands = typer.Typer(help="Copy the state of a shop between files and a database.", no_args_is_help=True)
    commands.command("import")(import_files)
    commands.command("export")(export_files)
    return commands


def import_files(
    store: Database,
    placements: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file of lists.")] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of their history; copied if the database has none.",
            show_default="placements.history beside FILE",
        ),
    ] = None,
    experiments: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML file of experiments; their states are copied if there are none."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of API keys, which are added to those of the database.")
    ] = None,
) -> None:
    """Store files in a database, all or none of them; running servers with RECSYS_STATE=database follow at once.

    The first import copies the state of a shop. Later ones replace the placements, which the audit log notes, or the
    definitions of experiments.
    """
    from recsys.core.timestamps import utc_text
    from recsys.drafts.records import ChangeNote
    from recsys.drafts.state_files import import_experiments, import_placements
    from recsys.eventlog.opening import log_name, open_documents
    from serving.runtime.auth import change_keys, read_keys

    if placements is None and experiments is None and keys is None:
        raise ConfigError("nothing to import: give --placements, --experiments or --keys")
    if history is not None and (placements is None or not history.is_dir()):
        raise ConfigError(f"--history is {history}: give an existing folder, and --placements, whose history it is")
    done = []
    with closing(open_documents(store)) as documents, documents.changing():
        if placements is not None:
            note = ChangeNote("command line", utc_text(wall_clock().replace(microsecond=0)), reason=f"of {placements}")
            folder = placements.parent / f"{placements.stem}.history" if history is None else history
            is_copied = import_placements(placements, folder, documents, note)
            done.append(f"{placements} is {PLACEMENTS}{f', with the history of {folder}' * is_copied}")
        if experiments is not None:
            is_copied = import_experiments(experiments, documents)
            done.append(f"{experiments} is {EXPERIMENTS}{', with its states' * is_copied}")
        if keys is not None:
            added = {key.key_id: key for key in read_keys(keys)}
            change_keys(
                documents / KEYS, lambda known: [*(key for key in known if key.key_id not in added), *added.values()]
            )
            done.append(f"{len(added)} keys of {keys} are in {KEYS}")
    show_lines([f"in {log_name(store)}:", *(f"  {line}" for line in done)])


def export_files(
    store: Database,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")],
) -> None:
    """Write the state of a shop as files: to edit them, to keep a copy, or to serve without a database."""
    from recsys.drafts.state_files import export_state
    from recsys.eventlog.opening import open_documents

    with closing(open_documents(store)) as documents:
        names = export_state(documents, out)
    show_lines([f"{out} has {len(names)} files: {', '.join(name for name in names if '/' not in name) or 'none'}"])
