"""The audit log: a file with one line of JSON per change, to which lines are only added."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from recsys.core.errors import StoreError
from recsys.core.files import FileSignature, file_signature, sync_entry
from recsys.drafts.records import AuditEntry, ChangeNote


class AuditLog:
    """Appends to and reads one audit log; who appends holds the lock of its folder.

    A line that a crash cut short was never acknowledged: it stays in the file and is not read.

    Args:
        path: the file; it is created with the first entry.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: FileSignature | None = None
        self._entries: tuple[AuditEntry, ...] = ()

    def entries(self) -> tuple[AuditEntry, ...]:
        """Return all entries, the oldest first.

        Raises:
            StoreError: the file exists and cannot be read.
        """
        signature = file_signature(self._path)
        if signature is None:
            return ()
        if signature != self._seen:
            try:
                lines = self._path.read_bytes().split(b"\n")
            except OSError as error:
                raise StoreError(f"{self._path} cannot be read ({error.strerror})") from error
            self._entries, self._seen = tuple(filter(None, map(_entry, lines))), signature
        return self._entries

    def next_entry(self, note: ChangeNote, action: str, subject: str, before: str = "", after: str = "") -> AuditEntry:
        """Return the entry of a change with the next number."""
        entries = self.entries()
        seq = entries[-1].seq + 1 if entries else 1
        return AuditEntry(seq, note.at, note.author, note.key_id, action, subject, note.reason, before, after)

    def append(self, entry: AuditEntry) -> None:
        """Add an entry; it is on the disk once this returns.

        Raises:
            OSError: it could not be written.
        """
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            line = b"\n" * is_cut + msgspec.json.encode(entry) + b"\n"
            while line:
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            sync_entry(self._path.parent)


def chosen(
    entries: Sequence[AuditEntry], limit: int, before: int | None = None, subject: str = "", action: str = ""
) -> list[AuditEntry]:
    """Return the newest entries, the newest first.

    Args:
        entries: the oldest first.
        limit: number of entries.
        before: only entries with smaller numbers.
        subject: only entries about it; "" for all.
        action: only entries with it, or whose actions begin with it and `_`; "" for all.
    """
    found = []
    for entry in reversed(entries):
        if before is not None and entry.seq >= before:
            continue
        if (not subject or entry.subject == subject) and _is_action(entry.action, action):
            found.append(entry)
            if len(found) == limit:
                break
    return found


def _is_action(action: str, wanted: str) -> bool:
    return not wanted or action == wanted or action.startswith(f"{wanted}_")


def _entry(line: bytes) -> AuditEntry | None:
    try:
        return msgspec.json.decode(line, type=AuditEntry)
    except ValueError:  # the rest of a line that was cut short, or the end of the file
        return None
