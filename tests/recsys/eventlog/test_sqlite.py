"""What the store in a file owes to its file: other processes, crashes, full disks, and bytes that must be gone."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.core.errors import StoreError
from recsys.eventlog import log_rows, sqlite, sqlite_dedup, sqlite_erasure, sqlite_known
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.sqlite_schema import STORE_SCHEMA_VERSION
from recsys.eventlog.store import LogEntry, events_table

NOON: Final = 1_700_000_000.0
SOON_S: Final = 60

WRITE_UNTIL_KILLED: Final = """
import sys
from pathlib import Path
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry

store, number = SqliteStore(Path(sys.argv[1])), 0
while True:
    keys = [f"{sys.argv[2]}-{number}-{part}" for part in range(number % 4 + 1)]
    store.append([LogEntry("event", key, 1.0, 1.0, {"item_id": "tea"}) for key in keys])
    print(*keys, flush=True)
    number += 1
"""

WRITE_THE_SAME: Final = """
import sys
from pathlib import Path
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry

store = SqliteStore(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.readline()
for number in range(200):
    writer = sys.argv[2] if number % 2 else "any"
    print(store.append([LogEntry("event", f"e{number}", 1.0, 1.0, {"writer": writer})])[0])
store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


def event(key: str | None, user_id: str = "u", at: float = NOON, text: str = "") -> LogEntry:
    return LogEntry("event", key, at, at, {"item_id": "tea", "user_id": user_id, "channel": text})


@pytest.mark.parametrize("n", [1, 2, 49, 50, 51, 149, 1000])
def test_entries_of_one_commit_have_ascending_numbers_in_their_order(store: SqliteStore, path: Path, n: int) -> None:
    first, other = [event(f"a{k}" if k % 7 else None, text=str(k)) for k in range(n)], event("other")
    assert store.append(first) == ["stored"] * n
    with closing(SqliteStore(path)) as beside:
        assert beside.append([other, *first[1:]]) == [
            "stored",
            *("duplicate" if k % 7 else "stored" for k in range(1, n)),
        ]
    second = [event(f"b{k}", text=str(k)) for k in range(n)]
    assert store.append([*second, other, *first[1:2]]) == ["stored"] * n + ["duplicate"] * len([other, *first[1:2]])
    again = [event(None, text=str(k)) for k in range(7, n, 7)]
    found = store.read_after(0, 10_000)
    assert [each.entry for each in found] == [*first, other, *again, *second]
    numbers = [each.seq for each in found]
    assert numbers == list(range(1, len(found) + 1))
    assert store.last_seq() == numbers[-1]


def test_an_id_is_unknown_after_a_commit_that_failed(store: SqliteStore) -> None:
    fails = patch.object(sqlite.SqliteEntries, "flush", side_effect=sqlite3.OperationalError("disk I/O error"))
    with fails, pytest.raises(StoreError):
        store.append([event("a"), event("b")])
    assert store.append([event("c"), event("a")]) == ["stored", "stored"]
    assert store.append([event("a"), event("b"), event("c")]) == ["duplicate", "stored", "duplicate"]


def test_rows_are_stored_as_the_entries_that_they_are_of(store: SqliteStore) -> None:
    entries = [event("a"), event("b", text="x")]
    assert store.append([log_rows.row_of(entries[0], 0), entries[1]]) == ["stored", "stored"]
    assert store.append([entries[0], log_rows.row_of(entries[1], 0)]) == ["duplicate", "duplicate"]
    assert [each.entry for each in store.read_after(0, 9)] == entries


def child(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *arguments]
    root = Path(__file__).parents[3]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)


def test_many_callers_share_a_commit(store: SqliteStore) -> None:
    statements: Counter[str] = Counter()
    store._writer.set_trace_callback(lambda sql: statements.update([sql.partition(" ")[0]]))
    n_threads, n_each = 32, 20

    def write(thread: int) -> None:
        for number in range(n_each):
            assert store.append([event(f"{thread}-{number}")]) == ["stored"]

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(write, range(n_threads)))
    assert store.last_seq() == n_threads * n_each
    assert statements["COMMIT"] < n_threads * n_each / 3


def test_of_processes_that_send_the_same_event_one_stores_it(path: Path) -> None:
    writers = [child(WRITE_THE_SAME, str(path), name) for name in ("one", "two")]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    one, two = (writer.communicate(timeout=SOON_S)[0].split() for writer in writers)
    assert [writer.returncode for writer in writers] == [0, 0]
    for number, outcomes in enumerate(zip(one, two, strict=True)):
        assert sorted(outcomes) == (["conflict", "stored"] if number % 2 else ["duplicate", "stored"])
    assert len(one) == 200


def test_processes_may_make_a_store_at_the_same_moment(path: Path) -> None:
    barrier = threading.Barrier(8)

    def make(_: int) -> SqliteStore:
        barrier.wait()
        return SqliteStore(path)

    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(make, range(8)))
    assert [store.append([event("e")]) for store in stores].count(["stored"]) == 1
    for store in stores:
        store.close()


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    writers = [child(WRITE_UNTIL_KILLED, str(path), name) for name in ("one", "two")]
    acknowledged: list[str] = []
    for writer in writers:
        assert writer.stdout is not None
        acknowledged += [key for _ in range(40) for key in writer.stdout.readline().split()]
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=SOON_S)
        # What readline had read ahead is missing before the first line, and the signal may have cut the last in two.
        acknowledged += rest[rest.find("\n") + 1 : rest.rfind("\n") + 1].split()
        assert writer.returncode == -signal.SIGKILL
    store = SqliteStore(path)
    stored = [each.entry.key for each in store.read_after(0, 10**6)]
    assert store.append([event("after")]) == ["stored"]
    store.close()
    assert len(acknowledged) >= 2 * 100
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


def remains(path: Path, marks: bytes) -> set[str]:
    """What of a pattern is found in any file of the store."""
    return {mark.decode() for file in path.parent.iterdir() for mark in re.findall(marks, file.read_bytes())}


def fill(store: SqliteStore, random: Random, n_events: int, shoppers: list[str]) -> dict[str, set[str]]:
    """Store events of many sizes with random ids; return the ids of each user."""
    ids: dict[str, set[str]] = {state: set() for state in shoppers}
    for number in range(0, n_events, 500):
        batch = []
        for at in range(number, number + 500):
            state, key = random.choice(shoppers), str(UUID(int=random.getrandbits(128)))
            ids[state].add(key)
            batch.append(event(key, state, float(at), f"<{state}>" * random.choice([1, 2, 60])))
        store.append(batch)
    return ids


UUIDS: Final = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
MARKS: Final = rb"<[a-z]+>"


def test_erased_bytes_are_in_no_file(path: Path) -> None:
    """Most of the log is removed, so that SQLite moves the remaining rows."""
    one, two = SqliteStore(path), SqliteStore(path)
    ids = fill(one, Random(5), 20_000, ["gone", "away", "stays"])
    one.append([LogEntry("impression", "r", NOON, NOON, {"user_id": "gone", "items": [{"item_id": "<item>"}]})])
    one.append([LogEntry("user_put", "gone", NOON, NOON, {"tags": ["<tag>"]})])
    receipt = two.erase(["gone", "away"], NOON + 1)
    assert receipt.purged
    assert receipt.removed == {"event": len(ids["gone"] | ids["away"]), "impression": 1, "user_put": 1}
    # Of what stays, copies may lie in unused parts of pages, partly written over.
    assert {mark for mark in remains(path, MARKS) if "stays" not in mark} == set()
    assert not remains(path, UUIDS) & (ids["gone"] | ids["away"])
    one.close()
    two.close()


def test_compaction_wipes_what_removals_left_and_gives_back_their_room(path: Path) -> None:
    one, two = SqliteStore(path), SqliteStore(path)
    ids = fill(one, Random(6), 6_000, ["gone", "away", "stays"])
    assert one.purge()
    before = path.stat().st_size
    one.delete_before(2_000.0)
    for state in ("gone", "away"):
        two.erase([state], NOON)
    kept = two.read_after(0, 10_000)
    assert two.compact()
    assert one.read_after(0, 10_000) == kept
    assert remains(path, MARKS) == {"<stays>"}
    assert remains(path, UUIDS) == {each.entry.key for each in kept} & ids["stays"]
    assert path.stat().st_size < before / 2
    assert one.append([event("e")]) == ["stored"]
    one.close()
    two.close()


def test_a_purge_that_a_reader_blocks_can_be_repeated(path: Path) -> None:
    store = SqliteStore(path, timeout_s=0.05)
    store.append([event("e", text="<mark>")])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM log").fetchone()
    assert not store.erase(["u"], NOON).purged
    reader.execute("COMMIT")
    assert store.purge()
    assert b"<mark>" not in b"".join(file.read_bytes() for file in path.parent.iterdir())
    reader.close()
    store.close()


def test_entries_that_arrive_during_the_scan_are_erased_too(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_erasure, "SCANNED_AT_ONCE", 2)
    nobodys = LogEntry("event", None, NOON, NOON, {"item_id": "tea", "session_id": "s"})
    store.append([nobodys, *(event(str(number)) for number in range(5))])
    look = store._find

    def look_slowly(traces: sqlite_erasure.ErasureScan) -> None:
        look(traces)
        store.append([event("meanwhile"), LogEntry("event", None, NOON, NOON, {"user_id": "u", "session_id": "s"})])

    monkeypatch.setattr(store, "_find", look_slowly)
    receipt = store.erase(["u"], NOON + 1)
    assert (receipt.removed, receipt.linked) == ({"event": 8}, 1)


def test_two_halves_of_a_circle_at_once(path: Path) -> None:
    """The first one is stored; the other is refused, from any process."""
    one, two = SqliteStore(path), SqliteStore(path)
    for number in range(20):
        barrier = threading.Barrier(2)

        def merge(store: SqliteStore, source: str, target: str, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            return store.append([LogEntry("merge", source, NOON, NOON, {"into": target})])[0]

        a, b = f"a{number}", f"b{number}"
        with ThreadPoolExecutor(2) as pool:
            halves = [pool.submit(merge, one, a, b), pool.submit(merge, two, b, a)]
        assert sorted(half.result() for half in halves) == ["conflict", "stored"]
    assert one.append(
        [LogEntry("merge", "x", NOON, NOON, {"into": "y"}), LogEntry("merge", "y", NOON, NOON, {"into": "x"})]
    ) == [
        "stored",
        "conflict",
    ]
    assert len(two.read_types(["merge"])) == 21
    one.close()
    two.close()


def test_retention_in_parts(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "REMOVE_BATCH", 3)
    store.append([event(str(number), at=float(number % 5)) for number in range(20)])
    store.append([LogEntry("item_patch", "tea", 0.0, 0.0, {}) for _ in range(7)])
    assert store.delete_before(2.0) == 8
    assert store.delete_changes(store.last_seq()) == 7
    assert {each.entry.at for each in store.read_after(0, 99)} == {2.0, 3.0, 4.0}


FIRST_SCHEMA: Final = """
CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT, at REAL NOT NULL,
    received_at REAL NOT NULL, user_id TEXT, visitor_id TEXT, digest BLOB, body TEXT NOT NULL);
CREATE UNIQUE INDEX keyed ON log (digest) WHERE digest IS NOT NULL;
CREATE INDEX others ON log (kind) WHERE kind NOT IN ('event', 'impression');
PRAGMA user_version = 1;
"""


def test_a_store_of_the_first_schema_is_migrated(path: Path) -> None:
    entries = [event("e"), LogEntry("impression", "r", NOON, NOON, {"items": []}), event(None), event("gone", "gone")]
    entries += [LogEntry("item_put", "tea", NOON, NOON, {}), LogEntry("erasure", "away", NOON, NOON, {})]
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(FIRST_SCHEMA)
    insert = "INSERT INTO log (kind, key, at, received_at, user_id, digest, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
    for each in entries:
        digest = blake2b(f"{each.entry_type} {each.key}".encode(), digest_size=16).digest()
        is_keyed = each.key is not None and each.entry_type in ("event", "impression")
        body = msgspec.json.encode(each.body).decode()
        row = (
            each.entry_type,
            each.key,
            each.at,
            each.received_at,
            each.body.get("user_id"),
            digest if is_keyed else None,
        )
        db.execute(insert, (*row, body))
    db.execute("DELETE FROM log WHERE key = 'gone'")
    db.close()
    for _ in range(2):
        store = SqliteStore(path)
        kept = [each for each in entries if each.key != "gone"]
        assert [(stored.seq, stored.entry) for stored in store.read_after(0, 9)] == list(
            zip([1, 2, 3, 5, 6], kept, strict=True)
        )
        assert store.append([*entries[:2], event("e", text="other"), event("x", "away", NOON - 1)]) == [
            "duplicate",
            "duplicate",
            "conflict",
            "erased",
        ]
        assert store.last_seq() == len(entries)
        store.close()


@pytest.mark.parametrize("flush_size", [1, 3, 10**6])
def test_ids_are_known_wherever_they_are(path: Path, monkeypatch: pytest.MonkeyPatch, flush_size: int) -> None:
    """In the table, in memory, written or flushed by another process; erased ones stay refused."""
    monkeypatch.setattr(sqlite_dedup, "FLUSH_SIZE", flush_size)
    random, stores, sent = Random(7), [SqliteStore(path) for _ in range(3)], {}
    erased: set[str | None] = set()
    for turn in range(60):
        batch = [event(f"e{random.randrange(80)}", f"u{turn % 4}", float(turn)) for _ in range(random.randrange(6))]
        expected = []
        for each in batch:
            if each.key in erased:
                expected.append("erased")
                continue
            known = sent.setdefault(each.key, each)
            expected.append("stored" if known is each else "duplicate" if known.body == each.body else "conflict")
        assert random.choice(stores).append(batch) == expected
        if turn % 20 == 13:
            random.choice(stores).delete_before(turn - 8.0)
            sent = {key: each for key, each in sent.items() if each.at >= turn - 8.0}
        if turn % 20 == 19:
            random.choice(stores).erase(["u3"], float(turn), 0.0)
            erased |= {key for key, each in sent.items() if each.body["user_id"] == "u3"}
            sent = {key: each for key, each in sent.items() if key not in erased}
    assert {
        each.entry.key for each in stores[0].read_after(0, 1_000) if each.entry.entry_type == "event"
    } == sent.keys()
    for store in stores:
        store.close()


def test_of_ids_of_one_digest_the_later_is_refused(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_rows, "digest_of", lambda entry_type, key: 5)
    assert store.append([event("a"), event("b")]) == ["stored", "conflict"]
    assert store.append([event("b"), event("a")]) == ["conflict", "duplicate"]


def test_the_ids_of_a_rolled_back_commit_are_unknown(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_dedup, "FLUSH_SIZE", 1)
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        store.append([event("e"), event("f", text="x" * 100_000)])
    store._writer.execute("PRAGMA max_page_count = 1000000")
    assert store.append([event("g"), event("e"), event("f")]) == ["stored", "stored", "stored"]
    assert store.append([event("e")]) == ["duplicate"]


def test_an_erasure_whose_bytes_cannot_be_purged_still_answers(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> bool:
        raise StoreError("the disk is full")

    store.append([event("e")])
    with monkeypatch.context() as patched:
        patched.setattr(store, "purge", full)
        receipt = store.erase(["u"], NOON)
    assert (receipt.removed, receipt.purged) == ({"event": 1}, False)
    assert store.purge()


def test_an_erasure_on_a_full_disk_removes_nothing_or_all(store: SqliteStore) -> None:
    store.append([event(f"e{n}") for n in range(2_000)])
    store._writer.execute("PRAGMA max_page_count = 1")  # at least as many as the file has
    with pytest.raises(StoreError, match="full"):
        store.erase([f"u{n}" for n in range(20_000)] + ["u"], NOON)
    assert len(store.read_after(0, 9_999)) == 2_000
    store._writer.execute("PRAGMA max_page_count = 1000000")
    assert store.erase(["u"], NOON).removed == {"event": 2_000}


def test_another_schema_version_is_refused_and_left_alone(path: Path) -> None:
    SqliteStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {STORE_SCHEMA_VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=f"version {STORE_SCHEMA_VERSION + 1}, this release reads {STORE_SCHEMA_VERSION}"
    ):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_another_file_is_refused_and_not_changed(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (a)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema version 0"):
        SqliteStore(path)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all, though long enough to be one" * 50)
    with pytest.raises(StoreError, match=r"could not be opened .*not a database"):
        SqliteStore(path)
    with pytest.raises(StoreError, match=r"could not be opened .*folder"):
        SqliteStore(path.parent / "nowhere" / "events.db")


def test_a_full_disk_fails_waiting_callers_only(store: SqliteStore) -> None:
    store.append([event("before")])
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"could not be written .*full.* disk's space"):
        store.append([event("small"), event("too much", text="x" * 100_000)])
    store._writer.execute("PRAGMA max_page_count = 1000000")
    assert store.append([event("small")]) == ["stored"]
    assert [each.entry.key for each in store.read_after(0, 9)] == ["before", "small"]


def test_a_lock_of_another_process_fails_waiting_callers_only(path: Path) -> None:
    store = SqliteStore(path, timeout_s=0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.append([event("e")])
    with pytest.raises(StoreError, match="locked"):
        store.erase(["u"], NOON)
    other.execute("ROLLBACK")
    assert store.append([event("e")]) == ["stored"]
    other.close()
    store.close()


def test_durability_is_what_was_promised(store: SqliteStore) -> None:
    pragmas = {
        name: store._writer.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "secure_delete")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}


@pytest.mark.parametrize(
    ("sql", "values", "index"),
    [
        (sqlite_known._KNOWN, (1,), "PRIMARY KEY"),
        (sqlite_known._NEW_MERGES, (1,), "others"),
        (sqlite._DELETE_CHANGES, ("[]", 9, 9), "others"),
        (sqlite._READ_AFTER, (0, "[]", 9), "PRIMARY KEY"),
        (sqlite._DELETE_BEFORE, (0, 9, 1.0, "[]"), "PRIMARY KEY"),
        (sqlite._ANY_BEFORE, (0, 9, 1.0, "[]"), "PRIMARY KEY"),
    ],
)
def test_queries_use_their_indexes(store: SqliteStore, sql: str, values: tuple[object, ...], index: str) -> None:
    plan = store._writer.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
    assert any(index in row[-1] for row in plan), plan
    assert not any(row[-1] == "SCAN log" for row in plan), plan


def parts(event_id: str, n_items: int, text: str = "") -> list[LogEntry]:
    """The entries of an event of several items, as the API makes them."""
    of_items = [event(f"{event_id}#{number}", text=text) for number in range(1, n_items + 1)]
    return [
        msgspec.structs.replace(each, body=each.body | {"n_items": n_items}, part=(event_id, number))
        for number, each in enumerate(of_items, 1)
    ]


@given(
    calls=st.lists(
        st.lists(
            st.one_of(
                st.builds(lambda key: [event(key)], st.sampled_from(["mp", "mp#1", "mp#2", "mp#1#1", "mp#01", "#1"])),
                st.builds(parts, st.sampled_from(["mp", "mp#1", ""]), st.integers(2, 3), st.sampled_from(["", "x"])),
            ),
            max_size=3,
        ),
        max_size=4,
    )
)
@settings(max_examples=60)
def test_no_two_events_are_exported_under_one_id(tmp_path_factory: pytest.TempPathFactory, calls: Any) -> None:
    """Whether the ids are a shop's own or those of items of one event, in one call or several, in any order."""
    with closing(SqliteStore(tmp_path_factory.mktemp("log") / "store.sqlite")) as store:
        for call in calls:
            sent = [entry for each in call for entry in each]
            outcomes = store.append(sent)
            assert "stored" not in store.append(sent), "the same call again adds nothing"
            for entry, outcome in zip(sent, outcomes, strict=True):
                of_id = [stored.entry for stored in store.read_after(0, 99) if stored.entry.key == entry.key]
                if outcome in ("stored", "duplicate"):
                    assert [each.body for each in of_id] == [entry.body]
        ids = events_table(store)["event_id"].to_list()
        assert len(set(ids)) == len(ids)


def test_a_store_without_free_file_descriptors_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, timeout_s: float) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr("recsys.eventlog.sqlite.connect", full)
    with pytest.raises(StoreError, match="could not be opened"):
        SqliteStore(tmp_path / "store.sqlite")
