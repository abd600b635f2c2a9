"""Copies the state of a shop between files and a database."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from recsys.core.documents import EXPERIMENTS, JOURNAL_MODE, KEYS, LOCK, PLACEMENTS, Document, FileDocument, present
from recsys.core.errors import ConfigError
from recsys.core.files import DEFAULT_MODE
from recsys.drafts.check import lists_of_text
from recsys.drafts.history import NOTHING, PENDING, PlacementHistory, digest
from recsys.drafts.records import ChangeNote
from recsys.experiments.state import read_experiments, states_of
from recsys.rules.variant_loader import check_lists

if TYPE_CHECKING:
    from recsys.eventlog.postgres.documents import PostgresDocuments

SECRET_MODE: Final = 0o600


def import_placements(path: Path, history: Path, documents: PostgresDocuments, note: ChangeNote) -> bool:
    """Make a file the placements of a database; with its history, if the database has none.

    Args:
        path: the file.
        history: folder of its history, which need not exist.
        documents: of the database.
        note: who imports it.

    Returns:
        Whether the history was copied.

    Raises:
        ConfigError: the file cannot be read, or its lists cannot be served; nothing has changed.
        StoreError: the database cannot be read or written; nothing has changed.
    """
    text = _read(path)
    with documents.changing():
        target = PlacementHistory(documents / PLACEMENTS)
        experiments = present(documents / EXPERIMENTS, is_optional=True)
        check = partial(lists_of_text, name=str(path), experiments=experiments)
        is_new = not target.audit.entries() and target.version() == NOTHING
        if not is_new:
            if target.version() != digest(text):
                target.replace(text, lambda _: None, check, "placements_imported", note)
            return False
        check(text)
        is_copied = history.is_dir()
        if is_copied:
            try:
                with FileDocument(history).changing():
                    _copy_folder(history, target.folder)
            except OSError as error:
                raise _unread(error, history) from None
        target.file.write(text)
        target.observe(note.at)
        return is_copied


def import_experiments(path: Path, documents: PostgresDocuments) -> bool:
    """Make a file the experiments of a database; with its states, if the database has none.

    Returns:
        Whether the states were copied.

    Raises:
        ConfigError: the file cannot be read, its lists cannot be served, or it does not fit what runs; nothing has
            changed.
        StoreError: the database cannot be read or written; nothing has changed.
    """
    text, states = _read(path), states_of(path)
    with documents.changing():
        target = documents / EXPERIMENTS
        target.write(text)
        is_copied = states.signature() is not None and states_of(target).signature() is None
        if is_copied:
            try:
                states_of(target).write(states.read())
            except OSError as error:
                raise _unread(error, states) from None
        check_lists(present(documents / PLACEMENTS, is_optional=True), read_experiments(target))
        return is_copied


def export_state(documents: PostgresDocuments, folder: Path) -> list[str]:
    """Write all documents of a database into a folder, as the files that a server without a database reads.

    Args:
        documents: of the database.
        folder: is made if it does not exist.

    Returns:
        The names of the files.

    Raises:
        ConfigError: the folder has files already, or cannot be written.
        StoreError: the database cannot be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty: name a new folder")
        with documents.changing():  # nothing changes meanwhile
            names = sorted(documents.names("", ""))
            for name in names:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                FileDocument(path).write(documents.read(name), _mode(name))
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}): check its permissions") from None
    return names


def _mode(name: str) -> int:
    """Return the permissions of the file of a document."""
    if name == KEYS:
        return SECRET_MODE
    return JOURNAL_MODE if name.endswith(".jsonl") else DEFAULT_MODE


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): name a TOML file") from None


def _unread(error: OSError, place: Path | Document) -> ConfigError:
    return ConfigError(f"{error.filename or place} cannot be read ({error.strerror}): check its permissions")


def _copy_folder(source: Path, target: Document) -> None:
    """Copy what a history consists of: not its lock, and no change that has only begun."""
    for path in sorted(source.iterdir()):
        if path.is_dir():
            _copy_folder(path, target / path.name)
        elif path.name not in (LOCK, PENDING) and not path.name.startswith("."):
            (target / path.name).write(path.read_bytes())
