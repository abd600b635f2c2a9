"""The outcome of each row of a commit: new, known already, in conflict, or of a user who was erased."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Final, Protocol

import msgspec

from recsys.eventlog.identities import Identities
from recsys.eventlog.log_rows import ERASED_SEQ, MADE_WITH, LogRow, decode, entry_of
from recsys.eventlog.store import AppendOutcome, StoredEntry

_REFUSED: Final[tuple[AppendOutcome, ...]] = ("conflict", "erased")
"""Outcomes of one part that apply to its whole event; the first one decides."""

_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode


class KnownEntries(Protocol):
    """What the log has, as one transaction sees it that no other writer runs beside."""

    def tombstones_after(self, seq: int) -> Iterable[tuple[int, str, float, float]]:
        """Return number, key, `at` and `received_at` of the erasures after a number, in order."""

    def merges_after(self, seq: int) -> Iterable[StoredEntry]:
        """Return the merges and unmerges after a number, in order."""

    def find(self, digests: Collection[int]) -> dict[int, int]:
        """Return the numbers of the entries with some digests, by digest; `ERASED_SEQ` for erased ones."""

    def row(self, seq: int) -> LogRow | None:
        """Return the row of a number; None if it is removed."""


_NEVER: Final = (-math.inf, -math.inf, 0)


class Tombstones:
    """The erasures of the log that one writer knows; for use inside its transactions only."""

    def __init__(self) -> None:
        self._erased: dict[str, tuple[float, float, int]] = {}
        self._seq = 0

    def learn(self, log: KnownEntries) -> None:
        """Read the tombstones that any process has written since the last call."""
        for seq, key, *moments in log.tombstones_after(self._seq):
            at, received_at = map(max, moments, self._erased.get(key, _NEVER))
            self._erased[key], self._seq = (at, received_at, seq), seq

    def __bool__(self) -> bool:
        return bool(self._erased)

    def refuse(self, row: LogRow) -> bool:
        """Return whether a row is older than an erasure of its user.

        Lists are written some time after they were shown: one that was shown before the request of the erasure, or that
        was made without knowing of it, is older.
        """
        if not self._erased:
            return False
        is_list = row.entry_type == "impression"
        found = (self._erased.get(key, _NEVER) for key in (row.user_id, row.visitor_id, row.session) if key)
        made_with = math.inf if row.made_with is None else row.made_with
        return any(
            row.at < at or (is_list and (row.received_at < received_at or made_with < seq))
            for at, received_at, seq in found
        )


class AppendJudge:
    """What one writer knows of ids, merges and erasures of the log; for use inside its transactions only."""

    def __init__(self) -> None:
        self._tombstones = Tombstones()
        self._merges, self._merges_seq = Identities(), 0
        self._tried: list[tuple[str, str | None]] = []

    def decide(self, log: KnownEntries, rows: list[LogRow]) -> list[AppendOutcome]:
        """Return the outcomes of rows; among rows with one id, the first acceptable one is stored."""
        self._tombstones.learn(log)
        self._tried = []
        digests = {digest for row in rows for digest in (row.digest, row.alias) if digest is not None}
        known = log.find(digests)
        if self._are_all_new(rows, digests, known):
            return ["stored"] * len(rows)
        cyclic = self._cyclic_merges(log, rows) if any(row.entry_type == "merge" for row in rows) else set()
        taken: dict[int, LogRow] = {}
        outcomes: list[AppendOutcome] = []
        start = 0
        for stop in (*(position for position, row in enumerate(rows) if position and not row.follows), len(rows)):
            parts = rows[start:stop]
            decided = [self._outcome(log, row, known, taken) for row in parts]
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

    def _cyclic_merges(self, log: KnownEntries, rows: list[LogRow]) -> set[int]:
        """Return the positions of merges that would close a cycle with merges of the log or of earlier rows."""
        for stored in log.merges_after(self._merges_seq):
            self._merges.apply(stored.entry)
            self._merges_seq = stored.seq
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
        self, log: KnownEntries, row: LogRow, known: Mapping[int, int], taken: Mapping[int, LogRow]
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
                other = log.row(known[digest])
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
