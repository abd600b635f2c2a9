"""The two kinds of folders of documents, for the tests that all of them pass."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from recsys.core.documents import Document, FileDocument
from recsys.eventlog.opening import open_documents
from tests.postgres import schema_of

KINDS: Final = ("files", "database")


class Folder(Protocol):
    """A folder that is closed after its use."""

    def __truediv__(self, name: str) -> Document:
        """Return a document."""

    def close(self) -> None:
        """Close the database."""


class FileFolder(FileDocument):
    """A folder of files, which needs no end."""

    def close(self) -> None:
        """Do nothing."""


def open_folder(kind: str, path: Path) -> Folder:
    """Open the folder of one kind that stands for a path; it may be opened several times."""
    return open_documents(schema_of(path)) if kind == "database" else FileFolder(path)
