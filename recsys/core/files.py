"""Files and folders that are replaced as a whole, and the digests and signatures that identify their content."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FileSignature = tuple[int, int, int]
"""Modification time in nanoseconds, size in bytes and inode of a file."""

DEFAULT_MODE = 0o666


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_signature(path: Path) -> FileSignature | None:
    """Return what changes whenever a file is replaced or edited, without reading it; None if it cannot be found."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def atomic_write(path: Path, content: str | bytes, mode: int = DEFAULT_MODE) -> None:
    """Replace a file, durably: a reader, or the next start after a crash, sees the old content or the new content.

    Args:
        path: the file; its folder must exist.
        content: text is written as UTF-8.
        mode: permissions of the new file, reduced by the umask.

    Raises:
        OSError: the file cannot be written; the old content stays.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as partial, open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what the block writes there replaces `path`, durably, or is removed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "lists.txt") as partial:
        ...         _ = partial.write_text("tea")
        ...     (Path(folder) / "lists.txt").read_text()
        'tea'

    Args:
        path: a file or a folder, which may exist; its parent must.

    Yields:
        The temporary path, of which nothing exists yet; the block makes a file or a folder there.

    Raises:
        OSError: the file or folder cannot be written or replaced; the old one stays.
    """
    partial = sibling(path, "new")
    remove(partial)
    try:
        yield partial
        sync(partial)
        if partial.is_dir() and path.exists():
            _swap_folders(partial, path)
        else:
            partial.replace(path)
        sync_entry(path.parent)
    finally:
        remove(partial)


def sibling(path: Path, suffix: str) -> Path:
    """Return the name of a hidden file or folder beside `path` that belongs to this process."""
    return path.with_name(f".{path.name}.{os.getpid()}.{suffix}")


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk."""
    if path.is_dir():
        for inside in path.iterdir():
            sync(inside)
    sync_entry(path)


def sync_entry(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap_folders(new: Path, path: Path) -> None:
    """Put a new folder in the place of an old one, which returns if that fails."""
    old = sibling(path, "old")
    remove(old)
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    remove(old)
