"""Options that name a file of a shop's state, or the database that has it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer

from recsys.core.documents import EXPERIMENTS, KEYS, PLACEMENTS, Document, FileDocument

ADDRESS: Final = "or postgresql://user@host/name with the state of the shop"

OPENED: Final = ExitStack()
"""What the options of a command have opened; it is closed at the end of the command."""


def at_place(text: str, name: str) -> Document:
    """Return the document that an option names; a database is closed at the end of the command.

    Args:
        text: the path of a file, or the address of a database.
        name: of the document in a database.

    Raises:
        ConfigError: the address is not one, or psycopg is not installed.
        StoreError: the database cannot be opened.
    """
    from recsys.eventlog.opening import is_database, open_documents

    if not is_database(text):
        return FileDocument(Path(text))
    documents = open_documents(text)
    OPENED.callback(documents.close)
    return documents / name


def copy_at(text: str, name: str) -> Path:
    """Return the path of a file, or of a copy of the document of a database, which lasts as long as the command.

    Raises:
        ConfigError: the database has no such document.
    """
    from recsys.core.errors import ConfigError
    from recsys.experiments.state import states_of

    document = at_place(text, name)
    if isinstance(document, FileDocument):
        return document.path
    if document.signature() is None:
        raise ConfigError(f"there is no {document}: `recsys state import` stores one")
    folder = FileDocument(Path(OPENED.enter_context(TemporaryDirectory(prefix="recsys-"))))
    for each in (document, states_of(document)):
        if each.signature() is not None:
            (folder / each.name).write(each.read())
    return folder.path / name


def _parser(parse: Callable[[str, str], object], name: str) -> Callable[[str], object]:
    return lambda text: parse(text, name)


KeysFile = Annotated[
    Document,
    typer.Option(
        "--keys",
        metavar="FILE",
        envvar="RECSYS_KEYS",
        parser=_parser(at_place, KEYS),
        help=f"File of the keys, {ADDRESS}.",
    ),
]
ExperimentFile = Annotated[
    Document,
    typer.Argument(metavar="FILE", parser=_parser(at_place, EXPERIMENTS), help=f"TOML file of experiments, {ADDRESS}."),
]
PlacementFile = Annotated[
    Path | None,
    typer.Option(
        "--placements",
        metavar="FILE",
        parser=_parser(copy_at, PLACEMENTS),
        help=f"TOML file of lists, {ADDRESS}.",
        show_default="the built-in lists",
    ),
]
PlanExperiments = Annotated[
    Path | None,
    typer.Option(
        "--experiments",
        metavar="FILE",
        parser=_parser(copy_at, EXPERIMENTS),
        help=f"TOML file of experiments, whose running ones may change the plan, {ADDRESS}.",
    ),
]
