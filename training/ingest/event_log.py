"""The live log as a shop's tables: its events beside those of files, its changes on top of the files' rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.schema import PERSONALIZATION, TABLES, TIMESTAMP
from recsys.data.row_changes import RowDict, apply_patch, offers_after, to_frame
from recsys.evaluation.attribution import impression_rows, join_impressions
from recsys.eventlog.identities import Identities
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import ITEM_CHANGES, USER_CHANGES, EntryType, StoredEntry, events_table
from training.ingest.readers import BROKEN, RawTable

IDENTITY_CHANGES: Final[tuple[EntryType, ...]] = ("merge", "unmerge", "erasure")

Tables = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class EventLogExport:
    """What the live log held at one moment.

    Attributes:
        seq: the number up to which it was read.
        events: the columns of `schema.EVENTS`; those that carry a list's id know where that showed their item.
        changes: of items and users, in order.
        identities: who was merged into whom, and who was erased.
    """

    seq: int
    events: pl.DataFrame
    changes: tuple[StoredEntry, ...]
    identities: Identities

    def of_table(self, table: str, files: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """The rows that the log has for a table: all events, and of items and users those that differ from the files'.

        Args:
            table: of `schema.TABLES`; of offers, those of all items whose offers the log has changed.
            files: the rows of files by table, canonical.
        """
        if table == "events":
            return self.events
        if table == "offers":
            offers = self._offers.items()
            return to_frame((row | {"item_id": id_} for id_, rows in offers for row in rows), TABLES[table])
        key, kinds = (("item_id", ITEM_CHANGES), ("user_id", USER_CHANGES))[table == "users"]
        changes = [stored for stored in self.changes if stored.entry.entry_type in kinds]
        touched = {stored.entry.key for stored in changes} | (self._erased() if table == "users" else set())
        known = files.get(table, pl.DataFrame(schema=TABLES[table])).filter(pl.col(key).is_in(list(touched)))
        rows: dict[str, RowDict | None] = {row[key]: row for row in known.to_dicts()}
        if table == "users":
            rows |= {user_id: _anti_join(rows.get(user_id)) for user_id in self._erased()}
        for stored in changes:
            assert stored.entry.key is not None
            rows[stored.entry.key] = _after(rows.get(stored.entry.key), stored)
        return to_frame((row | {key: id_} for id_, row in rows.items() if row is not None), dict(known.schema))

    @property
    def repriced(self) -> tuple[str, ...]:
        """Items whose offers are those of the log, whatever the files say: none, for some."""
        return tuple(self._offers)

    @cached_property
    def _offers(self) -> dict[str, list[RowDict]]:
        found: dict[str, list[RowDict]] = {}
        for stored in self.changes:
            entry = stored.entry
            offers = offers_after(entry.entry_type, entry.body) if entry.entry_type in ITEM_CHANGES else None
            if offers is not None and entry.key is not None:
                found[entry.key] = offers
        return found

    def _erased(self) -> set[str]:
        return set(self.identities.erasures)


def export_event_log(path: Path) -> EventLogExport:
    """Read the live log, a running server's too.

    Raises:
        ConfigError: there is none.
        StoreError: it cannot be read.
    """
    with closing(open_log(path)) as store:
        last = store.last_seq()
        identities = Identities()
        for stored in _up_to(last, store.read_types(IDENTITY_CHANGES)):
            identities.apply(stored.entry)
        changes = tuple(_up_to(last, store.read_types((*ITEM_CHANGES, *USER_CHANGES))))
        events = events_table(store, last)
        followed = events.filter(pl.col("event") != "view_item_list")["recommendation_id"].drop_nulls()
        events = join_impressions(events, impression_rows(store, followed, last))
        return EventLogExport(last, events, changes, identities)


def open_log(path: Path) -> SqliteStore:
    """Open a live log that is there.

    Raises:
        ConfigError: it is not.
        StoreError: it cannot be opened.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is no live log: name the file that `recsys serve` keeps, given as its --store")
    return SqliteStore(path)


def raw_table(frame: pl.DataFrame) -> RawTable:
    """Rows of the log as if they came from a file."""
    return RawTable(frame, pl.arange(1, len(frame) + 1, dtype=pl.UInt32, eager=True), pl.DataFrame(schema=BROKEN))


def concat_logs(files: Tables, log: Tables, identities: Identities, repriced: Iterable[str] = ()) -> Tables:
    """One shop's tables out of those of its files and of the log, both checked.

    Of events with one `event_id` the file's is kept. Erased ids are left out, whatever the files say; a merged id's
    events bear the name of the one that it was merged into.

    Args:
        files: by table; may lack any.
        log: by table, as `EventLogExport.of_table` has them.
        identities: as the log has them.
        repriced: items whose offers are the log's alone.
    """
    tables = dict(files)
    offers = [part for part in (files.get("offers"), log.get("offers")) if part is not None]
    if "offers" in files:
        offers[0] = offers[0].filter(~pl.col("item_id").is_in(list(repriced)))
    if offers:
        tables["offers"] = pl.concat(offers)
    for table, key in (("items", "item_id"), ("users", "user_id")):
        if table in log:
            gone = [*log[table][key], *(identities.erasures if table == "users" else ())]
            kept = files.get(table, log[table].clear()).filter(~pl.col(key).is_in(gone))
            tables[table] = pl.concat([kept, log[table]], how="diagonal_relaxed")
    users = tables.get("users", pl.DataFrame(schema=TABLES["users"]))
    events = [part for part in (files.get("events"), log.get("events")) if part is not None]
    if "events" in files:
        events[0] = _without_erased(events[0], identities)  # the log has removed its own
    if events:
        tables["events"] = _joined(_distinct_events(pl.concat(events)), users, identities)
    if "users" in tables:
        merged = list(identities.merges)
        tables["users"] = users.filter(~pl.col("user_id").is_in(merged))
    return {name: table for name, table in tables.items() if len(table)}


def _up_to(last: int, entries: Iterable[StoredEntry]) -> list[StoredEntry]:
    return [stored for stored in entries if stored.seq <= last]


def _after(row: RowDict | None, stored: StoredEntry) -> RowDict | None:
    """A row after a change; a deleted item stays, unavailable, for the sake of the events that name it."""
    after = apply_patch(row, stored.entry.entry_type, stored.entry.body)
    return (row or {}) | {"available": False} if stored.entry.entry_type == "item_delete" else after


def _anti_join(row: RowDict | None) -> RowDict | None:
    """What an erasure leaves of a user: a wish to be left alone."""
    return {PERSONALIZATION: False} if row is not None and row.get(PERSONALIZATION) is False else None


def _distinct_events(events: pl.DataFrame) -> pl.DataFrame:
    event_id = pl.col("event_id")
    return events.filter(event_id.is_null() | event_id.is_first_distinct())


def _without_erased(events: pl.DataFrame, identities: Identities) -> pl.DataFrame:
    """Events of nobody's old life."""
    if not identities.erasures:
        return events
    moments = [round(at * 1_000_000) for at in identities.erasures.values()]
    erased = pl.DataFrame({"who": list(identities.erasures), "erased_at": pl.Series(moments).cast(TIMESTAMP)})
    for column in ("user_id", "visitor_id"):
        joined = events.join(erased, left_on=column, right_on="who", how="left", maintain_order="left")
        events = joined.filter((pl.col("timestamp") > pl.col("erased_at")).fill_null(True)).drop("erased_at")
    return events


def _joined(events: pl.DataFrame, users: pl.DataFrame, identities: Identities) -> pl.DataFrame:
    """Events of merged ids under the names of those that they were merged into."""
    ends = identities.roots(identities.merges)
    if not ends:
        return events
    shopper = pl.coalesce("user_id", "visitor_id")
    silent = users.filter(pl.col(PERSONALIZATION).eq_missing(False))["user_id"]
    events = events.filter(~shopper.is_in(list(silent.filter(silent.is_in(list(ends))))).fill_null(False))
    target = shopper.replace_strict(ends, default=None, return_dtype=pl.String)
    return events.with_columns(pl.coalesce(target, "user_id").alias("user_id"))
