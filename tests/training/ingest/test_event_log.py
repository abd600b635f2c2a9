from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.core.errors import ConfigError, DataError
from recsys.core.schema import EVENT_NAMES, EVENTS, ITEMS, USERS
from recsys.data.dataset import Dataset, load_dataset, read_info
from recsys.data.history import HistoryConfig, build_history
from recsys.eventlog.check import check_log
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import EntryType, LogEntry
from recsys.fitting.engine import Engine, FittedDataInfo
from recsys.live.view import LiveView
from recsys.models.temporal.repeat import purchase_stats
from tests.shop import OPTED_OUT, TIMEZONE, WEEKLY_ITEM, WEEKLY_SHOPPERS, ShopTables, moment
from training.ingest.catalog_state import CatalogConfig
from training.ingest.ingest import IngestConfig, InputFiles, ingest
from training.ingest.reports import IngestReport

NOON = moment(121, 12)
NOW = datetime.fromtimestamp(NOON + 3600, UTC)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


class ShopWithLog:
    """Files of the invented shop and a live log beside them."""

    def __init__(self, folder: Path, tables: ShopTables) -> None:
        self.folder = folder
        self.log = folder / "store.sqlite"
        self.n_events = 0
        self.exported_at = datetime.fromtimestamp(NOON - 3600, UTC)
        self.catalog = CatalogConfig()
        for name in ("events", "items", "users"):
            getattr(tables, name).write_parquet(folder / f"{name}.parquet")

    def say(self, kind: EntryType, key: str | None, at: float = NOON, **body: Any) -> None:
        with closing(SqliteStore(self.log)) as store:
            if kind == "erasure":
                store.erase([str(key)], at)
            else:
                store.append([LogEntry(kind, key, at, at, body)])

    def event(self, user_id: str | None, item_id: str, event: str = "purchase", at: float = NOON, **more: Any) -> None:
        self.n_events += 1
        self.say("event", f"live-{self.n_events}", at, user_id=user_id, item_id=item_id, event=event, **more)

    def ingest(self, *files: str) -> tuple[IngestReport, Dataset]:
        paths = {name: self.folder / f"{name}.parquet" for name in files}
        out = self.folder / "tables"
        sources = InputFiles(**paths, store=self.log, as_of=self.exported_at)
        report = ingest(sources, IngestConfig(timezone=TIMEZONE), out, NOW, catalog=self.catalog)
        return report, load_dataset(out)


@pytest.fixture
def shop(tmp_path: Path, shop_tables: ShopTables) -> ShopWithLog:
    return ShopWithLog(tmp_path, shop_tables)


def items_of(dataset: Dataset, user_id: str) -> list[str]:
    mine = dataset.events.user_idx == dataset.users.row(user_id)
    return [dataset.items.ids[row] for row in dataset.events.item_idx[mine]] if dataset.users.row(user_id) >= 0 else []


def test_a_log_alone_is_a_shop(shop: ShopWithLog) -> None:
    shop.event("a", "tea")
    shop.say("item_put", "tea", title="Tea", price=3.0, attributes={"leaf": "green"})
    shop.say("user_put", "a", timezone="Europe/Paris")
    report, dataset = shop.ingest()
    assert dataset.items.ids == ("tea",)
    assert dataset.catalog.row(0, named=True)["leaf"] == "green"
    assert dataset.profiles["timezone"].to_list() == ["Europe/Paris"]
    assert dataset.store_seq == report.info.store_seq == 3
    assert report.tables["events of the live log"].kept == 1


VALUES = (
    None,
    True,
    5,
    -0.5,
    10**30,
    "",
    "x",
    [],
    [5],
    [{}],
    [[None]],
    {},
    {"a": 1},
    {"a": {"b": [1]}},
    [{"items": 5}],
)
FIELDS = {
    "event": (*EVENTS, "n_items"),
    "impression": ("items", "shown", "placement", "model_version", "user_id", "session_id", "sampled"),
    "item_put": (*ITEMS, "attributes", "offers", "updated_at"),
    "item_patch": (*ITEMS, "attributes", "offers", "updated_at"),
    "item_delete": ("updated_at",),
    "user_put": (*USERS, "attributes"),
    "user_patch": (*USERS, "attributes"),
    "user_delete": ("attributes",),
    "merge": ("into",),
    "unmerge": ("into",),
    "erasure": ("into",),
}
GOOD = {
    "event": {"event": "purchase", "item_id": "tea", "user_id": "a"},
    "impression": {"placement": "popular", "items": [{"item_id": "tea"}], "user_id": "a"},
    "merge": {"into": "a"},
}


def write_past_the_api(path: Path, rows: list[tuple[str, str | None, Any, dict[str, Any]]]) -> None:
    """Write rows of type, key, time and body as another program could."""
    with closing(SqliteStore(path)), closing(sqlite3.connect(path)) as db:
        db.executemany(
            "INSERT INTO log (kind, key, at, received_at, body) VALUES (?, ?, ?, ?, ?)",
            [(kind, key, at, at, json.dumps(body)) for kind, key, at, body in rows],
        )
        db.commit()


@pytest.mark.parametrize("entry_type", FIELDS)
def test_no_value_of_any_field_ends_the_job(shop: ShopWithLog, entry_type: str) -> None:
    """Each bad entry is in a table, or is named as set aside; the good ones count."""
    shop.event("a", "tea")
    good = GOOD.get(entry_type, {})
    bodies = [good | {name: value} for name in FIELDS[entry_type] for value in VALUES]
    rows = [(entry_type, f"k{n}", NOON, body) for n, body in enumerate(bodies)]
    rows += [(entry_type, "k", at, good) for at in ("noon", b"x", 1e300, -1e300)] + [(entry_type, None, NOON, good)]
    write_past_the_api(shop.log, rows)
    shop.event("b", "tea")
    report, dataset = shop.ingest()
    assert items_of(dataset, "b") == ["tea"]
    with closing(SqliteStore(shop.log)) as store:
        found = check_log(store)
    assert dict(found.unreadable) == report.set_aside
    assert all(entry_type in reason and "expected" in reason for reason in report.set_aside.values())
    if entry_type.endswith(("_put", "_patch", "merge", "impression")):
        assert report.set_aside


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.sampled_from(sorted(FIELDS)).flatmap(
            lambda kind: st.tuples(
                st.just(kind),
                st.none() | st.sampled_from(["tea", "a", "b"]),
                st.floats(0, 2e9),
                st.dictionaries(st.sampled_from(FIELDS[kind]), JSON_VALUES, max_size=4).map(GOOD.get(kind, {}).__or__),
            )
        ),
        max_size=6,
    )
)
def test_no_content_of_entries_ends_the_job(
    tmp_path_factory: pytest.TempPathFactory, shop_tables: ShopTables, rows: list[Any]
) -> None:
    shop = ShopWithLog(tmp_path_factory.mktemp("shop"), shop_tables)
    shop.event("c", "cup")
    write_past_the_api(shop.log, rows)
    report, dataset = shop.ingest()
    assert items_of(dataset, "c") == ["cup"]
    with closing(SqliteStore(shop.log)) as store:
        assert dict(check_log(store).unreadable) == report.set_aside


def test_events_join_the_files_and_changes_go_on_top(shop: ShopWithLog, shop_dataset: Dataset) -> None:
    shop.event("new", WEEKLY_ITEM, at=NOON - 0.5)
    shop.event(None, WEEKLY_ITEM, visitor_id="v")
    shop.say("item_patch", WEEKLY_ITEM, price=1.5)
    shop.say("item_patch", WEEKLY_ITEM, available=False)
    shop.say("item_put", "brand new", title="新品")
    shop.say("item_delete", "case-3")
    shop.say("user_patch", WEEKLY_SHOPPERS[0], region="north")
    _, dataset = shop.ingest("events", "items", "users")
    assert len(dataset.events) == len(shop_dataset.events) + 2
    assert items_of(dataset, "new") == items_of(dataset, "v") == [WEEKLY_ITEM]
    rows = {row["item_id"]: row for row in dataset.catalog.to_dicts()}
    before = shop_dataset.catalog.filter(pl.col("item_id") == WEEKLY_ITEM).to_dicts()[0]
    changed_at = {"updated_at": datetime.fromtimestamp(NOON, UTC)}
    assert rows[WEEKLY_ITEM] == before | {"price": 1.5, "available": False} | changed_at
    assert rows["brand new"]["title"] == "新品"
    assert rows["brand new"]["available"]
    assert not rows["case-3"]["available"]
    assert rows["case-3"]["title"] == "Slim Case", "events that name it keep their sense"
    region = dict(dataset.profiles.select("user_id", "region").iter_rows())
    assert region[WEEKLY_SHOPPERS[0]] == "north"


def test_offers_of_the_log_take_the_place_of_the_files(shop: ShopWithLog) -> None:
    items = ("phone-1", "phone-3", "case-3", "case-4", WEEKLY_ITEM)
    rows = [{"item_id": item_id, "store": "武汉一店", "price": 1.0} for item_id in items]
    pl.DataFrame(rows).write_parquet(shop.folder / "offers.parquet")
    shop.say("item_patch", "phone-1", offers=[{"store": "武汉一店", "price": 2.0, "valid_to": "2024-12-01T00:00:00Z"}])
    shop.say("item_patch", "phone-3", offers=None)
    shop.say("item_put", "case-3", title="Slim Case")
    shop.say("item_delete", "case-4")
    shop.say("item_patch", WEEKLY_ITEM, available=True)
    _, dataset = shop.ingest("events", "items", "users", "offers")
    kept = {dataset.items.ids[row]: price for row, price in zip(*dataset.offers.terms(0, int(NOON))[:2], strict=True)}
    assert (dataset.offers.store, kept) == (("武汉一店",), {"phone-1": 2.0, WEEKLY_ITEM: 1.0})
    assert "offers" not in dataset.catalog.columns


def prices(dataset: Dataset) -> dict[str, tuple[float | None, bool | None]]:
    return {row["item_id"]: (row["price"], row["available"]) for row in dataset.catalog.to_dicts()}


@pytest.mark.parametrize(
    ("changed", "exported", "updated", "is_newer"),
    [
        (-100, 0, None, False),
        (100, 0, None, True),
        (0, 0, None, True),
        (-100, 0, -200, True),
        (100, 0, 200, False),
        (-100, 0, 50, False),
        (100, -1e6, 200, False),
    ],
)
@pytest.mark.parametrize("kind", ["item_patch", "item_put", "item_delete"])
def test_the_newer_of_file_and_change_wins(
    shop: ShopWithLog, changed: float, exported: float, updated: float | None, is_newer: bool, kind: EntryType
) -> None:
    """Seconds of the change, of the export and of the row's own time."""
    row: dict[str, Any] = {"item_id": "tea", "price": 9.0, "available": True}
    if updated is not None:
        row["updated_at"] = datetime.fromtimestamp(NOON + updated, UTC)
    pl.DataFrame([row, {"item_id": "cup", "price": 7.0, "available": True}]).write_parquet(
        shop.folder / "items.parquet"
    )
    shop.exported_at = datetime.fromtimestamp(NOON + exported, UTC)
    body = {} if kind == "item_delete" else {"price": 1.0, "available": False}
    shop.say(kind, "tea", NOON + changed, **body)
    _, dataset = shop.ingest("items")
    after = (9.0 if kind == "item_delete" else 1.0, False) if is_newer else (9.0, True)
    assert prices(dataset) == {"tea": after, "cup": (7.0, True)}


def test_a_change_carries_the_time_of_the_shop(shop: ShopWithLog) -> None:
    """A feed that is an hour late says when it was right."""
    pl.DataFrame([{"item_id": "tea", "price": 9.0}]).write_parquet(shop.folder / "items.parquet")
    shop.exported_at = datetime.fromtimestamp(NOON, UTC)
    shop.say("item_patch", "tea", NOON + 50, price=1.0, updated_at=datetime.fromtimestamp(NOON - 50, UTC).isoformat())
    assert prices(shop.ingest("items")[1])["tea"][0] == 9.0


def test_newer_changes_follow_each_other_on_a_newer_file(shop: ShopWithLog) -> None:
    pl.DataFrame([{"item_id": "tea", "price": 9.0}]).write_parquet(shop.folder / "items.parquet")
    shop.exported_at = datetime.fromtimestamp(NOON, UTC)
    shop.say("item_patch", "tea", NOON - 50, price=1.0, brand="old")
    shop.say("item_patch", "tea", NOON + 10, price=2.0)
    shop.say("item_patch", "tea", NOON + 20, available=False)
    row = shop.ingest("items")[1].catalog.row(0, named=True)
    assert (row["price"], row["brand"], row["available"]) == (2.0, None, False)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("changed", [-100, 100])
def test_a_complete_file_says_what_left_the_catalog(shop: ShopWithLog, complete: bool, changed: float) -> None:
    pl.DataFrame([{"item_id": "tea", "price": 9.0}]).write_parquet(shop.folder / "items.parquet")
    shop.exported_at, shop.catalog = datetime.fromtimestamp(NOON, UTC), CatalogConfig(complete=complete)
    shop.say("item_put", "spring tea", NOON + changed, price=3.0)
    shop.event("u", "old tea")
    shop.event("u", "spring tea")
    _, dataset = shop.ingest("items")
    listed = {row["item_id"] for row in dataset.catalog.to_dicts() if row["available"] is not False}
    if not complete:
        assert listed == {"tea", "spring tea", "old tea"}
    else:
        assert listed == ({"tea", "spring tea"} if changed > 0 else {"tea"})


@pytest.mark.parametrize(("changed", "price"), [(-100, 1.0), (100, 2.0)])
@pytest.mark.parametrize("own_time", [True, False])
def test_the_newer_offers_win(shop: ShopWithLog, changed: float, price: float, own_time: bool) -> None:
    offer: dict[str, Any] = {"item_id": "phone-1", "store": "武汉一店", "price": 1.0}
    shop.exported_at = datetime.fromtimestamp(NOON, UTC)
    if own_time:
        offer["updated_at"] = shop.exported_at
        shop.exported_at = datetime.fromtimestamp(NOON - 1e6, UTC)
    pl.DataFrame([offer]).write_parquet(shop.folder / "offers.parquet")
    shop.say("item_patch", "phone-1", NOON + changed, offers=[{"store": "武汉一店", "price": 2.0}])
    _, dataset = shop.ingest("items", "offers")
    assert dataset.offers.terms(0, int(NOON))[1].tolist() == [price]


def test_an_event_of_files_and_log_counts_once(
    shop: ShopWithLog, shop_tables: ShopTables, shop_dataset: Dataset
) -> None:
    known = shop_tables.events.row(-1, named=True)
    body = {name: known[name] for name in ("item_id", "event", "user_id")}
    shop.say("event", known["event_id"], known["timestamp"].timestamp(), **body)
    _, dataset = shop.ingest("events", "items", "users")
    assert len(dataset.events) == len(shop_dataset.events)


def test_merged_ids_share_one_history(shop: ShopWithLog) -> None:
    shop.event("a", "tea")
    shop.event(None, "cup", visitor_id="v")
    shop.event("b", "pot")
    shop.say("merge", "v", into="a")
    shop.say("merge", "a", into="b")
    shop.say("merge", "b", into="v")
    _, dataset = shop.ingest()
    assert sorted(items_of(dataset, "b")) == ["cup", "pot", "tea"]
    assert items_of(dataset, "a") == items_of(dataset, "v") == []
    assert dataset.merges == {"v": "b", "a": "b"}
    shop.say("unmerge", "a")
    _, dataset = shop.ingest()
    assert sorted(items_of(dataset, "a")) == ["cup", "tea"]


def test_erased_ids_stay_away_whatever_the_files_say(shop: ShopWithLog) -> None:
    gone = WEEKLY_SHOPPERS[0]
    shop.event(gone, "tea", at=NOON - 10)
    shop.say("erasure", gone, at=NOON)
    shop.say("erasure", OPTED_OUT, at=NOON)
    _, dataset = shop.ingest("events", "items", "users")
    assert items_of(dataset, gone) == []
    assert dataset.users.row(gone) < 0
    shop.event(gone, "tea", at=NOON + 10)
    shop.event(OPTED_OUT, "tea", at=NOON + 10)
    _, dataset = shop.ingest("events", "items", "users")
    assert items_of(dataset, gone) == ["tea"], "a new life"
    assert items_of(dataset, OPTED_OUT) == []


def test_who_wants_no_personal_lists_is_not_learned_from(shop: ShopWithLog) -> None:
    for who in ("a", "b"):
        shop.event(who, "tea")
    shop.say("user_patch", "a", personalization=False)
    shop.say("merge", "a", into="b")
    shop.event("c", "tea")
    shop.say("user_put", "c", personalization=False)
    _, dataset = shop.ingest()
    assert items_of(dataset, "b") == ["tea"]
    assert items_of(dataset, "c") == []


def test_a_bundle_trained_on_the_log_takes_over_from_the_view(shop: ShopWithLog, shop_engine: Engine) -> None:
    """What the next bundle's history holds is what the view over the older one held, and it is not counted twice."""
    who = WEEKLY_SHOPPERS[2]
    for hours in (5, 3, 4):
        shop.event(who, WEEKLY_ITEM, at=NOON - hours * 3600, basket_id=f"b{hours}")
    shop.event(None, WEEKLY_ITEM, visitor_id="v", at=NOON - 60)
    shop.say("merge", "v", into=who)
    with closing(SqliteStore(shop.log)) as store:
        older = LiveView(shop_engine)
        older.catch_up(store)
        _, dataset = shop.ingest("events", "items", "users")
        history = build_history(dataset, HistoryConfig())
        base = replace(
            shop_engine, history=history, users_table=dataset.profiles, dataset_info=FittedDataInfo.of(dataset)
        )
        newer = LiveView(base)
        newer.catch_up(store)
        one, other = older.history(who, NOON), newer.history(who, NOON)
        mine, theirs = (
            purchase_stats(shop_engine.repeat, each.of_type(shop_engine.dataset_info.target_event), NOON)
            for each in (one, other)
        )
        for name, column in vars(mine).items():
            np.testing.assert_array_equal(column, vars(theirs)[name])
        assert len(one) == len(other)
        assert newer.identities.target("v") == who
        shop.event(who, WEEKLY_ITEM)
        newer.catch_up(store)
        assert len(newer.history(who, NOON)) == len(one) + 1


def test_no_log_and_an_empty_log_are_told(shop: ShopWithLog, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        shop.ingest()
    SqliteStore(shop.log).close()
    with pytest.raises(DataError, match="no valid event and no item"):
        shop.ingest()
    _, dataset = shop.ingest("events", "items")
    assert dataset.store_seq == 0
    assert read_info(tmp_path / "tables").merges == {}


def test_what_was_shown_is_in_the_tables_and_moves_nothing(shop: ShopWithLog) -> None:
    shown = {"placement": "for_you", "model_version": "v", "items": [{"item_id": "tea"}, {"item_id": "cup"}]}
    shop.event("a", "cup", at=NOON + 9, recommendation_id="r")
    for number in range(20):
        shop.say("impression", "r" if not number else f"r{number}", NOON, user_id="a", **shown)
    shop.say("impression", "nobodys", NOON, **shown)
    report, dataset = shop.ingest()
    assert report.tables["events of the live log"].kept == 41, "what names nobody is no row of the table"
    events = pl.read_parquet(shop.folder / "tables" / "events.parquet")
    told = events.filter(pl.col("event") == "purchase").select("placement", "position", "recommendation_id")
    assert told.rows() == [("for_you", 2, "r")]
    assert dataset.target_event == EVENT_NAMES.index("purchase")
    history = build_history(dataset, HistoryConfig(max_events=5)).of(dataset.users.row("a"), int(NOON + 99))
    assert [dataset.items.ids[row] for row in history.item_idx] == ["cup"]


IDENTITIES = {
    "a chain": [("cookie", "account"), ("account", WEEKLY_SHOPPERS[0])],
    "the last of two": [("cookie", "somebody"), ("cookie", WEEKLY_SHOPPERS[0])],
    "itself too": [("cookie", WEEKLY_SHOPPERS[0]), (WEEKLY_SHOPPERS[0], WEEKLY_SHOPPERS[0])],
    "a circle": [("cookie", WEEKLY_SHOPPERS[0]), (WEEKLY_SHOPPERS[0], "cookie")],
}


@pytest.mark.parametrize("rows", IDENTITIES.values(), ids=IDENTITIES)
def test_the_events_of_an_identity_count_for_its_person(
    tmp_path: Path, shop_tables: ShopTables, rows: list[tuple[str, str]]
) -> None:
    seen = {"item_id": ["lamp"], "event": ["view_item"], "timestamp": [NOW], "visitor_id": ["cookie"]}
    events = pl.concat([shop_tables.events, pl.DataFrame(seen)], how="diagonal_relaxed")
    paths = {name: tmp_path / f"{name}.parquet" for name in ("events", "items", "users", "identities")}
    pl.DataFrame(rows, schema=["id", "user_id"], orient="row").write_parquet(paths["identities"])
    for name, frame in (("events", events), ("items", shop_tables.items), ("users", shop_tables.users)):
        frame.write_parquet(paths[name])
    report = ingest(InputFiles(**paths), IngestConfig(timezone=TIMEZONE), tmp_path / "tables", NOW)
    dataset = load_dataset(tmp_path / "tables")
    assert "lamp" in items_of(dataset, WEEKLY_SHOPPERS[0])
    assert dataset.users.row("cookie") < 0
    assert dataset.merges["cookie"] == report.info.merges["cookie"] == WEEKLY_SHOPPERS[0]


def test_the_log_changes_the_identities_of_the_files(shop: ShopWithLog) -> None:
    known = [("old phone", WEEKLY_SHOPPERS[0]), ("shared", WEEKLY_SHOPPERS[0]), ("gone", WEEKLY_SHOPPERS[0])]
    pl.DataFrame(known, schema=["id", "user_id"], orient="row").write_parquet(shop.folder / "identities.parquet")
    shop.say("merge", "shared", into=WEEKLY_SHOPPERS[1])
    shop.say("unmerge", "gone")
    for name, item in (("old phone", "lamp"), ("shared", "cup"), ("gone", "tea")):
        shop.event(name, item)
    report, dataset = shop.ingest("events", "items", "users", "identities")
    assert report.info.merges == {"old phone": WEEKLY_SHOPPERS[0], "shared": WEEKLY_SHOPPERS[1]}
    assert "lamp" in items_of(dataset, WEEKLY_SHOPPERS[0])
    assert "cup" in items_of(dataset, WEEKLY_SHOPPERS[1])
    assert items_of(dataset, "gone") == ["tea"]


def test_identities_need_both_ids(tmp_path: Path, shop_tables: ShopTables) -> None:
    (tmp_path / "identities.csv").write_text("id,user_id\na,b\n,c\nd,\n", encoding="utf-8")
    shop_tables.events.write_parquet(tmp_path / "events.parquet")
    sources = InputFiles(tmp_path / "events.parquet", identities=tmp_path / "identities.csv")
    report = ingest(sources, IngestConfig(TIMEZONE, max_reject_share=1.0), tmp_path / "tables", NOW)
    assert report.tables["identities"].reasons == {"id is empty": 1, "user_id is empty": 1}
    assert report.info.merges == {"a": "b"}


def test_messages_of_the_log_have_their_own_table(shop: ShopWithLog) -> None:
    shop.event("a", "tea")
    shop.say("event", "m1", user_id="a", event="message_sent", message_id="m", item_ids=["tea"])
    shop.say("event", "m2", user_id="a", event="message_clicked", message_id="m", item_id="tea")
    shop.say("event", "m3", user_id="b", event="message_opened", message_id="n")
    shop.say("merge", "b", into="a")
    _, dataset = shop.ingest()
    messages = pl.read_parquet(shop.folder / "tables" / "messages.parquet")
    assert messages.select("user_id", "event").rows() == [
        ("a", "message_sent"),
        ("a", "message_clicked"),
        ("a", "message_opened"),
    ]
    assert len(dataset.events) == 2
