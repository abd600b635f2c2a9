"""The live log as tables: its events are added to those of the files, its changes are applied to the files' rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import polars as pl

from recsys.core.schema import MESSAGES, PERSONALIZATION, TABLES, TIMESTAMP
from recsys.core.timestamps import EARLIEST, MICROSECONDS, from_micros, to_micros
from recsys.data.message_repeats import distinct_messages
from recsys.data.null_words import spelled
from recsys.data.row_changes import RowDict, apply_patch, change_time, offers_after, to_frame
from recsys.evaluation.attribution import impression_rows, join_impressions
from recsys.eventlog.identities import Identities
from recsys.eventlog.opening import LogLocation, open_log
from recsys.eventlog.store import (
    ITEM_CHANGES,
    UNREADABLE,
    USER_CHANGES,
    EntryType,
    StoredEntry,
    events_table,
    messages_table,
)
from training.ingest.casts import CastOptions
from training.ingest.catalog_state import UNKNOWN_CATALOG, CatalogState
from training.ingest.raw_table import Origin, RawTable, numbered
from training.ingest.validation import ValidationResult, ValidationRules, validate_table

IDENTITY_CHANGES: Final[tuple[EntryType, ...]] = ("merge", "unmerge", "erasure")

Tables = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class EventLogExport:
    """The content of the live log at one moment.

    Attributes:
        seq: sequence number of the last entry that was read.
        events: the columns of `schema.EVENTS`; an event with the id of a list has the position of its item there.
        changes: changes of items and users, in order.
        identities: merges and erasures, with those of the files.
        catalog: facts about the files, with which changes are compared.
        unreadable: entries that are left out, with the reason.
        messages: the columns of `schema.MESSAGES`.
    """

    seq: int
    events: pl.DataFrame
    changes: tuple[StoredEntry, ...]
    identities: Identities
    catalog: CatalogState = UNKNOWN_CATALOG
    unreadable: tuple[StoredEntry, ...] = ()
    messages: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MESSAGES))

    def of_table(self, table: str, files: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Return the log's rows of a table: all events and messages, and the items and users that the log changed.

        Args:
            table: a key of `schema.TABLES` but `identities`; for `offers`, all offers of the items whose offers the log
                changed.
            files: validated rows of the files, by table.
        """
        if table in ("events", "messages"):
            return self.events if table == "events" else self.messages
        if table == "offers":
            offers = self.new_offers(files).items()
            return to_frame((row | {"item_id": id_} for id_, rows in offers for row in rows), TABLES[table])
        key, kinds = (("item_id", ITEM_CHANGES), ("user_id", USER_CHANGES))[table == "users"]
        changes = [stored for stored in self.changes if stored.entry.entry_type in kinds]
        changed = {stored.entry.key for stored in changes} | (self._erased() if table == "users" else set())
        known = files.get(table, pl.DataFrame(schema=TABLES[table])).filter(pl.col(key).is_in(list(changed)))
        rows: dict[str, RowDict | None] = {row[key]: row for row in known.to_dicts()}
        if table == "users":
            rows |= {user_id: _row_after_erasure(rows.get(user_id)) for user_id in self._erased()}
        for stored in changes:
            id_ = str(stored.entry.key)
            if table != "items" or not self._is_outdated(rows.get(id_), stored, has_file="items" in files):
                rows[id_] = _after(rows.get(id_), stored)
        return to_frame((row | {key: id_} for id_, row in rows.items() if row is not None), dict(known.schema))

    def all_events(self, files: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Return the events of the files and of the log."""
        return pl.concat([files.get("events", self.events.clear()), self.events])

    def new_offers(self, files: Mapping[str, pl.DataFrame]) -> dict[str, list[RowDict]]:
        """Return all offers of each item whose offers in the log replace those of the files; some have none left.

        The files' offers of an item are from the last of its `updated_at`, else from the moment of the file.
        """
        times: dict[str, float] = {}
        if "offers" in files:
            of_item = files["offers"].group_by("item_id").agg(pl.col("updated_at").max().dt.epoch("us") / MICROSECONDS)
            times = {id_: at for id_, at in of_item.iter_rows() if at is not None}
        found: dict[str, list[RowDict]] = {}
        for stored in self.changes:
            entry = stored.entry
            offers = offers_after(entry.entry_type, entry.body) if entry.entry_type in ITEM_CHANGES else None
            at = change_time(entry.body, entry.received_at)
            if offers is not None and at >= times.get(entry.key or "", self.catalog.exported_at.get("offers", 0.0)):
                found[entry.key or ""] = offers
        return found

    def _is_outdated(self, row: RowDict | None, stored: StoredEntry, *, has_file: bool) -> bool:
        """Return whether a file is newer than a change; of an item that it lacks only where the catalog is complete."""
        at = change_time(stored.entry.body, stored.entry.received_at)
        if row is not None and row.get("updated_at") is not None:
            return at < to_micros(row["updated_at"]) / MICROSECONDS
        if row is None and not (has_file and self.catalog.is_complete):
            return False
        return at < self.catalog.exported_at.get("items", 0.0)

    def _erased(self) -> set[str]:
        return set(self.identities.erasures)


def file_identities(tables: Mapping[str, pl.DataFrame]) -> Identities:
    """Return the merges of the identities table, if there is one."""
    if "identities" not in tables:
        return Identities()
    return Identities(dict(tables["identities"].select("id", "user_id").iter_rows()))


def export_event_log(location: LogLocation, identities: Identities | None = None) -> EventLogExport:
    """Read the live log, also while a server writes to it.

    Args:
        location: the live log: a file, or the address of a database.
        identities: those of the files, which its merges and erasures change; None for none.

    Raises:
        ConfigError: the file does not exist.
        StoreError: it cannot be read.
    """
    with closing(open_log(location)) as store:
        last = store.last_seq()
        identities = identities or Identities()
        for stored in _up_to(last, store.read_types(IDENTITY_CHANGES)):
            identities.apply(stored.entry)
        changes = _up_to(last, store.read_types((*ITEM_CHANGES, *USER_CHANGES)))
        changes = [stored for stored in changes if stored.entry.entry_type != UNREADABLE]
        unreadable: list[StoredEntry] = []
        events = events_table(store, last, unreadable)
        followed = events.filter(pl.col("event") != "view_item_list")["recommendation_id"].drop_nulls()
        events = join_impressions(events, impression_rows(store, followed, last))
        messages = messages_table(store, last)
        return EventLogExport(last, events, tuple(changes), identities, unreadable=tuple(unreadable), messages=messages)


def validated_log(
    log: EventLogExport, files: Mapping[str, pl.DataFrame], latest: datetime
) -> dict[str, ValidationResult]:
    """Validate the rows of the log as those of files.

    Args:
        log: the log.
        files: validated rows of the files, by table.
        latest: aware; an event after this moment is in the future.
    """
    raw = {table: raw_table(log.of_table(table, files)) for table in TABLES if table != "identities"}
    rules = ValidationRules(latest, CastOptions(null_words=spelled(())), earliest=EARLIEST)
    return {table: validate_table(part, table, rules) for table, part in raw.items() if len(part.frame)}


def raw_table(frame: pl.DataFrame) -> RawTable:
    """Return rows of the log in the form of a file's rows."""
    return numbered(frame, Origin("the live log"))


def concat_logs(
    files: Tables, log: Tables, identities: Identities, items_with_new_offers: Iterable[str] = ()
) -> Tables:
    """Combine the validated tables of the files and of the log.

    Of events with one `event_id` the file's is kept. Erased ids are removed from the files too. Events of a merged id
    get the id that it was merged into.

    Args:
        files: tables of the files by name; any may be missing.
        log: tables of the log by name, as `EventLogExport.of_table` returns them.
        identities: merges and erasures of the files and the log.
        items_with_new_offers: items of which only the log's offers count.
    """
    tables = dict(files)
    offers = [part for part in (files.get("offers"), log.get("offers")) if part is not None]
    if "offers" in files:
        offers[0] = offers[0].filter(~pl.col("item_id").is_in(list(items_with_new_offers)))
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
        tables["events"] = _with_merged_ids(_distinct_events(pl.concat(events)), users, identities)
    messages = [part for part in (files.get("messages"), log.get("messages")) if part is not None]
    if "messages" in files:
        messages[0] = _without_erased(messages[0], identities)
    if messages:
        tables["messages"] = distinct_messages(_with_merged_ids(pl.concat(messages), users, identities))
    if "users" in tables:
        merged = list(identities.merges)
        tables["users"] = users.filter(~pl.col("user_id").is_in(merged))
    return {name: table for name, table in tables.items() if len(table)}


def _up_to(last: int, entries: Iterable[StoredEntry]) -> list[StoredEntry]:
    return [stored for stored in entries if stored.seq <= last]


def _after(row: RowDict | None, stored: StoredEntry) -> RowDict | None:
    """Return a row after a change; a deleted item stays as unavailable, because events refer to it."""
    entry = stored.entry
    after = apply_patch(row, entry.entry_type, entry.body)
    if entry.entry_type in USER_CHANGES:
        return after
    after = (row or {}) | {"available": False} if after is None else after
    return after | {"updated_at": from_micros(change_time(entry.body, entry.received_at) * MICROSECONDS)}


def _row_after_erasure(row: RowDict | None) -> RowDict | None:
    """Return what an erasure keeps of a user: only the refusal of personalization."""
    return {PERSONALIZATION: False} if row is not None and row.get(PERSONALIZATION) is False else None


def _distinct_events(events: pl.DataFrame) -> pl.DataFrame:
    event_id = pl.col("event_id")
    return events.filter(event_id.is_null() | event_id.is_first_distinct())


def _without_erased(events: pl.DataFrame, identities: Identities) -> pl.DataFrame:
    """Remove the events that erased ids made before their erasure."""
    if not identities.erasures:
        return events
    moments = [round(at * 1_000_000) for at in identities.erasures.values()]
    erased = pl.DataFrame({"who": list(identities.erasures), "erased_at": pl.Series(moments).cast(TIMESTAMP)})
    for column in [name for name in ("user_id", "visitor_id") if name in events.columns]:
        joined = events.join(erased, left_on=column, right_on="who", how="left", maintain_order="left")
        events = joined.filter((pl.col("timestamp") > pl.col("erased_at")).fill_null(True)).drop("erased_at")
    return events


def _with_merged_ids(events: pl.DataFrame, users: pl.DataFrame, identities: Identities) -> pl.DataFrame:
    """Give the events of merged ids the id that these were merged into."""
    roots = identities.roots(identities.merges)
    if not roots:
        return events
    user_key = pl.coalesce([name for name in ("user_id", "visitor_id") if name in events.columns])
    opted_out = users.filter(pl.col(PERSONALIZATION).eq_missing(False))["user_id"]
    events = events.filter(~user_key.is_in(list(opted_out.filter(opted_out.is_in(list(roots))))).fill_null(False))
    target = user_key.replace_strict(roots, default=None, return_dtype=pl.String)
    return events.with_columns(pl.coalesce(target, "user_id").alias("user_id"))
