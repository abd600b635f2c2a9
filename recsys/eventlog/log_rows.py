"""Entries of the live log as rows of a table, and rows as entries: the form that all stores share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from struct import Struct
from typing import Any, Final

import msgspec
from msgspec import structs

from recsys.core.errors import DataError
from recsys.eventlog.entry_form import END_SECOND, FIRST_SECOND, fault_of
from recsys.eventlog.identities import user_key
from recsys.eventlog.store import (
    KEYED,
    UNREADABLE,
    USER_CHANGES,
    EntryType,
    HistoryColumns,
    LogEntry,
    StoredEntry,
    StoredEvent,
)

DIGEST_BYTES: Final = 8

N_COLUMNS: Final = 8
"""Fields of a row that are columns of the table: the first ones."""

MADE_WITH: Final = "made_with"
"""Key of the body under which the number of the same name is stored; it is no part of the content."""

FIRST_PART: Final = "#1"
"""Ends the key of the first part of an event of several items."""


ERASED_SEQ: Final = 0
"""Number of an id whose entry was erased: the id stays known, so that it is refused when it is sent again."""

ViewRow = tuple[int, str | None, float, str, EntryType | None, float]
"""Number, key, time and body of an entry, its type (None for an event) and when it was received."""

_unpack: Final = Struct("<q").unpack
encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_history_columns: Final = msgspec.json.Decoder(HistoryColumns).decode


class LogRow(msgspec.Struct, frozen=True, gc=False):
    """An entry as a row of the table, with what is checked before it is stored.

    Attributes:
        digest: of its key; the first part of an event has the digest of the event's own id.
        follows: whether it is a later part of the event of the row before.
        session: key of an anonymous user of whom only a session is known.
        made_with: as in `LogEntry`.
        alias: digest under which another event may have the same key: of `<id>#1` as the first part of an event `<id>`,
            and as an id of its own.
    """

    entry_type: EntryType
    key: str | None
    at: float
    received_at: float
    user_id: str | None
    visitor_id: str | None
    digest: int | None
    body: str
    follows: bool = False
    session: str | None = None
    made_with: int | None = None
    alias: int | None = None

    @property
    def stored(self) -> tuple[object, ...]:
        """The columns of the table."""
        return structs.astuple(self)[:N_COLUMNS]


def digest_of(entry_type: str, key: str) -> int:
    """Return 64 bits for an id, which keep the index small and free of the ids themselves.

    Among logs of ten million ids, about one in 370,000 has two ids with the same bits; the later is refused as a
    conflict.
    """
    digest: int = _unpack(blake2b(f"{entry_type} {key}".encode(), digest_size=DIGEST_BYTES).digest())[0]
    return digest


def encoded_rows(entries: Sequence[LogEntry | LogRow]) -> list[LogRow]:
    """Return the rows of entries, of which some may be rows already.

    Raises:
        DataError: an entry cannot be encoded.
    """
    return [entry if isinstance(entry, LogRow) else row_of(entry, place) for place, entry in enumerate(entries)]


def event_row(
    key: str | None,
    at: float,
    received_at: float,
    user_id: str | None,
    visitor_id: str | None,
    session_id: str | None,
    body: str,
) -> LogRow:
    """Build the row of an event of one item whose body is encoded already, as `row_of` builds it.

    Args:
        key: its `event_id`, which does not end with `FIRST_PART`.
        at: finite, as in `LogEntry`.
        received_at: finite, as in `LogEntry`.
        user_id: as in the body.
        visitor_id: as in the body.
        session_id: as in the body.
        body: the content as a JSON object, without `received_at`.
    """
    digest = None if key is None else digest_of("event", key)
    session = user_key(None, None, session_id) if user_id is None and visitor_id is None else None
    return LogRow("event", key, at, received_at, user_id, visitor_id, digest, body, False, session)


def row_of(entry: LogEntry, position: int) -> LogRow:
    """Build the row of an entry, with its body as JSON.

    Args:
        entry: the entry.
        position: its position in the call, for error messages.

    Raises:
        DataError: the entry cannot be encoded.
    """
    entry_type, key, body = entry.entry_type, entry.key, entry.body
    if "received_at" in body:
        body = {name: value for name, value in body.items() if name != "received_at"}
    if entry.made_with is not None:
        body = {**body, MADE_WITH: entry.made_with}
    is_keyed = entry_type in KEYED
    user_id = body.get("user_id") if is_keyed else key if entry_type in USER_CHANGES else None
    visitor_id = body.get("visitor_id") if is_keyed else None
    is_anonymous = is_keyed and user_id is None and visitor_id is None
    session = user_key(None, None, body.get("session_id")) if is_anonymous else None
    try:
        text = encode(body).decode()
        event_id, part = entry.part or (None, 1)
        known_as = key if event_id is None or part > 1 else event_id
        digest = digest_of(entry_type, known_as) if is_keyed and known_as is not None else None
        alias = _alias_of(entry) if is_keyed else None
        at, received_at = float(entry.at), float(entry.received_at)
        if not (math.isfinite(at) and math.isfinite(received_at)):
            raise ValueError("a time is not finite")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"entry {position} cannot be encoded ({error}): give it valid JSON, ids and times") from error
    of_user = (_text(user_id), _text(visitor_id))
    return LogRow(entry_type, key, at, received_at, *of_user, digest, text, part > 1, session, entry.made_with, alias)


def _alias_of(entry: LogEntry) -> int | None:
    if entry.key is None or not entry.key.endswith(FIRST_PART):
        return None
    return digest_of(entry.entry_type, entry.key.removesuffix(FIRST_PART) if entry.part is None else entry.key)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def entry_of(row: LogRow) -> LogEntry:
    """Return the entry of a row."""
    return LogEntry(row.entry_type, row.key, row.at, row.received_at, decode(row.body))


def stored_entry(row: tuple[int, EntryType, str | None, float, float, str]) -> StoredEntry:
    """Return the stored entry of columns `seq`, `kind`, `key`, `at`, `received_at` and `body`."""
    seq, entry_type, key, at, received_at, body = row
    try:
        content = decode(body)
        made_with = content.pop(MADE_WITH, None) if entry_type == "impression" else None
        entry = LogEntry(entry_type, key, at, received_at, content, made_with=made_with)
        fault = fault_of(entry)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        fault = str(error)
    if fault is None:
        return StoredEntry(seq, entry)
    # The file was altered, or another program has written it: the other entries count.
    return StoredEntry(seq, LogEntry(UNREADABLE, None, 0.0, 0.0, {"reason": f"{entry_type} {key!r}: {fault}"}))


def view_entries(rows: Iterable[ViewRow]) -> list[StoredEvent | StoredEntry]:
    """Return the entries of rows as `recsys.eventlog.store.for_view` returns them."""
    found: list[StoredEvent | StoredEntry] = []
    for seq, key, at, body, entry_type, received_at in rows:
        if entry_type is None:
            try:
                if FIRST_SECOND <= at < END_SECOND:
                    found.append(StoredEvent(seq, key, at, _history_columns(body)))
                    continue
            except (msgspec.MsgspecError, TypeError, ValueError):
                pass  # the general form names the fault
        found.append(stored_entry((seq, entry_type or "event", key, at, received_at, body)))
    return found
