from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys.bundles.bundle import Provenance, read_bundle, write_bundle
from recsys.core.ids import IdMap
from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.core.schema import OFFERS
from recsys.data.offers import OFFER_KEYS, Offers, OfferScope, OfferTable, read_offers
from recsys.evaluation.methods import served_lists
from recsys.evaluation.tasks import ANONYMOUS, Task
from recsys.fitting.engine import Engine
from recsys.pipeline.recommend import recommend
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import resolve
from recsys.rules.masks import Masks
from tests.shop import table

ITEMS = IdMap.of(["a", "b"])
STORE = "武汉一店"
DRAWN = st.fixed_dictionaries(
    {
        "item_id": st.sampled_from(["a", "b"]),
        "region": st.sampled_from([None, "湖北", "上海"]),
        "store": st.sampled_from([None, STORE]),
        "channel": st.sampled_from([None, "app"]),
        "price": st.sampled_from([None, 1.0, 2.0, 3.0]),
        "available": st.sampled_from([None, True, False]),
        "valid_from": st.sampled_from([None, 10, 20]),
        "valid_to": st.sampled_from([None, 20, 30]),
    }
)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def table_of(*rows: dict[str, Any], items: IdMap = ITEMS) -> OfferTable:
    timed = [
        row | {name: at(row[name]) for name in ("valid_from", "valid_to") if row.get(name) is not None} for row in rows
    ]
    return read_offers(table(timed, OFFERS), items)


def said(offers: OfferTable, where: OfferScope, as_of: int) -> dict[str, tuple[float | None, bool | None]]:
    """Price and availability by item, from the terms in their order."""
    found: dict[str, tuple[float | None, bool | None]] = {}
    every = Offers(offers)
    for _, terms in every.applicable_terms(every.context_key(where, as_of), as_of):
        for row, price, available in zip(*terms[:3], strict=True):
            before = found.get(ITEMS.ids[row], (None, None))
            found[ITEMS.ids[row]] = (
                before[0] if price != price else float(price),
                before[1] if available < 0 else bool(available),
            )
    return found


def by_force(rows: list[dict[str, Any]], where: OfferScope, as_of: int, item_id: str, name: str) -> Any:
    """The documented rule, over plain rows."""
    asked = dict(zip(OFFER_KEYS, where, strict=True))
    applying = [
        (sum(row[key] is not None for key in OFFER_KEYS), row["store"] is not None, row["channel"] is not None,
         row["region"] is not None, -1 if row["valid_from"] is None else row["valid_from"], place, row[name])
        for place, row in enumerate(rows)
        if row["item_id"] == item_id
        and row[name] is not None
        and all(row[key] in (None, asked[key]) for key in OFFER_KEYS)
        and (row["valid_from"] is None or row["valid_from"] <= as_of)
        and (row["valid_to"] is None or as_of < row["valid_to"])
    ]  # fmt: skip
    return max(applying)[-1] if applying else None


@given(
    rows=st.lists(DRAWN, max_size=12),
    where=st.builds(
        OfferScope, st.sampled_from(["", "湖北", "广东"]), st.sampled_from(["", STORE]), st.sampled_from(["", "app"])
    ),
    as_of=st.sampled_from([0, 9, 10, 19, 20, 29, 30]),
)
def test_the_most_specific_offer_applies(rows: list[dict[str, Any]], where: OfferScope, as_of: int) -> None:
    found = said(table_of(*rows), where, as_of)
    for item_id in ITEMS.ids:
        expected = tuple(by_force(rows, where, as_of, item_id, name) for name in ("price", "available"))
        assert found.get(item_id, (None, None)) == expected


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"store": STORE}, {"channel": "app"}),
        ({"channel": "app"}, {"region": "湖北"}),
        ({"region": "湖北"}, {}),
        ({"region": "湖北", "channel": "app"}, {"store": STORE}),
        ({"store": STORE, "valid_from": 2}, {"store": STORE, "valid_from": 1}),
        ({"store": STORE, "valid_from": 1}, {"store": STORE}),
    ],
)
def test_order_of_precedence(more: dict[str, Any], less: dict[str, Any]) -> None:
    first, second = {"item_id": "a", "price": 1.0} | more, {"item_id": "a", "price": 2.0} | less
    for rows in ((first, second), (second, first)):
        assert said(table_of(*rows), OfferScope("湖北", STORE, "app"), 5) == {"a": (1.0, None)}


def test_periods_have_whole_seconds_and_exclude_their_end() -> None:
    offers = table_of({"item_id": "a", "price": 1.0, "valid_from": 9.5, "valid_to": 19.5})
    assert [bool(said(offers, OfferScope(), as_of)) for as_of in (9, 10, 19, 20)] == [False, True, True, False]


def test_the_context_key_changes_with_every_start_and_end_only() -> None:
    offers = table_of({"item_id": "a", "store": STORE, "price": 1.0, "valid_from": 10, "valid_to": 20})
    here = [offers.context_key(OfferScope(store=STORE), as_of) for as_of in (0, 10, 19, 20)]
    assert len(set(here)) == 3
    assert here[1] == here[2]
    assert offers.context_key(OfferScope("湖北", "elsewhere", "app"), 10) == ()


@pytest.mark.parametrize(
    ("context", "region", "expected"),
    [
        ({"region": "湖北", "store": 12}, "上海", OfferScope("湖北", "12")),
        ({"store": True, "channel": ["app"]}, "上海", OfferScope("上海")),
        ({}, None, OfferScope()),
    ],
)
def test_where_a_request_is_from(context: dict[str, Any], region: Any, expected: OfferScope) -> None:
    assert OfferScope.of(context, region) == expected


def engine_with(engine: Engine, *rows: dict[str, Any]) -> Engine:
    return replace(engine, offers=Offers(table_of(*rows, items=engine.items)))


def ask(engine: Engine, **context: Any) -> Request:
    return Request("popular", engine.dataset_info.end, 10, context=context)


def seen_by(engine: Engine, request: Request) -> Engine:
    return resolve(engine, request, PLACEMENTS["popular"]).engine


def test_an_engine_without_an_applying_offer_is_itself(shop_engine: Engine) -> None:
    assert seen_by(shop_engine, ask(shop_engine, store=STORE)) is shop_engine
    engine = engine_with(shop_engine, {"item_id": "phone-1", "store": STORE, "price": 1.0})
    assert seen_by(engine, ask(engine, store="上海店")) is engine
    assert seen_by(engine, ask(engine, store=STORE)) is seen_by(engine, ask(engine, store=STORE, region="x"))
    assert len(engine.offered) == 1


def test_prices_and_availability_are_those_of_the_place(shop_engine: Engine) -> None:
    engine = engine_with(
        shop_engine,
        {"item_id": "phone-1", "store": STORE, "price": 1.5},
        {"item_id": "phone-1", "price": 2.5, "available": False},
        {"item_id": "薯片-番茄", "store": STORE, "available": True},
        {"item_id": "nobody knows", "price": 9.0},
    )
    row, chips = engine.items.row("phone-1"), engine.items.row("薯片-番茄")
    here, there = seen_by(engine, ask(engine, store=STORE)), seen_by(engine, ask(engine))
    assert [each.catalog.price[row] for each in (here, there)] == [1.5, 2.5]
    assert [bool(each.catalog.available[chips]) for each in (here, there)] == [True, False]
    assert not here.catalog.available[row]
    assert here.items_table.row(row, named=True)["price"] == 1.5
    unsaid = pl.Series(range(len(engine.items))).is_in([row, chips, engine.items.row("nobody knows")])
    assert here.items_table.filter(~unsaid).equals(shop_engine.items_table.filter(~unsaid))
    masks = Masks()
    kept = [set(each.items_table["item_id"].filter(masks.of("price < 2", each, {}, {}))) for each in (here, there)]
    assert kept[0] - kept[1] == {"phone-1"}


def test_the_region_of_the_user_applies_if_the_context_has_none(shop_engine: Engine) -> None:
    users = shop_engine.users_table.with_columns(region=pl.lit("湖北"))
    engine = engine_with(
        replace(shop_engine, users_table=users), {"item_id": "phone-1", "region": "湖北", "price": 1.0}
    )
    request = replace(ask(engine), user_id=engine.users.ids[0])
    assert seen_by(engine, request) is not engine
    assert seen_by(engine, replace(request, context={"region": "上海"})) is engine


def test_a_list_leaves_out_what_is_sold_out_in_its_store_alone(shop_engine: Engine) -> None:
    best = recommend(shop_engine, ask(shop_engine, store=STORE)).items[0].item_id
    engine = engine_with(shop_engine, {"item_id": best, "store": STORE, "available": False})
    here, there = (recommend(engine, ask(engine, store=store)) for store in (STORE, "上海店"))
    assert best not in {item.item_id for item in here.items}
    assert there == recommend(shop_engine, ask(shop_engine, store="上海店"))
    assert len(here.items) == len(there.items)


def test_lists_that_are_judged_leave_out_what_is_sold_out_everywhere(shop_engine: Engine) -> None:
    asked = ask(shop_engine)
    nobody = np.array([ANONYMOUS], np.int32)
    relevant = sparse.csr_matrix((1, len(shop_engine.items)), dtype=np.float32)
    task = Task(nobody, np.array([asked.as_of]), nobody, relevant, np.array([-1], np.int8))
    best = served_lists(shop_engine, task, "popular", 3)[0, 0]
    engine = engine_with(shop_engine, {"item_id": shop_engine.items.ids[best], "available": False})
    assert best not in served_lists(engine, task, "popular", 3)


def test_a_bundle_keeps_its_offers_in_files_of_their_own(
    shop_engine: Engine, shop_models: Path, tmp_path: Path
) -> None:
    engine = engine_with(shop_engine, {"item_id": "phone-1", "store": STORE, "available": False, "valid_to": 9e9})
    made = write_bundle(engine, tmp_path, Provenance(datetime.now(UTC), "x", {}, ()))
    back, manifest = read_bundle(tmp_path / made.version)
    assert "offers.item_idx.npy" in manifest.files
    assert back.offers.known.store == (STORE,)
    request = ask(back, store=STORE)
    assert not seen_by(back, request).catalog.available[back.items.row("phone-1")]
    explained = Recommender(back, manifest).explain(request, "phone-1")
    assert explained.stage == "sold_out_here"
    assert (f"store {STORE}" in explained.text, f"门店 {STORE}" in explained.text_zh) == (True, True)
    without = Recommender.open(shop_models)
    assert not len(without.engine.offers)
    assert not [name for name in without.manifest.files if name.startswith("offers.")]
