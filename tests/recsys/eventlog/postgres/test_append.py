"""Numbers ascend in the order of commits, whatever the writers do."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from recsys.core.errors import StoreError
from recsys.eventlog.log_rows import LogRow, row_of
from recsys.eventlog.postgres.append import writing
from recsys.eventlog.postgres.connection import Database, Session
from recsys.eventlog.postgres.schema import DAY_BITS, days_of
from recsys.eventlog.postgres.store import PostgresStore
from recsys.eventlog.store import LogEntry
from tests.postgres import schema_of


def row(key: str | None = None) -> LogRow:
    return row_of(LogEntry("event", key, 1.0, 1.0, {"item_id": "tea", "session_id": "s", "basket_id": "b"}), 0)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    with closing(PostgresStore(schema_of(tmp_path))):
        return Session(Database(schema_of(tmp_path)))


def test_rows_get_the_numbers_of_the_day_and_one_notification(session: Session) -> None:
    days, versions = set[int](), list[int]()
    with writing(session, days, versions.append) as block:
        first = block.add([row("a"), row("b")])
        assert block.add([]) == first
    assert first & ((1 << DAY_BITS) - 1) == 2
    assert days == {first >> DAY_BITS}
    assert versions == [1]
    with session.use("read") as db:
        assert days_of(db, "event") == sorted(days)
        found = db.execute("SELECT seq, session_id, basket_id FROM recsys_log ORDER BY seq").fetchall()
        assert found == [(first - 1, "s", "b"), (first, "s", "b")]
    session.close()


def test_the_day_never_goes_back(session: Session) -> None:
    """A database whose clock is set back, or a log that was copied from one with a later clock."""
    ahead = 40_000 << DAY_BITS
    with writing(session, set(), lambda version: None) as block:
        block.add_numbered([(ahead, row("a"))])
    with writing(session, set(), lambda version: None) as block:
        assert block.add([row("b")]) == ahead + 1
    session.close()


def test_a_transaction_that_fails_leaves_nothing_and_its_numbers_are_given_again(session: Session) -> None:
    days, versions = set[int](), list[int]()
    lost = 0

    def fail() -> None:
        nonlocal lost
        with writing(session, days, versions.append) as block:
            lost = block.add([row("a")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (days, versions) == (set(), [])
    with writing(session, days, versions.append) as block:
        assert block.add([row("b")]) == lost
    assert versions == [1]
    session.close()


def test_a_writer_that_waits_too_long_fails(tmp_path: Path, session: Session) -> None:
    impatient = Session(Database(schema_of(tmp_path)), configure="SET lock_timeout = 50")
    with writing(session, set(), lambda version: None) as block:
        block.add([row("a")])
        with pytest.raises(StoreError, match="lock timeout"), writing(impatient, set(), lambda version: None):
            pass
    for each in (session, impatient):
        each.close()


def test_a_reader_that_continues_sees_every_number_although_writers_pause_before_their_commits(
    tmp_path: Path, session: Session
) -> None:
    """Writers wait at random between the choice of their numbers and the commit, and some roll back."""
    n_writers, n_each = 4, 25
    done = threading.Event()
    committed: list[int] = []

    def write(seed: int) -> None:
        random, own = Random(seed), Session(Database(schema_of(tmp_path)))
        for _ in range(n_each):
            try:
                with writing(own, set(), lambda version: None) as block:
                    last = block.add([row() for _ in range(random.randrange(1, 4))])
                    done.wait(random.random() * 0.01)
                    if random.random() < 0.2:
                        raise RuntimeError
            except RuntimeError:
                continue
            committed.append(last)
        own.close()

    seen: list[int] = []

    def read() -> None:
        with closing(PostgresStore(schema_of(tmp_path))) as store:
            is_last = False
            while not is_last:
                is_last = done.is_set()
                last = store.last_seq()
                part = [each.seq for each in store.read_after(seen[-1] if seen else 0, 1000)]
                seen.extend(part)
                assert last == 0 or last <= (seen[-1] if seen else 0), "every entry up to `last_seq` is visible"

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(n_writers)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    done.set()
    reader.join()
    with session.use("read") as db:
        stored = [seq for (seq,) in db.execute("SELECT seq FROM recsys_log ORDER BY seq").fetchall()]
    assert seen == stored
    assert set(committed) <= set(seen)
    session.close()
