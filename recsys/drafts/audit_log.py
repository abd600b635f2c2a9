"""The audit log: a document with one line of JSON per change, to which lines are only added."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import msgspec

from recsys.core.documents import Place, document_of
from recsys.core.errors import StoreError
from recsys.drafts.records import AuditEntry, ChangeNote


class AuditLog:
    """Appends to and reads one audit log; who appends holds the lock of its folder.

    A line that a crash cut short was never acknowledged: it stays in the document and is not read.

    Args:
        place: of the document; it is created with the first entry.
    """

    def __init__(self, place: Place) -> None:
        self._document = document_of(place)
        self._seen: Hashable | None = None
        self._entries: tuple[AuditEntry, ...] = ()

    def entries(self) -> tuple[AuditEntry, ...]:
        """Return all entries, the oldest first.

        Raises:
            StoreError: the document exists and cannot be read.
        """
        signature = self._document.signature()
        if signature is None:
            return ()
        if signature != self._seen:
            try:
                lines = self._document.read().split(b"\n")
            except OSError as error:
                raise StoreError(f"{self._document} cannot be read ({error.strerror})") from error
            self._entries, self._seen = tuple(filter(None, map(_entry, lines))), signature
        return self._entries

    def next_entry(self, note: ChangeNote, action: str, subject: str, before: str = "", after: str = "") -> AuditEntry:
        """Return the entry of a change with the next number."""
        entries = self.entries()
        seq = entries[-1].seq + 1 if entries else 1
        return AuditEntry(seq, note.at, note.author, note.key_id, action, subject, note.reason, before, after)

    def append(self, entry: AuditEntry) -> None:
        """Add an entry; it is durable once this returns.

        Raises:
            OSError, StoreError: it could not be written.
        """
        self._document.append(msgspec.json.encode(entry))


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
