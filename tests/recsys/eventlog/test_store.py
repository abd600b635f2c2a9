"""What every store of events keeps to, and the table that its entries make."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.errors import DataError, StoreBusyError, StoreError
from recsys.core.schema import EVENTS
from recsys.eventlog.identities import user_key
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import (
    USER_CHANGES,
    EntryType,
    EventStore,
    LogEntry,
    StoredEntry,
    StoredEvent,
    events_table,
    for_view,
    read_entries,
)
from tests.postgres import open_postgres

Open = Callable[..., EventStore]

STORES: Final[dict[str, Callable[..., EventStore]]] = {"sqlite": SqliteStore, "postgres": open_postgres}
"""How each store is opened, at a place that several may share; a further one is held to the same tests."""

DELAY_S: Final = {"sqlite": 0.0, "postgres": 2.0}
"""How long after a commit another process may notice it."""

NOON: Final = 1_700_000_000.25


@pytest.fixture(params=STORES)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store as often as asked, as further processes would."""
    opened: list[EventStore] = []

    def open_store(**settings: Any) -> EventStore:
        opened.append(STORES[request.param](tmp_path / "events.db", **settings))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Open) -> EventStore:
    return reopen()


@pytest.fixture
def delay_s(request: pytest.FixtureRequest) -> float:
    return DELAY_S[request.node.callspec.params["reopen"]]


def event(key: str | None = None, at: float = NOON, received_at: float = NOON, **columns: Any) -> LogEntry:
    return LogEntry("event", key, at, received_at, {"item_id": "tea", "event": "view_item", "user_id": "u"} | columns)


def impression(key: str, user_id: str, *shown: dict[str, Any], at: float = NOON) -> LogEntry:
    body = {"placement": "for_you", "user_id": user_id, "items": list(shown)}
    return LogEntry("impression", key, at, at, body)


def change(entry_type: EntryType, key: str, at: float = NOON, **columns: Any) -> LogEntry:
    return LogEntry(entry_type, key, at, at, columns)


def everything(store: EventStore) -> list[StoredEntry]:
    return store.read_after(0, 1_000_000)


def keys(store: EventStore) -> list[str | None]:
    return [stored.entry.key for stored in everything(store)]


def test_a_new_store_is_empty(store: EventStore) -> None:
    assert store.append([]) == []
    assert (everything(store), store.last_seq(), store.delete_before(NOON)) == ([], 0, 0)
    assert events_table(store).schema == EVENTS


def test_entries_of_all_kinds_share_one_order(store: EventStore) -> None:
    entries = [event("e1"), change("item_put", "tea", price=3.5), change("merge", "v", into="u"), event("e2")]
    assert store.append(entries) == ["stored"] * 4
    stored = everything(store)
    assert [each.entry for each in stored] == entries
    assert [each.seq for each in stored] == sorted({each.seq for each in stored})
    assert store.last_seq() == stored[-1].seq
    assert store.read_after(stored[1].seq, 1) == stored[2:3]
    assert store.read_after(store.last_seq(), 9) == []


def test_a_list_has_the_number_that_it_was_made_with_beside_its_content(store: EventStore) -> None:
    shown = msgspec.structs.replace(impression("r", "u", {"item_id": "tea"}), made_with=41)
    assert store.append([shown]) == ["stored"]
    assert everything(store)[0].entry == shown
    reported = (msgspec.structs.replace(shown, made_with=other) for other in (None, 42))
    assert store.append([*reported, impression("r", "u", {"item_id": "rice"})]) == ["duplicate"] * 2 + ["conflict"]


def test_kinds_may_be_passed_over(store: EventStore) -> None:
    shown = [impression(f"r{n}", "u", {"item_id": "tea"}) for n in range(5)]
    store.append(
        [
            event("a"),
            *shown,
            event("b"),
            *(msgspec.structs.replace(each, key=f"{each.key}+") for each in shown),
            event("c"),
        ]
    )
    first, *rest = store.read_after(0, 2, without=("impression",))
    assert [each.entry.key for each in (first, *rest)] == ["a", "b"]
    assert [each.entry.key for each in store.read_after(first.seq, 9, without=("impression",))] == ["b", "c"]
    assert store.read_after(0, 9, without=("impression", "event")) == []


def test_a_view_reads_what_the_general_reading_returns(store: EventStore) -> None:
    shown = impression("r", "u", {"item_id": "tea"})
    wide = event("e2", session_id="s", value=4.5, quantity=2, price=3.0, region="east", unheard_of={"a": [1]})
    store.append([event("e1"), shown, change("item_put", "tea", price=3.5), wide, event(None, user_id=None)])
    read = store.read_for_view(0, 99)
    assert read == [for_view(each) for each in store.read_after(0, 99, without=("impression",))]
    assert [type(each) for each in read] == [StoredEvent, StoredEntry, StoredEvent, StoredEvent]
    assert store.read_for_view(read[0].seq, 2) == read[1:3]
    assert store.read_for_view(store.last_seq(), 9) == []


def test_rare_kinds_are_found_without_the_rest(store: EventStore) -> None:
    entries = [change("merge", "v", into="u"), event("e1"), change("item_put", "tea"), change("unmerge", "v", into="u")]
    store.append(entries)
    assert [each.entry for each in store.read_types(["merge", "unmerge"])] == [entries[0], entries[3]]
    assert [each.seq for each in store.read_types(["merge"])] == [everything(store)[0].seq]
    assert store.read_types(["user_put"]) == store.read_types([]) == []
    with pytest.raises(DataError, match="'event' is not a rare type"):
        store.read_types(["merge", "event"])


def test_a_store_is_found_again_as_it_was_left(reopen: Open) -> None:
    first = reopen()
    first.append([event("e1"), event("e2")])
    before = everything(first)
    first.close()
    assert everything(reopen()) == before


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab茶🍵\0", max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
TIMES: Final = st.floats(-1e10, 1e10)


KEYS: Final = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
BODIES: Final = st.dictionaries(st.text("ab茶🍵", min_size=1), JSON, max_size=4)
ENTRIES: Final = st.one_of(
    st.builds(LogEntry, st.just("event"), st.none() | KEYS, TIMES, TIMES, BODIES),
    st.builds(LogEntry, st.sampled_from(["item_patch", "user_put", "unmerge"]), KEYS, TIMES, TIMES, BODIES),
    st.builds(LogEntry, st.just("merge"), KEYS, TIMES, TIMES, BODIES.map(lambda body: body | {"into": "u"})),
)


@given(st.lists(ENTRIES, max_size=8, unique_by=lambda entry: entry.key or id(entry)))
def test_stored_entries_are_read_unchanged(tmp_path_factory: pytest.TempPathFactory, entries: list[LogEntry]) -> None:
    for open_store in STORES.values():
        store = open_store(tmp_path_factory.mktemp("store") / "events.db")
        assert store.append(entries) == ["stored"] * len(entries)
        assert [stored.entry for stored in everything(store)] == entries
        store.close()


def test_the_same_event_twice_is_accepted_once(store: EventStore) -> None:
    assert store.append([event("e", price=1.0, channel="app")]) == ["stored"]
    again = LogEntry("event", "e", NOON + 60, NOON + 60, {"channel": "app", "received_at": "x", "price": 1.0})
    again.body.update(user_id="u", event="view_item", item_id="tea")
    assert store.append([again]) == ["duplicate"], "neither the order of fields nor the server's times are content"
    assert everything(store)[0].entry.at == NOON
    assert store.append([event("e", price=2.0, channel="app")]) == ["conflict"]
    assert len(everything(store)) == 1


def test_a_bad_entry_does_not_lose_the_rest(store: EventStore) -> None:
    store.append([event("known")])
    batch = [
        event("a"),
        event("known", price=1.0),
        event("b"),
        event("a"),
        event("b", price=9.0),
        event("known"),
        event(),
    ]
    assert store.append(batch) == ["stored", "conflict", "stored", "duplicate", "conflict", "duplicate", "stored"]
    assert keys(store) == ["known", "a", "b", None]


def parts(event_id: str, *items: str) -> list[LogEntry]:
    return [
        LogEntry("event", f"{event_id}#{n}", NOON, NOON, {"item_id": item, "n_items": len(items)}, (event_id, n))
        for n, item in enumerate(items, 1)
    ]


def test_an_event_of_several_items_is_stored_whole_or_not_at_all(store: EventStore) -> None:
    two, one = parts("e", "tea", "cup"), event("e", item_id="tea")
    assert store.append([*two, *two]) == ["stored", "stored", "duplicate", "duplicate"]
    assert store.append(parts("e", "tea", "cup", "pot")) == ["conflict"] * 3
    assert store.append(two[:1]) == ["duplicate"]
    assert store.append([one, event("f")]) == ["conflict", "stored"]
    assert store.append([*parts("f", "tea", "cup"), *parts("g", "tea", "cup")]) == ["conflict"] * 2 + ["stored"] * 2
    assert keys(store) == ["e#1", "e#2", "f", "g#1", "g#2"]
    store.append([event("h#3", item_id="pot")])
    assert store.append(parts("h", "tea", "cup", "tin")) == ["conflict"] * 3
    assert keys(store)[-1] == "h#3"


def test_only_events_and_impressions_are_known_by_their_keys(store: EventStore) -> None:
    again = [change("item_put", "tea"), event(None), impression("tea", "u")]
    assert store.append([event("tea"), *again, *again]) == ["stored"] * 6 + ["duplicate"]


@pytest.mark.parametrize(
    "bad",
    [event("e", price=object()), event("\ud800"), event("e", region="\ud800"), event("e", at=float("nan"))],
    ids=["type", "key", "text", "time"],
)
def test_what_cannot_be_written_down_is_refused_before_anything_is_stored(store: EventStore, bad: LogEntry) -> None:
    with pytest.raises(DataError, match="entry 1 cannot be encoded"):
        store.append([event("good"), bad])
    assert everything(store) == []


def wait_for_change(store: EventStore, version: int, delay_s: float) -> None:
    """Wait until a store has noticed the commit of another one."""
    deadline = time.monotonic() + delay_s
    while store.version() == version and time.monotonic() < deadline:
        time.sleep(0.001)
    assert store.version() != version


def test_any_commit_is_noticed_by_every_opened_store(reopen: Open, delay_s: float) -> None:
    one, two = reopen(), reopen()
    before = one.version(), two.version()
    assert (one.version(), two.version()) == before
    one.append([event("e")])
    assert one.version() != before[0], "its own commit at once"
    wait_for_change(two, before[1], delay_s)
    assert keys(two) == ["e"]
    after = one.version()
    two.erase(["u"], NOON)
    wait_for_change(one, after, delay_s)


def test_a_reader_that_continues_misses_nothing(reopen: Open) -> None:
    writers, n_each = [reopen(), reopen()], 150
    reader, seen, done = reopen(), list[StoredEntry](), threading.Event()

    def write(store: EventStore, thread: int) -> None:
        for number in range(n_each):
            store.append([event(f"{thread}-{number}-{part}") for part in range(number % 3 + 1)])

    def read() -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()
            while part := reader.read_after(seen[-1].seq if seen else 0, 7):
                seen.extend(part)

    watching = threading.Thread(target=read)
    watching.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, writers * 2, range(4)))
    done.set()
    watching.join()
    assert seen == everything(writers[0])
    assert len(seen) == 4 * 2 * n_each


def test_an_erasure_removes_all_entries_of_a_user_and_no_others(store: EventStore) -> None:
    other = [
        event("o", user_id="other"),
        change("item_put", "u"),
        change("merge", "u", into="other"),
        event("s", user_id=None, session_id="u"),
    ]
    mine = [
        event("a"),
        event("b", user_id=None, visitor_id="v"),
        impression("r", "u"),
        change("user_put", "u", tags=["x"]),
    ]
    store.append([*other, *mine, event("later", at=NOON + 99)])
    receipt = store.erase(["u", "v"], NOON + 10)
    assert receipt.removed == {"event": 3, "impression": 1, "user_put": 1}
    assert receipt.purged
    assert receipt.seq == store.last_seq()
    left = [stored.entry for stored in everything(store)]
    assert left[:-2] == other
    assert [(entry.entry_type, entry.key, entry.at) for entry in left[-2:]] == [
        ("erasure", "u", NOON + 10),
        ("erasure", "v", NOON + 10),
    ]
    assert store.erase(["u"], NOON + 20).removed == {}


def test_an_erasure_removes_anonymous_entries_of_the_sessions_and_baskets_of_the_user(reopen: Open) -> None:
    def event(key: str | None = None, at: float = NOON, **who: str) -> LogEntry:
        return LogEntry("event", key, at, at, {"item_id": "tea", **who})

    store = reopen()
    store.append(
        [
            event("before", session_id="s"),
            event("login", user_id="u", session_id="s", basket_id="b"),
            event("till", basket_id="b"),
            event("other", session_id="t", basket_id="c"),
            event("named", user_id="v", session_id="s"),
        ]
    )
    receipt = store.erase(["u"], NOON + 10)
    assert (receipt.removed, receipt.linked) == ({"event": 3}, 2)
    left = [each.entry for each in everything(store)]
    assert [each.key for each in left] == ["other", "named", "u", user_key(None, None, "s")]
    for each in (store, reopen()):
        late = [event(session_id="s"), event(session_id="t"), event(session_id="s", at=NOON + 20)]
        assert each.append(late) == ["erased", "stored", "stored"]


def test_a_tombstone_keeps_late_events_away_and_lets_a_new_life_begin(reopen: Open) -> None:
    one, two = reopen(), reopen()
    two.append([event("first", user_id="other")])
    one.erase(["u"], NOON + 10)
    late = [
        event("e", at=NOON + 9.5),
        impression("r", "u"),
        change("user_patch", "u"),
        event("v", user_id=None, visitor_id="u"),
    ]
    for store in (one, two, reopen()):
        assert store.append([*late, event(None, at=NOON + 10)]) == ["erased"] * 4 + ["stored"]
    assert one.append([event("e", at=NOON + 11)]) == ["stored"], "an id that was refused is not taken"


def test_the_ids_of_erased_events_stay_refused_and_those_of_retention_do_not(reopen: Open) -> None:
    one, two = reopen(), reopen()
    parts = [
        LogEntry("event", f"order#{n}", NOON, NOON, {"user_id": "u", "item_id": "tea"}, ("order", n)) for n in (1, 2)
    ]
    one.append([event("a"), *parts, event("kept", user_id="v"), event("old", user_id="v", at=1.0)])
    assert two.append([event("a")]) == ["duplicate"]
    one.erase(["u"], NOON + 10)
    one.delete_before(2.0)
    again = [
        event("a", at=NOON + 99),
        *(msgspec.structs.replace(part, at=NOON + 99) for part in parts),
        event("kept", user_id="v"),
    ]
    for store in (one, two, reopen()):
        assert store.append(again) == ["erased", "erased", "erased", "duplicate"]
    assert two.append([event("old", user_id="v", at=1.0), event("new", at=NOON + 99)]) == ["stored", "stored"]


def test_an_erasure_by_the_clock_of_the_events(store: EventStore) -> None:
    store.erase(["u"], received_at=NOON, at=1000.0)
    assert store.append([event("e", at=999.0), event("f", at=1001.0)]) == ["erased", "stored"]
    store.erase(["u"], received_at=NOON, at=500.0)
    assert store.append([event("e", at=999.0)]) == ["erased"], "an earlier moment does not undo a later one"
    with pytest.raises(DataError, match="no key"):
        store.erase([], NOON)


def test_retention_forgets_by_the_time_of_the_event(store: EventStore) -> None:
    kept = [event("new", at=NOON), change("item_put", "tea", at=0.0), change("merge", "v", at=0.0, into="u")]
    store.append([event("old", at=NOON - 1, received_at=NOON + 5), impression("r", "u", at=1.0), *kept])
    store.erase(["nobody"], 0.0)
    assert store.delete_before(NOON, ["impression"]) == 1
    assert store.delete_before(NOON) == 1
    with pytest.raises(DataError, match="'merge' has no retention"):
        store.delete_before(NOON, ["merge"])
    assert [stored.entry for stored in everything(store)][:-1] == kept
    assert store.delete_before(NOON) == 0
    last = store.last_seq()
    store.append([event("old")])
    assert everything(store)[-1].seq > last


def test_changes_that_a_bundle_knows_are_dropped(store: EventStore) -> None:
    store.append([change("item_put", "a"), change("user_put", "u"), event("e"), change("item_delete", "b")])
    known = store.last_seq()
    store.append([change("item_patch", "c")])
    assert store.delete_changes(known) == 2
    assert keys(store) == ["u", "e", "c"]
    assert store.delete_changes(known, USER_CHANGES) == 1
    with pytest.raises(DataError, match="'event' is not a change"):
        store.delete_changes(known, ["event"])


def test_numbers_are_never_reused(reopen: Open) -> None:
    store = reopen()
    store.append([event("a"), event("b")])
    store.delete_before(NOON + 1)
    last = store.last_seq()
    store.close()
    again = reopen()
    assert (everything(again), again.last_seq()) == ([], last)
    again.append([event("a")])
    assert everything(again)[0].seq > last


def test_a_closed_store_raises(store: EventStore) -> None:
    waiting = [store.submit([event(str(number))]) for number in range(50)]
    store.close()
    assert [future.result(0) for future in waiting] == [["stored"]] * 50, "what waited was stored"
    for call in (
        lambda: store.append([event()]),
        store.version,
        lambda: store.read_after(0, 1),
        lambda: store.erase(["u"], NOON),
    ):
        with pytest.raises(StoreError, match="closed"):
            call()
    store.close()


def test_more_than_may_wait_is_turned_away(reopen: Open) -> None:
    store = reopen(max_waiting=3)
    with pytest.raises(StoreBusyError, match="4 more would exceed 3"):
        store.append([event()] * 4)
    assert store.append([event()] * 3) == ["stored"] * 3


def test_the_events_table_has_a_row_an_event_and_a_row_an_item_shown(store: EventStore) -> None:
    bought = event("e", NOON, NOON + 2, event="purchase", quantity=2, price=3.5, recommendation_id="r", position=4)
    shown = impression("r", "u", {"item_id": "茶"}, {"item_id": "cup", "position": 7, "propensity": 0.25})
    odd = event(None, timestamp="2001-01-01", quantity="many", unheard_of=1)
    store.append([bought, change("item_put", "tea"), shown, odd])
    table = events_table(store)
    assert table.schema == EVENTS
    assert table["item_id"].to_list() == ["tea", "茶", "cup", "tea"]
    assert table["event"].to_list() == ["purchase", "view_item_list", "view_item_list", "view_item"]
    assert table["event_id"].to_list() == ["e", "r#1", "r#2", None]
    assert table["recommendation_id"].to_list() == ["r", "r", "r", None]
    assert table["placement"].to_list() == [None, "for_you", "for_you", None]
    assert table["position"].to_list() == [4, 1, 7, None]
    assert table["propensity"].to_list() == [None, None, 0.25, None]
    assert table["quantity"].to_list() == [2.0, None, None, None]
    assert set(table["timestamp"]) == {datetime.fromtimestamp(NOON, UTC)}
    assert table["received_at"][0] == datetime.fromtimestamp(NOON + 2, UTC)


def test_the_table_is_the_same_in_parts(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append([event(str(number), quantity=number) for number in range(7)])
    assert [len(part) for part in read_entries(store, 3)] == [3, 3, 1]
    whole = events_table(store)
    assert whole["quantity"].to_list() == [float(number) for number in range(7)]
    monkeypatch.setattr("recsys.eventlog.store.READ_BATCH", 2)
    assert events_table(store).equals(whole)


def test_entries_go_over_the_wire_as_json() -> None:
    entry = event("e", price=1.5)
    assert msgspec.json.decode(msgspec.json.encode(entry), type=LogEntry) == entry
