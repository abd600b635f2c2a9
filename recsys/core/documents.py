"""Documents: the texts that are the state of a shop, such as its placements; files, unless a database has them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePath
from typing import Final, Protocol

from recsys.core.files import DEFAULT_MODE, atomic_write, file_signature, sync_entry

LOCK: Final = "lock"
"""The file in a folder that who changes documents in it has locked."""

JOURNAL_MODE: Final = 0o640

KEYS: Final = "keys.json"
PLACEMENTS: Final = "placements.toml"
EXPERIMENTS: Final = "experiments.toml"
"""Names of the documents of a shop in a database."""


class Document(Protocol):
    """A text that is read and replaced as a whole, or a folder of such texts; `str` of it is what messages call it."""

    @property
    def name(self) -> str:
        """Its name without that of the folder, such as `placements.toml`."""

    @property
    def parent(self) -> Document:
        """The folder that it is in."""

    def __truediv__(self, name: str) -> Document:
        """Return a document in this folder."""

    def signature(self) -> Hashable | None:
        """Return what changes whenever the document changes, without reading it; None if it does not exist."""

    def read(self) -> bytes:
        """Return the text.

        Raises:
            FileNotFoundError: there is no such document.
            OSError, StoreError: it cannot be read.
        """

    def documents(self, suffix: str) -> list[Document]:
        """Return the documents in this folder whose names end with a suffix."""

    def changing(self) -> AbstractContextManager[None]:
        """Keep other processes and threads out that change this document, or those of this folder, in the same way.

        Raises:
            OSError, StoreError: it cannot be locked.
        """

    def write(self, content: bytes, mode: int = DEFAULT_MODE) -> None:
        """Replace the text, durably; who calls it is `changing`.

        Args:
            content: the new text.
            mode: permissions of a file, reduced by the umask.

        Raises:
            OSError, StoreError: it cannot be written; the old text stays.
        """

    def append(self, line: bytes) -> None:
        """Add a line to the text, durably, after the end of a line that a crash cut short; who calls it is `changing`.

        Raises:
            OSError, StoreError: it cannot be written.
        """

    def remove(self) -> None:
        """Remove the document, if it exists; who calls it is `changing`."""

    def make_folder(self) -> None:
        """Make this folder, if it must exist before there can be documents in it."""


class FileDocument:
    """A `Document` that is a file, or a folder.

    >>> str(FileDocument(Path("shop")) / "placements.toml")
    'shop/placements.toml'

    Args:
        path: of the file or folder, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """See `Document`."""
        return self.path.name

    @property
    def parent(self) -> FileDocument:
        """See `Document`."""
        return FileDocument(self.path.parent)

    def __truediv__(self, name: str) -> FileDocument:
        return FileDocument(self.path / name)

    def signature(self) -> Hashable | None:
        """See `Document`."""
        return file_signature(self.path)

    def read(self) -> bytes:
        """See `Document`."""
        return self.path.read_bytes()

    def documents(self, suffix: str) -> list[Document]:
        """See `Document`."""
        return [FileDocument(path) for path in self.path.glob(f"*{suffix}")]

    @contextmanager
    def changing(self) -> Iterator[None]:
        """See `Document`.

        In a folder a file is made, which is locked. A file that does not exist is not locked, and one that the block
        replaces no longer: that is its last step.
        """
        is_folder = self.path.is_dir()
        path = self.path / LOCK if is_folder else self.path
        if not is_folder and not path.exists():
            yield
            return
        while True:
            with path.open("ab" if is_folder else "r+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(lock.fileno()), path.stat()):  # else it was replaced before it was locked
                    yield
                    return

    def write(self, content: bytes, mode: int = DEFAULT_MODE) -> None:
        """See `Document`. The file that a link leads to is replaced, not the link."""
        atomic_write(self.path.resolve(), content, mode)

    def append(self, line: bytes) -> None:
        """See `Document`."""
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, JOURNAL_MODE)
        try:
            size = os.fstat(descriptor).st_size
            is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            rest = b"\n" * is_cut + line + b"\n"
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            sync_entry(self.path.parent)

    def remove(self) -> None:
        """See `Document`."""
        self.path.unlink(missing_ok=True)

    def make_folder(self) -> None:
        """See `Document`."""
        self.path.mkdir(parents=True, exist_ok=True)


Place = Path | Document
"""Where a document is: the path of a file, or the document itself."""


def document_of(place: Place) -> Document:
    """Return the document that is at a place."""
    return FileDocument(place) if isinstance(place, Path) else place


def present(document: Document | None, *, is_optional: bool) -> Document | None:
    """Return a document, None in the place of an optional one that does not exist."""
    is_missing = document is None or (is_optional and document.signature() is None)
    return None if is_missing else document


def stem_of(document: Document) -> str:
    """Return the name of a document without its suffix.

    >>> stem_of(FileDocument(Path("shop/placements.toml")))
    'placements'
    """
    return PurePath(document.name).stem
