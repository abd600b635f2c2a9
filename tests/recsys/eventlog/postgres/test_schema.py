from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import StoreError
from recsys.eventlog.postgres.connection import Connection, Database
from recsys.eventlog.postgres.schema import (
    DAY_BITS,
    POSTGRES_SCHEMA_VERSION,
    add_day,
    days_of,
    from_text,
    partition_of,
    prepare,
    to_text,
)
from tests.postgres import schema_of, shared_server


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(schema_of(tmp_path))


def tables(db: Connection) -> set[str]:
    names = db.execute("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relname LIKE 'recsys%'")
    return {name for (name,) in names.fetchall()}


def test_processes_may_create_the_tables_at_once(database: Database) -> None:
    def create(_: int) -> None:
        with database.connect() as db:
            prepare(db, database)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(create, range(6)))
    with database.connect() as db:
        assert db.execute("SELECT count(*), max(last_seq) FROM recsys_state").fetchone() == (1, 0)


def test_another_version_of_the_schema_is_refused(database: Database) -> None:
    with database.connect() as db:
        prepare(db, database)
        db.execute("UPDATE recsys_state SET schema_version = schema_version + 1")
        with pytest.raises(
            StoreError, match=f"version {POSTGRES_SCHEMA_VERSION + 1}, this release reads {POSTGRES_SCHEMA_VERSION}"
        ):
            prepare(db, database)


def test_a_schema_that_does_not_exist_is_named() -> None:
    database = Database(f"{shared_server().url}?options=-csearch_path%3Dnowhere")
    with database.connect() as db, pytest.raises(StoreError, match="has no schema of its search path"):
        prepare(db, database)


def test_a_day_is_added_once_and_contains_its_numbers(database: Database) -> None:
    with database.connect() as db:
        prepare(db, database)
        for day in (20_000, 20_002, 20_000):
            with db.transaction():
                add_day(db, day)
        assert days_of(db, "event") == days_of(db, "impression") == [20_000, 20_002]
        insert = "INSERT INTO recsys_log (seq, kind, at, received_at, body) VALUES (%s, 'event', 0, 0, '{}')"
        for seq in (20_000 << DAY_BITS, (20_001 << DAY_BITS) - 1):
            db.execute(insert, (seq,))
        assert db.execute("SELECT count(*) FROM recsys_log_event_20241004").fetchone() == (2,)


def test_a_day_is_added_while_others_read(database: Database) -> None:
    with database.connect() as db, database.connect() as reader:
        prepare(db, database)
        with reader.transaction():
            reader.execute("SELECT count(*) FROM recsys_log")
            db.execute("SET lock_timeout = 1000")
            with db.transaction():
                add_day(db, 20_000)
        assert partition_of("event", 20_000) == "recsys_log_event_20241004"


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.text("\0\\0a", max_size=8))
def test_any_text_fits_a_column_and_comes_back(text: str) -> None:
    stored = to_text(text)
    assert stored is not None
    assert "\0" not in stored
    assert from_text(stored) == text


def test_common_texts_are_stored_as_they_are() -> None:
    assert to_text("u-1 茶") == "u-1 茶"
    assert to_text(None) is from_text(None) is None
