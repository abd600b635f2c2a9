"""The outcome of each row of a commit: new, known already, in conflict, or of a user who was erased."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from recsys.eventlog.identities import Identities
from recsys.eventlog.sqlite_dedup import ERASED_SEQ, DedupIndex
from recsys.eventlog.sqlite_erasure import Tombstones
from recsys.eventlog.sqlite_schema import MADE_WITH, LogRow, decode, entry_of, stored_entry
from recsys.eventlog.store import AppendOutcome

_NEW_MERGES: Final = (
    "SELECT seq, kind, key, at, received_at, body FROM log WHERE kind NOT IN ('event', 'impression')"
    " AND kind IN ('merge', 'unmerge') AND seq > ? ORDER BY seq"
)
_KNOWN: Final = "SELECT kind, key, at, received_at, user_id, visitor_id, digest, body FROM log WHERE seq = ?"

_REFUSED: Final[tuple[AppendOutcome, ...]] = ("conflict", "erased")
"""Outcomes of one part that apply to its whole event; the first one decides."""

_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode


class AppendJudge:
    """What one writer knows of ids, merges and erasures of the log; for use inside its transactions only."""

    def __init__(self) -> None:
        self._tombstones = Tombstones()
        self._merges, self._merges_seq = Identities(), 0
        self._tried: list[tuple[str, str | None]] = []
        self._ids = DedupIndex()

    def decide(self, db: sqlite3.Connection, rows: list[LogRow]) -> list[AppendOutcome]:
        """Return the outcomes of rows; among rows with one id, the first acceptable one is stored."""
        self._tombstones.learn(db)
        self._tried = []
        digests = {digest for row in rows for digest in (row.digest, row.alias) if digest is not None}
        known = self._ids.find(db, digests)
        if self._are_all_new(rows, digests, known):
            return ["stored"] * len(rows)
        cyclic = self._cyclic_merges(db, rows) if any(row.entry_type == "merge" for row in rows) else set()
        taken: dict[int, LogRow] = {}
        outcomes: list[AppendOutcome] = []
        start = 0
        for stop in (*(position for position, row in enumerate(rows) if position and not row.follows), len(rows)):
            parts = rows[start:stop]
            decided = [self._outcome(db, row, known, taken) for row in parts]
            if start in cyclic:
                decided = ["conflict"]
            start = stop
            refused = [outcome for outcome in _REFUSED if outcome in decided]
            if refused:
                outcomes += refused[:1] * len(parts)
                continue
            outcomes += decided
            for row, outcome in zip(parts, decided, strict=True):
                if outcome == "stored" and row.digest is not None:
                    taken[row.digest] = row
        return outcomes

    def flush(self, db: sqlite3.Connection) -> None:
        """Add new ids to the index of the file, if there are many."""
        self._ids.flush(db)

    def undo(self) -> None:
        """Forget what a transaction that failed would have changed."""
        for key, before in reversed(self._tried):
            self._merges.unmerge(key)
            if before is not None:
                self._merges.merge(key, before)
        self._tried = []

    def _are_all_new(self, rows: list[LogRow], digests: Collection[int], known: Mapping[int, int]) -> bool:
        """Return whether nothing can refuse any of the rows: most commits are of this kind."""
        return (
            not known
            and not self._tombstones
            and len(digests) == len(rows)
            and all(row.digest is not None and row.alias is None for row in rows)
        )

    def _cyclic_merges(self, db: sqlite3.Connection, rows: list[LogRow]) -> set[int]:
        """Return the positions of merges that would close a cycle with merges of the log or of earlier rows."""
        for row in db.execute(_NEW_MERGES, (self._merges_seq,)).fetchall():
            self._merges.apply(stored_entry(row).entry)
            self._merges_seq = row[0]
        cyclic: set[int] = set()
        for position, row in enumerate(rows):
            if row.entry_type not in ("merge", "unmerge"):
                continue
            before = self._merges.merges.get(str(row.key))
            if self._merges.apply(entry_of(row)):
                self._tried.append((str(row.key), before))
            else:
                cyclic.add(position)
        return cyclic

    def _outcome(
        self, db: sqlite3.Connection, row: LogRow, known: Mapping[int, int], taken: Mapping[int, LogRow]
    ) -> AppendOutcome:
        """Return the outcome of one row: its id may be `known` by the log, or `taken` earlier in this commit."""
        if self._tombstones.refuse(row):
            return "erased"
        if row.digest is None:
            return "stored"
        if row.digest not in taken and known.get(row.digest) == ERASED_SEQ:
            return "erased"
        for digest in (row.digest,) if row.alias is None else (row.digest, row.alias):
            other = taken.get(digest)
            if other is None and digest in known:
                found = db.execute(_KNOWN, (known[digest],)).fetchone()
                other = None if found is None else LogRow(*found)
            if other is not None and (digest == row.digest or other.key == row.key):
                return _repeated(row, other)
        return "stored"


def _repeated(row: LogRow, known: LogRow) -> AppendOutcome:
    """Return the outcome of a row whose digest another row has."""
    if (row.entry_type, row.key) != (known.entry_type, known.key):
        return "conflict"
    return "duplicate" if known.body == row.body or _content(known) == _content(row) else "conflict"


def _content(row: LogRow) -> bytes:
    body = decode(row.body)
    body.pop(MADE_WITH, None)
    return _encode_sorted(body)
