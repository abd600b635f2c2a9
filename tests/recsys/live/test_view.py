from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.ids import UNKNOWN
from recsys.core.placements import PLACEMENTS
from recsys.core.request import Recommendations, Request
from recsys.core.schema import EVENTS
from recsys.data.dataset import Dataset, build_dataset
from recsys.data.history import UserHistory, build_history
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import EntryType, EventStore, LogEntry, StoredEntry, StoredEvent
from recsys.filters import compile_filter
from recsys.fitting.engine import Engine, FittedDataInfo
from recsys.live.view import LiveView
from recsys.models.temporal.repeat import purchase_stats
from recsys.pipeline.recommend import recommend
from recsys.pipeline.resolve import resolve
from recsys.retrieval.sources import recent_items_source
from tests.shop import (
    DAY_S,
    LEATHER_FANS,
    NEW_YORKER,
    OPTED_OUT,
    SHELVES,
    TIMEZONE,
    USERS_WITH_HISTORY,
    WEEKLY_ITEM,
    WEEKLY_SHOPPERS,
    ShopTables,
    at,
    moment,
)

NOW = moment(121, 12)
NEW_WALLET = {
    "title": "手工皮具 钱包 新款味",
    "category": ["手工", "皮具", "钱包"],
    "tags": ["手工", "真皮", "小众"],
    "brand": "匠心",
    "price": 210.0,
}


class Log:
    """A log whose entries are applied to a view as they are added."""

    def __init__(self, engine: Engine) -> None:
        self.live = LiveView(engine)
        self.entries: list[StoredEntry] = []

    def add(self, entry_type: EntryType, key: str | None, at: float = NOW, **body: Any) -> None:
        self.entries.append(StoredEntry(len(self.entries) + 1, LogEntry(entry_type, key, at, at, body)))
        self.live.apply(self.entries[-1:])

    def event(
        self, user_id: str | None, item_id: str, event: str = "view_item", at: float = NOW - 60, **more: Any
    ) -> None:
        self.add("event", None, at, user_id=user_id, item_id=item_id, event=event, **more)

    def ask(self, placement: str = "for_you", user_id: str | None = None, **more: Any) -> Recommendations:
        request = Request(placement, **{"as_of": NOW, "limit": 50, "user_id": user_id, **more})
        return recommend(self.live.engine, request, "", self.live)

    def listed(self, placement: str = "for_you", user_id: str | None = None, **more: Any) -> list[str]:
        return [item.item_id for item in self.ask(placement, user_id, **more).items]


@pytest.fixture
def log(shop_engine: Engine) -> Log:
    return Log(shop_engine)


def same(one: UserHistory, other: UserHistory) -> bool:
    columns = zip(vars(one).items(), vars(other).values(), strict=True)
    return all(np.array_equal(mine, theirs) for (name, mine), theirs in columns if name != "basket_idx")


def test_without_entries_every_list_is_the_bundles(log: Log, shop_engine: Engine) -> None:
    assert log.live.engine is shop_engine
    for name, placement in PLACEMENTS.items():
        seeds = (WEEKLY_ITEM,) if placement.anchor == "item" else ()
        for user_id in (*USERS_WITH_HISTORY[:5], OPTED_OUT, "a stranger", None):
            request = Request(name, NOW, user_id=user_id, item_ids=seeds)
            assert recommend(shop_engine, request, "", log.live) == recommend(shop_engine, request)


def test_three_views_change_the_list_of_an_unknown_user(log: Log) -> None:
    assert log.ask(user_id="new").fallback_used
    for item_id in SHELVES["belts"].ids[:3]:
        log.event("new", item_id)
    assert not log.ask(user_id="new").fallback_used
    state = resolve(log.live.engine, Request("for_you", NOW, user_id="new"), PLACEMENTS["for_you"], log.live)
    rows, _ = recent_items_source(state)
    assert {log.live.engine.items.ids[row] for row in rows} == set(SHELVES["belts"].ids[:3])
    assert set(SHELVES["belts"].ids[:3]) <= set(log.listed(user_id="new", limit=100))
    assert log.listed(user_id="new") != log.listed(user_id="another")


@pytest.mark.parametrize("who", [{"visitor_id": "v"}, {"session_id": "s"}])
def test_visitors_and_sessions_have_histories(log: Log, who: dict[str, str]) -> None:
    body = {"item_id": "皮带-植鞣", "event": "view_item", **who}
    log.add("event", None, NOW - 60, **body)
    assert not log.ask(**who).fallback_used
    assert log.ask(user_id="s").fallback_used, "a session is nobody's id"
    assert not log.ask(user_id=None, **who).fallback_used


def test_no_later_event_is_seen(log: Log) -> None:
    log.event("new", "皮带-植鞣", at=NOW - 60)
    assert log.ask(user_id="new", as_of=NOW - 61).fallback_used
    assert not log.ask(user_id="new", as_of=NOW - 60).fallback_used


def test_a_recent_purchase_is_not_due(log: Log) -> None:
    user_id = WEEKLY_SHOPPERS[0]
    assert WEEKLY_ITEM in log.listed("buy_again", user_id)
    log.event(user_id, WEEKLY_ITEM, "purchase")
    assert WEEKLY_ITEM not in log.listed("buy_again", user_id)
    assert WEEKLY_ITEM in log.listed("buy_again", user_id, as_of=NOW + 7 * DAY_S)


def test_what_is_bought_moves_up(log: Log) -> None:
    user_id, item_id = USERS_WITH_HISTORY[1], "积木 Blocks-大"
    before = log.listed("for_you", user_id, limit=100)
    for days in (16, 23, 30):
        log.event(user_id, item_id, "purchase", at=NOW - days * DAY_S, basket_id=f"b{days}")
    after = log.listed("for_you", user_id, limit=100)
    assert item_id in after
    assert item_id not in before or after.index(item_id) < before.index(item_id)


EVENTS_OF_ONE = st.lists(
    st.tuples(
        st.sampled_from(["purchase", "view_item", "add_to_cart", "refund"]),
        st.sampled_from([WEEKLY_ITEM, "薯片-原", "皮带-植鞣", "鲜牛奶-低脂", "鲜牛奶-原"]),
        st.integers(-40 * DAY_S, 0),
        st.sampled_from([None, "b1", "b2"]),
    ),
    min_size=1,
    max_size=12,
)


@given(events=EVENTS_OF_ONE, order=st.randoms(use_true_random=False), cuts=st.integers(1, 5))
def test_events_in_any_order_and_in_any_parts_give_one_state(
    shop_engine: Engine, events: Sequence[tuple[str, str, int, str | None]], order: Any, cuts: int
) -> None:
    user_id = WEEKLY_SHOPPERS[1]
    entries = [
        StoredEntry(
            n, LogEntry("event", None, NOW + age, NOW, {"user_id": user_id, "item_id": i, "event": e, "basket_id": b})
        )
        for n, (e, i, age, b) in enumerate(events, 1)
    ]
    shuffled = order.sample(entries, len(entries))
    one, other = LiveView(shop_engine), LiveView(shop_engine)
    one.apply(entries)
    for start in range(0, len(shuffled), cuts):
        other.apply(shuffled[start : start + cuts])
    # Rows of items that nobody heard of are numbered as they come, here there is one at most.
    left, right = one.history(user_id, NOW), other.history(user_id, NOW)
    assert all(
        np.array_equal(mine, theirs) for mine, theirs in zip(vars(left).values(), vars(right).values(), strict=True)
    )
    for name in ("for_you", "buy_again", "time_of_day"):
        request = Request(name, NOW, user_id=user_id)
        assert recommend(one.engine, request, "", one) == recommend(other.engine, request, "", other)


def split(tables: ShopTables, cutoff: int) -> tuple[Dataset, list[StoredEntry]]:
    """A shop as of a moment, and what happened after it as the log would have it."""
    early = tables.events.filter(pl.col("timestamp") < at(cutoff))
    late = tables.events.filter(pl.col("timestamp") >= at(cutoff)).sort("timestamp", maintain_order=True)
    columns = set(EVENTS) - {"timestamp", "received_at", "event_id"}
    bodies = [{c: row[c] for c in columns if row[c] is not None} | {"at": row["timestamp"]} for row in late.to_dicts()]
    entries = [
        StoredEntry(n, LogEntry("event", None, body.pop("at").timestamp(), 0.0, body))
        for n, body in enumerate(bodies, 1)
    ]
    return build_dataset(early, tables.items, tables.users, timezone=TIMEZONE), entries


def test_a_view_over_an_older_bundle_equals_a_newer_bundle(shop_tables: ShopTables, shop_engine: Engine) -> None:
    """Own items are those of a bundle that was trained on the events, bit for bit."""
    older, entries = split(shop_tables, moment(80))
    history = build_history(older, shop_engine.config.history)
    table = shop_engine.items_table.join(pl.DataFrame({"item_id": older.items.ids}), on="item_id", how="semi")
    assert len(table) == len(shop_engine.items_table), "the catalogue names every item, so that rows are the same"
    base = replace(shop_engine, history=history, users_table=older.profiles, dataset_info=FittedDataInfo.of(older))
    live = LiveView(base)
    live.apply(entries)
    target_event, repeat = shop_engine.dataset_info.target_event, shop_engine.repeat
    for row, user_id in enumerate(shop_engine.users.ids):
        whole, joined = shop_engine.history.of(row, NOW), live.history(user_id, NOW)
        if user_id == OPTED_OUT:
            continue
        assert same(whole, joined), user_id
        mine, theirs = (purchase_stats(repeat, each.of_type(target_event), NOW) for each in (joined, whole))
        for name, column in vars(theirs).items():
            np.testing.assert_array_equal(vars(mine)[name], column, err_msg=f"{user_id} {name}")
    assert len({*live.history(NEW_YORKER, NOW).hour.tolist()}) > 1


@pytest.mark.parametrize("n_events", [1, 2, 5])
@pytest.mark.parametrize("event", ["purchase", "view_item", "add_to_cart"])
def test_every_list_is_made_for_who_has_live_events_alone(shop_engine: Engine, event: str, n_events: int) -> None:
    log = Log(shop_engine)
    for number, item_id in enumerate(shop_engine.items.ids[:n_events]):
        log.event("new", item_id, at=NOW - 3600 * number, event=event)
    history = log.live.history("new", NOW)
    assert len(history) == n_events
    for name, column in vars(history).items():
        assert column.flags.c_contiguous, name
        assert column.flags.aligned, name
    for placement in PLACEMENTS.values():
        seeds = shop_engine.items.ids[:1] if placement.anchor == "item" else ()
        may_be_empty = placement.may_be_empty or placement.name == "buy_again"
        assert log.listed(placement.name, "new", item_ids=tuple(seeds)) or may_be_empty


def test_entries_of_the_bundle_are_not_applied_again(shop_engine: Engine) -> None:
    base = replace(shop_engine, dataset_info=replace(shop_engine.dataset_info, store_seq=1))
    body = {"user_id": "new", "item_id": WEEKLY_ITEM, "event": "purchase"}
    live = LiveView(base)
    live.apply([StoredEntry(seq, LogEntry("event", None, NOW, NOW, body)) for seq in (1, 2)])
    assert len(live.history("new", NOW)) == 1
    assert live.seq == 2


def test_the_number_of_events_per_user_is_bounded(shop_engine: Engine) -> None:
    config = replace(shop_engine.config, history=replace(shop_engine.config.history, max_events=3))
    log = Log(replace(shop_engine, config=config))
    for n in range(10):
        log.event("new", WEEKLY_ITEM, at=NOW - n)
    assert log.live.history("new", NOW).timestamp.tolist() == [NOW - 2, NOW - 1, NOW]


def test_a_merge_joins_histories_at_once_and_is_undone(log: Log) -> None:
    fan = LEATHER_FANS[0]
    before = log.live.history(fan, NOW)
    log.event("visitor", WEEKLY_ITEM, "purchase")
    log.add("merge", "visitor", into=fan)
    assert len(log.live.history(fan, NOW)) == len(before) + 1
    assert log.listed(user_id="visitor") == log.listed(user_id=fan), "a merged id answers as its target"
    log.add("merge", fan, into="whole")
    assert len(log.live.history("whole", NOW)) == len(before) + 1
    assert log.listed(user_id="visitor") == log.listed(user_id="whole")
    log.add("merge", "whole", into="visitor")
    assert log.listed(user_id="visitor") == log.listed(user_id="whole"), "a circle is ignored"
    log.add("unmerge", fan)
    log.add("unmerge", "visitor")
    assert same(log.live.history(fan, NOW), before)
    assert len(log.live.history("visitor", NOW)) == 1
    assert log.ask(user_id="whole").fallback_used


def test_unknown_ids_are_looked_up_among_products_after_a_change_of_the_catalog(log: Log) -> None:
    assert log.live.engine.catalog.has_groups
    log.add("item_patch", WEEKLY_ITEM, price=1.5)
    with_offers = replace(log.live.engine)  # as for the offers of a store: it has the live table, and no cached values
    assert with_offers.item_row("no such item") == UNKNOWN
    assert with_offers.variants.spans == log.live.engine.variants.spans


def test_an_id_is_a_visitors_until_something_names_it_a_users(log: Log) -> None:
    fan = LEATHER_FANS[0]
    assert not log.live.is_visitor(fan), "a user of the bundle"
    for event in ({"visitor_id": "v"}, {"session_id": "v"}):
        log.event(None, WEEKLY_ITEM, **event)
    assert log.live.is_visitor("v")
    log.add("merge", "v", into="account")
    assert log.live.is_visitor("v"), "it is logged in"
    assert not log.live.is_visitor("account")
    log.event("named", WEEKLY_ITEM)
    log.add("user_put", "with attributes", city="x")
    assert not any(map(log.live.is_visitor, ("named", "with attributes")))
    assert log.live.is_visitor("nobody")


def test_merged_events_are_in_order_of_time(log: Log) -> None:
    for days, who in ((3, "a"), (2, "b"), (1, "a")):
        log.event(who, WEEKLY_ITEM, at=NOW - days * DAY_S)
    log.add("merge", "a", into="b")
    timestamps = log.live.history("b", NOW).timestamp
    assert timestamps.tolist() == [NOW - days * DAY_S for days in (3, 2, 1)]


def test_an_erasure_hides_at_once_and_a_new_life_begins(log: Log) -> None:
    fan = LEATHER_FANS[0]
    log.event(fan, WEEKLY_ITEM, "purchase", at=NOW - 100)
    log.add("erasure", fan, at=NOW - 50)
    assert log.ask(user_id=fan).fallback_used
    assert log.ask("buy_again", fan).fallback_used
    log.event(fan, WEEKLY_ITEM, at=NOW - 60)
    assert log.ask(user_id=fan).fallback_used, "late events of the old life stay away"
    log.event(fan, WEEKLY_ITEM, at=NOW - 40)
    assert not log.ask(user_id=fan).fallback_used
    assert len(log.live.history(fan, NOW)) == 1
    log.add("merge", fan, into="other")
    assert len(log.live.history("other", NOW)) == 1


def test_an_erasure_hides_entries_stored_before_it_at_any_time(log: Log) -> None:
    for seconds in (-50, 0, 50):
        log.event("new", WEEKLY_ITEM, at=NOW + seconds)
    log.add("erasure", "new", at=NOW)
    assert len(log.live.history("new", NOW + 100)) == 0
    log.event("new", WEEKLY_ITEM, at=NOW)
    assert len(log.live.history("new", NOW)) == 1


def test_a_user_who_opted_out_gets_no_personal_lists(log: Log) -> None:
    fan = LEATHER_FANS[0]
    log.add("user_patch", fan, personalization=False)
    assert log.ask(user_id=fan).fallback_used
    log.event(fan, WEEKLY_ITEM)
    assert log.ask(user_id=fan).fallback_used
    log.add("erasure", fan)
    assert log.live.profiles.is_opted_out(fan)
    log.add("user_patch", fan, personalization=True)
    log.event(fan, WEEKLY_ITEM, at=NOW)
    assert not log.ask(user_id=fan).fallback_used


def test_the_history_of_an_opted_out_id_is_not_merged(log: Log) -> None:
    log.event("a", WEEKLY_ITEM)
    log.add("user_put", "a", personalization=False)
    log.add("merge", "a", into="b")
    assert log.ask(user_id="b").fallback_used


def test_the_zone_of_a_user_is_the_latest(log: Log) -> None:
    log.event("new", WEEKLY_ITEM, at=moment(100, 9))
    log.event("new", WEEKLY_ITEM, at=moment(100, 23))
    assert log.live.history("new", NOW).hour.tolist() == [9, 23]
    log.add("user_put", "new", timezone="America/New_York", attributes={"club": "gold"})
    assert log.live.history("new", NOW).hour.tolist() == [21, 11]
    assert log.ask(user_id="new").timezone == "America/New_York"
    assert log.live.profiles.of("new")["club"] == "gold"
    log.add("user_delete", "new")
    assert log.ask(user_id="new").timezone == TIMEZONE
    log.add("user_put", "new", timezone="Nowhere/Else")
    assert log.ask(user_id="new").timezone == TIMEZONE


@pytest.mark.parametrize("change", ["item_patch", "item_delete"])
def test_what_is_gone_is_in_no_list(log: Log, change: EntryType) -> None:
    fan = LEATHER_FANS[0]
    gone = log.listed("for_you", fan)[0]
    seed = next(item for item in ("薯片-原", *SHELVES["wallets"].ids) if item != gone)
    body = {"available": False} if change == "item_patch" else {}
    log.add(change, gone, **body)
    for name, placement in PLACEMENTS.items():
        seeds = (seed,) if placement.anchor == "item" else ()
        for user_id in (fan, "a stranger", None):
            assert gone not in log.listed(name, user_id, item_ids=seeds, limit=100), name
    asked = log.ask("similar", item_ids=(gone,))
    assert (gone in asked.missing_ids) == (change == "item_delete")
    log.add("item_patch", gone, available=True) if change == "item_patch" else log.add("item_put", gone, **NEW_WALLET)
    assert gone in log.listed("for_you", fan, limit=100)


def test_a_new_item_with_tags_alone_is_listed_for_users_of_similar_items(log: Log) -> None:
    fan = LEATHER_FANS[0]
    version = log.live.catalog_version
    log.add("item_put", "新/wallet 1", **NEW_WALLET)
    assert log.live.catalog_version != version
    for seed in SHELVES["wallets"].ids[:3]:
        assert "新/wallet 1" in log.listed("similar", item_ids=(seed,))
    for placement in ("for_you", "discover", "long_tail"):
        assert "新/wallet 1" in log.listed(placement, fan, limit=100), placement
    assert set(log.listed("similar", item_ids=("新/wallet 1",))[:5]) <= {*SHELVES["wallets"].ids, *SHELVES["belts"].ids}
    assert log.ask("complementary", item_ids=("新/wallet 1",)).missing_ids == ()
    log.add("item_put", "tagged", tags=["手工", "真皮", "小众"])
    assert set(log.listed("similar", item_ids=("tagged",))[:5]) & {*SHELVES["wallets"].ids, *SHELVES["belts"].ids}
    assert "tagged" in log.listed("discover", fan, limit=100)


def test_a_new_item_joins_the_lists_related_to_similar_items(log: Log, shop_engine: Engine) -> None:
    """Items bought with similar items are related to it; tags are enough."""
    row, milk, wallets = shop_engine.items.row, SHELVES["milk"], SHELVES["wallets"]
    log.add("item_put", "新/milk", title="鲜牛奶 新味", category=list(milk.path), brand="牧场", price=12.0)
    log.add("item_put", "新/tagged", tags=NEW_WALLET["tags"])
    models = shop_engine.copurchase
    for placement, lists, new, like in (
        ("bought_together", models.bought_together, "新/milk", milk.ids),
        ("complementary", models.complementary, "新/milk", milk.ids),
        ("bought_together", models.bought_together, "新/tagged", (*wallets.ids, *SHELVES["belts"].ids)),
    ):
        those = [row(item_id) for item_id in like]
        beside = [
            item_id
            for item_id in shop_engine.items.ids
            if item_id not in like and np.isin(lists.item_idx[row(item_id)], those).any()
        ]
        found = [log.listed(placement, item_ids=(item_id,), limit=100) for item_id in beside]
        joined = [listed for listed in found if new in listed]
        assert joined, (placement, new)
        assert all(min(map(listed.index, {*like} & {*listed})) < listed.index(new) for listed in joined)
    for item_id in milk.ids[:3]:
        assert "新/milk" in log.listed("similar", item_ids=(item_id,))
        assert "新/milk" not in log.listed("complementary", item_ids=(item_id,), limit=100), "it could replace it"
    log.add("item_put", "新/milk", **NEW_WALLET)
    assert "新/milk" not in log.listed("similar", item_ids=(milk.ids[0],))


def test_new_items_are_like_each_other_and_follow_their_changes(log: Log) -> None:
    log.add("item_put", "one", **NEW_WALLET)
    log.add("item_put", "two", **NEW_WALLET)
    assert "two" in log.listed("similar", item_ids=("one",))
    assert "one" in log.listed("similar", item_ids=("two",))
    milk = SHELVES["milk"]
    log.add("item_put", "two", title="鲜牛奶 新味", category=list(milk.path), brand="牧场", price=12.0)
    assert "two" not in log.listed("similar", item_ids=("one",))[:10]
    assert "two" in log.listed("similar", item_ids=(milk.ids[0],))


def test_a_changed_item_is_similar_to_its_new_content(log: Log, shop_engine: Engine) -> None:
    """Other tags, title and shelf move it among the similar ones, in both directions, and back again."""
    item, milk, wallets = "薯片-原", SHELVES["milk"], SHELVES["wallets"]
    before = shop_engine.items_table.row(shop_engine.items.row(item), named=True)
    plain = {seed: log.listed("similar", item_ids=(seed,)) for seed in (item, SHELVES["crisps"].ids[1], milk.ids[0])}
    assert item in plain[SHELVES["crisps"].ids[1]]
    version = log.live.catalog_version
    log.add("item_patch", item, **{name: NEW_WALLET[name] for name in ("title", "category", "tags", "brand")})
    assert log.live.catalog_version != version
    assert set(log.listed("similar", item_ids=(item,))[:4]) <= {*wallets.ids, *SHELVES["belts"].ids}
    assert any(item in log.listed("similar", item_ids=(seed,)) for seed in wallets.ids)
    assert item not in log.listed("similar", item_ids=(SHELVES["crisps"].ids[1],))[:3]
    assert item in log.listed(
        "popular", limit=100, filter=compile_filter("has(tags, '手工')", log.live.engine.items_table.schema)
    )
    log.add("item_patch", item, **{name: before[name] for name in ("title", "category", "tags", "brand")})
    assert set(log.listed("similar", item_ids=(item,))[:3]) == set(plain[item][:3])


def test_a_price_moves_no_known_item(log: Log, shop_engine: Engine) -> None:
    log.add("item_patch", "薯片-原", price=900.0)
    assert log.live.engine.hybrid is shop_engine.hybrid


def test_a_new_type_and_category_are_known(log: Log) -> None:
    for n in range(3):
        log.add("item_put", f"drone-{n}", title=f"无人机 {n}", category=["电子产品", "航拍", "无人机"], price=2999.0)
    assert log.live.engine.catalog.type_names[-1] == "电子产品 > 航拍 > 无人机"
    log.event("new", "drone-0")
    assert {"drone-1", "drone-2"} <= set(log.listed("for_you", "new", limit=100))
    for placement in ("complementary", "bought_together", "similar"):
        assert log.ask(placement, item_ids=("drone-0",)).missing_ids == ()


def test_an_event_of_an_unknown_item_leaves_nothing_behind(log: Log, shop_engine: Engine) -> None:
    for n in range(1000):
        log.event("new", f"never/heard-of {n}", "purchase", at=NOW - n, basket_id=f"{n}")
    assert log.live.engine is shop_engine
    assert len(log.live.history("new", NOW)) == 0
    log.add("item_put", "never/heard-of 1", **NEW_WALLET)
    log.event("new", "never/heard-of 1")
    assert len(log.live.history("new", NOW)) == 1
    assert len(log.live.engine.items) == len(shop_engine.items) + 1


def test_an_event_of_a_deleted_item_counts(log: Log) -> None:
    log.add("item_delete", WEEKLY_ITEM)
    log.event("new", WEEKLY_ITEM)
    assert len(log.live.history("new", NOW)) == 1


def test_a_price_is_the_latest(log: Log, shop_engine: Engine) -> None:
    row = shop_engine.items.row(WEEKLY_ITEM)
    before = shop_engine.catalog.price[row]
    log.add("item_patch", WEEKLY_ITEM, price=1.5, list_price=19.0, attributes={"color": "红"})
    engine = log.live.engine
    assert engine.catalog.price[row] == 1.5
    assert engine.items_table.row(row, named=True)["list_price"] == 19.0
    assert engine.items_table.row(row, named=True)["color"] == "红"
    assert engine.titles[row] == shop_engine.titles[row]
    assert shop_engine.catalog.price[row] == before, "the bundle stays as it is"


def test_variants_take_one_place(log: Log) -> None:
    phones = list(SHELVES["phones"].path)
    log.add("item_put", "phone-2-red", title="星辰手机 2 红色", category=phones, item_group_id="phone-2")
    listed = log.listed("similar", item_ids=("phone-1",))
    assert len({*listed} & {"phone-2-red", "phone-2-black", "phone-2-white"}) == 1


def test_every_array_has_a_row_for_a_new_item(log: Log, shop_engine: Engine) -> None:
    """What has an entry an item in the bundle's models has one in the grown ones; content is for training only."""
    n = len(shop_engine.items)
    log.add("item_put", "new", **NEW_WALLET)
    grown = log.live.engine

    def lengths(value: Any, path: str) -> Iterator[tuple[str, int]]:
        for name, part in vars(value).items():
            if hasattr(part, "shape") and hasattr(part, "__getitem__"):
                yield f"{path}.{name}", part.shape[0]
            elif hasattr(part, "__dataclass_fields__"):
                yield from lengths(part, f"{path}.{name}")

    before = dict(lengths(replace(shop_engine), ""))
    after = dict(lengths(replace(grown), ""))
    per_item = {name for name, length in before.items() if length == n and not name.startswith(".content")}
    assert sorted(name for name in per_item if after[name] != n + 1) == []
    assert len(grown.items) == len(grown.titles) == len(grown.by_popularity) == n + 1


def test_two_processes_see_what_either_wrote(shop_engine: Engine, tmp_path: Path) -> None:
    with_store: Callable[[], EventStore] = lambda: SqliteStore(tmp_path / "store.sqlite")  # noqa: E731
    one, other, live = with_store(), with_store(), LiveView(shop_engine)
    try:
        live.catch_up(one)
        assert live.user("new", NOW).history.item_idx.size == 0
        other.append(
            [LogEntry("event", "e", NOW, NOW, {"user_id": "new", "item_id": WEEKLY_ITEM, "event": "purchase"})]
        )
        live.catch_up(one)
        assert live.user("new", NOW).history.item_idx.size == 1
    finally:
        one.close()
        other.close()


def test_impressions_are_skipped_and_not_read_again(
    shop_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, live = SqliteStore(tmp_path / "store.sqlite"), LiveView(shop_engine)
    shown = LogEntry("impression", None, NOW, NOW, {"user_id": "new", "items": [{"item_id": WEEKLY_ITEM}]})
    bought = LogEntry("event", "e", NOW, NOW, {"user_id": "new", "event": "purchase", "item_id": WEEKLY_ITEM})
    store.append([shown, bought, *([shown] * 20)])
    read_for_view, read = store.read_for_view, list[StoredEvent | StoredEntry]()

    def watched(after_seq: int, limit: int) -> list[StoredEvent | StoredEntry]:
        found = read_for_view(after_seq, limit)
        read.extend(found)
        return found

    monkeypatch.setattr(store, "read_for_view", watched)
    live.catch_up(store)
    assert [(each.seq, each.key) for each in read if isinstance(each, StoredEvent)] == [(2, "e")]
    assert len(read) == 1
    assert live.seq == store.last_seq()
    assert live.user("new", NOW).history.item_idx.size == 1
    store.close()


ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "x", "*", "5", "purchase", "Asia/Shanghai"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "items"]), inner, max_size=2),
    max_leaves=3,
)
COLUMNS = [*EVENTS, "into", "timezone", "tags", "personalization", "attributes", "n_items"]


@given(
    bodies=st.lists(
        st.tuples(
            st.sampled_from(["event", "event", "event", "user_put", "user_patch", "merge", "unmerge", "erasure"]),
            st.floats(),
            st.dictionaries(st.sampled_from(COLUMNS), ANY_VALUE, max_size=6),
        ),
        max_size=6,
    )
)
def test_an_entry_of_any_content_stops_no_other(
    shop_engine: Engine, bodies: list[tuple[EntryType, float, dict[str, Any]]]
) -> None:
    """Another program, or a damaged file, can put any JSON into the log."""
    log, user = Log(shop_engine), USERS_WITH_HISTORY[5]
    known = {"item_id": WEEKLY_ITEM, "event": "purchase", "user_id": "new"}
    for number, (entry_type, at_, body) in enumerate(bodies):
        log.add(entry_type, f"k{number}" if entry_type == "event" else user, at_, **(known | body))
    log.add("event", "sound", NOW, item_id=WEEKLY_ITEM, event="purchase", user_id="sound")
    assert len(log.live.history("sound", NOW + 1)) == 1
    assert log.live.history(user, NOW) is not None
