"""Segments of users with the live log: equal to those of a newer bundle, and without those who must have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.core.schema import SEGMENTS
from recsys.data.history import build_history
from recsys.filters import compile_filter
from recsys.fitting.engine import Engine, FittedDataInfo
from recsys.live.view import LiveView
from recsys.pipeline.recommend import recommend_with_trace
from recsys.pipeline.user_segments import UserAttributes, all_segments, segments_of
from recsys.segments.table import NO_SEGMENTS
from recsys.segments.visits import dataset_visits
from tests.recsys.live.test_view import NOW, Log, split
from tests.shop import OPTED_OUT, USERS_WITH_HISTORY, WEEKLY_ITEM, WEEKLY_SHOPPERS, ShopTables, moment

USER = WEEKLY_SHOPPERS[0]


@pytest.fixture
def log(shop_engine: Engine) -> Log:
    return Log(shop_engine)


def _row(log: Log, key: str, now: float = NOW) -> dict[str, object]:
    found = segments_of(log.live.engine, [key], int(now), log.live)
    return found.row(0, named=True) if len(found) else {}


def test_live_segments_are_those_of_a_newer_bundle(shop_tables: ShopTables, shop_engine: Engine) -> None:
    price = pl.col("item_id").hash(1) % 50 + 1
    channel = pl.when(pl.col("user_id").hash(2) % 2 == 0).then(pl.lit("app")).otherwise(pl.lit("web"))
    events = shop_tables.events.with_columns(price=price.cast(pl.Float64), quantity=pl.lit(2.0), channel=channel)
    tables = replace(shop_tables, events=events)
    older, entries = split(tables, moment(80))
    item_ids = pl.DataFrame({"item_id": older.items.ids})
    assert len(item_ids) == len(shop_engine.items_table), "the catalogue names every item, so that rows are the same"
    model, now = shop_engine.segments, shop_engine.dataset_info.end
    newer_visits = dataset_visits(tables.dataset(), model.config.value.min_discount)
    fitted = replace(model, channels=tables.dataset().channels, limits=replace(model.limits, has_discounts=True))
    newer = replace(shop_engine, segments=replace(fitted, visits=newer_visits))
    base = replace(
        shop_engine,
        history=build_history(older, shop_engine.config.history),
        users_table=older.profiles,
        dataset_info=FittedDataInfo.of(older),
        segments=replace(
            fitted, visits=dataset_visits(older, model.config.value.min_discount), channels=older.channels
        ),
    )
    live = LiveView(base)
    live.apply(entries)
    expected = all_segments(newer, now).sort("user_id")
    assert expected["average_order"].null_count() < len(expected) / 2
    assert_frame_equal(all_segments(base, now, live).sort("user_id"), expected, rel_tol=1e-5)
    one_by_one = pl.concat([segments_of(base, [key], now, live) for key in expected["user_id"]])
    assert_frame_equal(one_by_one, expected, rel_tol=1e-5)


def test_a_live_order_brings_a_user_back(log: Log) -> None:
    later = NOW + 100 * 86_400
    assert _row(log, USER, later)["life_cycle"] == "dormant"
    log.event(USER, WEEKLY_ITEM, "purchase", at=later - 60)
    assert _row(log, USER, later)["life_cycle"] == "returning"
    assert all_segments(log.live.engine, int(later), log.live).filter(user_id=USER)["life_cycle"].item() == "returning"


def test_a_new_user_has_segments_from_the_first_event(log: Log) -> None:
    assert _row(log, "new") == {}
    log.event("new", WEEKLY_ITEM)
    assert _row(log, "new")["life_cycle"] == "new_visitor"
    log.event("new", WEEKLY_ITEM, "purchase", price=3.0, channel="app")
    row = _row(log, "new")
    assert (row["life_cycle"], row["n_orders"], row["average_order"]) == ("new_week", 1, 3.0)
    assert "new" in all_segments(log.live.engine, int(NOW), log.live)["user_id"]


def test_a_live_date_of_creation_counts(log: Log) -> None:
    log.event("new", WEEKLY_ITEM)
    created = datetime.fromtimestamp(NOW - 40 * 86_400, UTC).isoformat()
    log.add("user_put", "new", created_at=created)
    assert _row(log, "new")["life_cycle"] == "active"
    log.add("user_put", "new", created_at="long ago")
    assert _row(log, "new")["life_cycle"] == "new_visitor"


def test_who_opted_out_or_was_erased_has_no_segment(log: Log) -> None:
    gone, quiet = WEEKLY_SHOPPERS[1], WEEKLY_SHOPPERS[2]
    log.add("erasure", gone)
    log.add("user_patch", quiet, personalization=False)
    for key in (gone, quiet, OPTED_OUT, "nobody", "session x"):
        assert _row(log, key) == {}, key
    ids = set(all_segments(log.live.engine, int(NOW), log.live)["user_id"])
    assert not ids & {gone, quiet, OPTED_OUT}
    assert set(USERS_WITH_HISTORY) - {gone, quiet} <= ids
    assert OPTED_OUT not in set(all_segments(log.live.engine, int(NOW))["user_id"])


def test_merged_users_are_one(log: Log) -> None:
    other = WEEKLY_SHOPPERS[1]
    apart = [_row(log, key)["n_orders"] for key in (USER, other)]
    log.add("merge", other, into=USER)
    assert _row(log, other)["user_id"] == USER
    assert _row(log, USER)["n_orders"] == sum(map(int, map(str, apart)))
    table = all_segments(log.live.engine, int(NOW), log.live)
    assert (other in table["user_id"], table["user_id"].is_unique().all()) == (False, True)


@pytest.mark.parametrize("names", [("life_cycle",), ("interests", "churn_probability"), tuple(SEGMENTS)])
def test_only_the_wanted_segments_are_computed(log: Log, names: Sequence[str]) -> None:
    whole = segments_of(log.live.engine, WEEKLY_SHOPPERS, int(NOW), log.live)
    some = segments_of(log.live.engine, WEEKLY_SHOPPERS, int(NOW), log.live, names)
    assert_frame_equal(some, whole.select("user_id", *names))
    plain = segments_of(log.live.engine, WEEKLY_SHOPPERS, int(NOW), None, names)
    assert_frame_equal(some, plain)


def test_filters_read_segments(log: Log) -> None:
    schema = log.live.engine.items_table.schema
    everything = compile_filter("user.segment.n_orders > 0", schema)
    nothing = compile_filter("user.segment.life_cycle = 'lost'", schema)
    assert len(log.listed("popular", USER, filter=everything, limit=10)) == 10
    assert log.listed("popular", USER, filter=nothing) == []
    assert log.listed("popular", None, filter=everything) == [], "nobody has no segments"
    own = replace(PLACEMENTS["popular"], filter="user.segment.habitual_weekday >= 1 AND user.segment.n_orders > 0")
    request = Request("popular", int(NOW), user_id=USER)
    found = recommend_with_trace(log.live.engine, request, "", log.live, {"popular": own})
    assert len(found.recommendations.items) > 0


def test_attributes_keep_their_columns(log: Log) -> None:
    attributes = UserAttributes({"region": "x"}, log.live.engine, USER, int(NOW), log.live)
    assert (attributes["region"], dict(attributes), len(attributes)) == ("x", {"region": "x"}, 1)
    assert attributes.get("segment.n_orders") == _row(log, USER)["n_orders"]
    assert attributes.get("tags") is None
    assert UserAttributes({}, log.live.engine, "nobody", int(NOW), log.live).get("segment.n_orders") is None


def test_a_bundle_without_segments_has_none(shop_engine: Engine) -> None:
    engine = replace(shop_engine, segments=NO_SEGMENTS)
    live = LiveView(engine)
    for found in (all_segments(engine, int(NOW)), all_segments(engine, int(NOW), live), segments_of(engine, [USER], 1)):
        assert (len(found), list(found.schema)) == (0, ["user_id", *SEGMENTS])
