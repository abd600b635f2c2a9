"""What the store in a database owes to it: other processes, crashes, a database that is lost, and erased bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random

import psycopg
import pytest

from recsys.core.errors import ConfigError, StoreError
from recsys.eventlog.postgres.connection import Database
from recsys.eventlog.postgres.store import PostgresStore
from recsys.eventlog.store import LogEntry
from tests.postgres import open_postgres, own_server, schema_of

NOON = 1_700_000_000.0
SOON_S = 60

WRITE_UNTIL_KILLED = """
import sys
from recsys.eventlog.postgres.store import PostgresStore
from recsys.eventlog.store import LogEntry

store, number = PostgresStore(sys.argv[1]), 0
while True:
    keys = [f"{sys.argv[2]}-{number}-{part}" for part in range(number % 4 + 1)]
    store.append([LogEntry("event", key, 1.0, 1.0, {"item_id": "tea"}) for key in keys])
    print(*keys, flush=True)
    number += 1
"""

WRITE_THE_SAME = """
import sys
from recsys.eventlog.postgres.store import PostgresStore
from recsys.eventlog.store import LogEntry

store = PostgresStore(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
for number in range(200):
    writer = sys.argv[2] if number % 2 else "any"
    print(store.append([LogEntry("event", f"e{number}", 1.0, 1.0, {"writer": writer})])[0])
store.close()
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PostgresStore]:
    store = open_postgres(tmp_path)
    yield store
    store.close()


def event(key: str | None, user_id: str = "u", at: float = NOON, text: str = "") -> LogEntry:
    return LogEntry("event", key, at, at, {"item_id": "tea", "user_id": user_id, "channel": text})


def child(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *arguments]
    root = Path(__file__).parents[4]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)


def test_many_callers_share_a_commit(store: PostgresStore) -> None:
    n_threads, n_each = 16, 20

    def write(thread: int) -> None:
        for number in range(n_each):
            assert store.append([event(f"{thread}-{number}")]) == ["stored"]

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(write, range(n_threads)))
    assert len(store.read_after(0, 1000)) == n_threads * n_each
    assert store.version() < n_threads * n_each / 2


def test_of_processes_that_send_the_same_event_one_stores_it(tmp_path: Path) -> None:
    writers = [child(WRITE_THE_SAME, schema_of(tmp_path), name) for name in ("one", "two")]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    one, two = (writer.communicate(timeout=SOON_S)[0].split() for writer in writers)
    for number, outcomes in enumerate(zip(one, two, strict=True)):
        assert sorted(outcomes) == (["conflict", "stored"] if number % 2 else ["duplicate", "stored"])
    assert len(one) == 200


def test_what_was_acknowledged_survives_kills_of_writers_and_of_the_database(tmp_path: Path) -> None:
    server = own_server()
    try:
        writers = [child(WRITE_UNTIL_KILLED, server.url, name) for name in ("one", "two")]
        acknowledged: list[str] = []
        for writer in writers:
            assert writer.stdout is not None
            acknowledged += [key for _ in range(40) for key in writer.stdout.readline().split()]
        writers[0].send_signal(signal.SIGKILL)
        server.stop(signal.SIGKILL)
        for writer in writers:
            rest, _ = writer.communicate(timeout=SOON_S)
            acknowledged += rest[rest.find("\n") + 1 : rest.rfind("\n") + 1].split()
        server.start()
        with closing(PostgresStore(server.url)) as store:
            stored = [each.entry.key for each in store.read_after(0, 10**6)]
            assert store.append([event("after")]) == ["stored"]
            assert store.damage() == ()
        assert len(acknowledged) >= 2 * 90
        assert set(acknowledged) <= set(stored)
        assert len(stored) == len(set(stored))
    finally:
        server.close()


def test_a_lost_database_raises_at_once_and_all_goes_on_when_it_is_back() -> None:
    server = own_server("fsync=off")
    try:
        store = PostgresStore(server.url)
        assert store.append([event("before")]) == ["stored"]
        version = store.version()
        server.stop(signal.SIGQUIT)
        calls = (store.version, store.last_seq, lambda: store.append([event("e")]), lambda: store.erase(["x"], NOON))
        deadline = time.monotonic() + SOON_S
        while time.monotonic() < deadline:
            try:
                store.version()
            except StoreError:
                break
            time.sleep(0.01)
        for call in calls:
            started = time.monotonic()
            with pytest.raises(StoreError, match="could not be reached"):
                call()
            assert time.monotonic() - started < 1.0
        server.start()
        while time.monotonic() < deadline:
            try:
                assert store.append([event("e")]) == ["stored"]
                break
            except StoreError:
                time.sleep(0.01)
        assert [each.entry.key for each in store.read_after(0, 9)] == ["before", "e"]
        assert store.version() > version
        store.close()
    finally:
        server.close()


def test_a_commit_that_failed_may_be_repeated(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    circle = [LogEntry("merge", "a", NOON, NOON, {"into": "b"}), LogEntry("merge", "b", NOON, NOON, {"into": "a"})]
    with store._writer.use("read") as db:
        pid = db.info.backend_pid
    with Database(schema_of_store(store)).connect() as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
    with pytest.raises(StoreError, match="could not be written"):
        store.append([*circle, event("e")])
    assert store.append([*circle, event("e")]) == ["stored", "conflict", "stored"]


def schema_of_store(store: PostgresStore) -> str:
    return store._database._conninfo


def test_two_halves_of_a_circle_at_once(tmp_path: Path) -> None:
    one, two = open_postgres(tmp_path), open_postgres(tmp_path)
    for number in range(10):
        barrier = threading.Barrier(2)

        def merge(store: PostgresStore, source: str, target: str, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            return store.append([LogEntry("merge", source, NOON, NOON, {"into": target})])[0]

        a, b = f"a{number}", f"b{number}"
        with ThreadPoolExecutor(2) as pool:
            halves = [pool.submit(merge, one, a, b), pool.submit(merge, two, b, a)]
        assert sorted(half.result() for half in halves) == ["conflict", "stored"]
    one.close()
    two.close()


def test_ids_are_known_to_all_stores_and_erased_ones_stay_refused(tmp_path: Path) -> None:
    random, stores, sent = Random(7), [open_postgres(tmp_path) for _ in range(3)], {}
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
    entries = stores[0].read_after(0, 1_000)
    assert {each.entry.key for each in entries if each.entry.entry_type == "event"} == sent.keys()
    for store in stores:
        assert store.damage() == ()
        store.close()


def test_an_erasure_is_purged_once_no_transaction_sees_the_entries(tmp_path: Path) -> None:
    store = open_postgres(tmp_path, timeout_s=0.1)
    store.append([event("e")])
    with Database(schema_of(tmp_path)).connect() as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM recsys_log")
        assert not store.erase(["u"], NOON).purged
        assert reader.execute("SELECT count(*) FROM recsys_log WHERE kind = 'event'").fetchone() == (1,)
        reader.execute("COMMIT")
    assert store.purge()
    store.close()


def test_compaction_leaves_nothing_of_erased_entries_in_the_tables() -> None:
    server = own_server()
    try:
        with closing(PostgresStore(server.url)) as store:
            store.append(
                [event(f"k{n}", "gone" if n % 2 else "kept", text="<mark>" * (n % 9 + 1)) for n in range(5_000)]
            )
            store.append([event(f"t{n}", "kept", text="<stays>") for n in range(50)])
            assert store.erase(["gone"], NOON + 1).removed == {"event": 2_500}
            assert store.erase(["kept"], NOON + 1, at=NOON).removed == {"event": 2_550}
            store.append([event("new", "kept", NOON + 5, "<stays>")])
            size = store.size_bytes()
            assert store.compact()
            assert store.size_bytes() < size
        server.stop()  # its write-ahead log aside, which is recycled or archived
        tables = b"".join(file.read_bytes() for file in (server.folder / "data" / "base").rglob("*") if file.is_file())
        assert b"<mark>" not in tables
        assert b"<stays>" in tables
    finally:
        server.close()


def test_a_shop_is_a_schema_of_the_database(tmp_path: Path) -> None:
    with closing(open_postgres(tmp_path / "one")) as one, closing(open_postgres(tmp_path / "two")) as two:
        assert one.append([event("e")]) == two.append([event("e", text="other")]) == ["stored"]
        assert one.shared_secret() != two.shared_secret()
        with closing(open_postgres(tmp_path / "one")) as again:
            assert again.shared_secret() == one.shared_secret()
            assert len(again.read_after(0, 9)) == 1


def test_damage_between_the_tables_is_found(store: PostgresStore, tmp_path: Path) -> None:
    store.append([event("e"), event("f")])
    with Database(schema_of(tmp_path)).connect() as db:
        db.execute("DELETE FROM recsys_ids")
        db.execute("UPDATE recsys_state SET last_seq = last_seq - 1")
    assert store.damage() == (
        "1 entries have a higher number than the last one",
        "2 entries have an id that is not indexed",
    )


def test_an_address_that_is_wrong_or_not_reached_is_named() -> None:
    with pytest.raises(ConfigError, match="expected postgresql://"):
        PostgresStore("postgresql://host/db?unheard_of=1")
    with pytest.raises(StoreError, match=r"nothing on 127\.0\.0\.1 could not be opened"):
        PostgresStore("postgresql://recsys:secret@127.0.0.1:1/nothing")


@pytest.mark.parametrize("n_days", [40])
def test_a_reader_at_the_end_reads_the_newest_days_only(store: PostgresStore, tmp_path: Path, n_days: int) -> None:
    from recsys.eventlog.postgres.schema import DAY_BITS, add_day
    from recsys.eventlog.postgres.store import _READ_FOR_VIEW

    with Database(schema_of(tmp_path)).connect() as db:
        with db.transaction():
            for day in range(19_000, 19_000 + n_days):
                add_day(db, day)
        text = psycopg.ClientCursor(db).mogrify(_READ_FOR_VIEW, ((19_000 + n_days - 2) << DAY_BITS, 9))
        plan = "\n".join(row[0] for row in db.execute(f"EXPLAIN {text}").fetchall())  # type: ignore[call-overload]
    assert plan.count("recsys_log_event") == 2 * 2, plan
    assert "recsys_log_impression" not in plan
