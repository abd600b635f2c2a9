from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.core.ids import UNKNOWN
from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.data.catalog import Catalog
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.fitting.engine import Engine
from recsys.fitting.fit import fit_models
from recsys.live.cold_items import ColdItems
from recsys.live.growing_engine import GrowingEngine
from recsys.live.view import LiveView
from recsys.pipeline.recommend import recommend
from tests.recsys.degenerate import DEGENERATE
from tests.shop import moment, small_config

NOW = moment(60)
ITEM_IDS = st.sampled_from(["a1", "b1", "c1", "new 1", "new/2", "新"])
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["red cup", "茶壶", None]),
        "category": st.sampled_from([["食品", "A"], ["食品", "新"], ["D"], [], None]),
        "tags": st.sampled_from([["x"], [], None]),
        "price": st.sampled_from([0.0, 3.5, 200.0, None]),
        "available": st.sampled_from([True, False, None]),
        "item_group_id": st.sampled_from(["g", None]),
        "attributes": st.sampled_from([{"color": "red"}, {"color": 3}, {"sizes": ["s", "m"]}]),
    },
)
CHANGES = st.tuples(st.sampled_from(["item_put", "item_patch", "item_delete"]), ITEM_IDS, BODIES)
DONE: st.SearchStrategy[tuple[str, str, dict[str, Any]]] = st.tuples(
    st.sampled_from(["view_item", "purchase"]), ITEM_IDS, st.just({})
)


@cache
def engine_of(name: str) -> Engine:
    return fit_models(DEGENERATE[name], small_config())


def entries_of(steps: Sequence[tuple[str, str, dict[str, Any]]]) -> list[StoredEntry]:
    entries = []
    for seq, (kind, item_id, body) in enumerate(steps, 1):
        if kind.startswith("item_"):
            entry = LogEntry(kind, item_id, NOW, NOW, {} if kind == "item_delete" else body)  # type: ignore[arg-type]
        else:
            entry = LogEntry("event", None, NOW - seq, NOW, {"user_id": "u0", "item_id": item_id, "event": kind})
        entries.append(StoredEntry(seq, entry))
    return entries


def answers(live: LiveView) -> list[Any]:
    engine = live.engine
    seeds = [item_id for item_id in ("a1", "new 1", "新") if engine.items.row(item_id) != UNKNOWN]
    requests = [
        Request(name, NOW, 100, user_id, (seed,) if seed else ())
        for name, placement in PLACEMENTS.items()
        for user_id in ("u0", "nobody")
        for seed in (seeds if placement.anchor == "item" else [None])
    ]
    return [recommend(engine, request, "", live) for request in requests]


def type_names(catalog: Catalog) -> list[str | None]:
    """Types by name: their numbers are in the order in which they came up."""
    return [catalog.type_names[code] if code != UNKNOWN else None for code in catalog.item_type]


def is_same_group(catalog: Catalog) -> npt.NDArray[np.bool_]:
    """Groups by what is in them, for the same reason."""
    return (catalog.group[:, None] == catalog.group) & (catalog.group >= 0)


@pytest.mark.parametrize("name", sorted(DEGENERATE))
@settings(max_examples=5, deadline=None)
@given(steps=st.lists(CHANGES | DONE, min_size=1, max_size=8), cut=st.integers(0, 8))
def test_any_changes_of_any_shop_leave_lists_of_what_can_be_had(
    name: str, steps: Sequence[tuple[str, str, dict[str, Any]]], cut: int
) -> None:
    """The catalog does not depend on how changes are batched; deleted items are in no list."""
    entries = entries_of(steps)
    live, whole = LiveView(engine_of(name)), LiveView(engine_of(name))
    live.warm_up()
    live.apply(entries[:cut])
    answers(live)
    live.apply(entries[cut:])
    whole.apply(entries)
    catalog, other = live.engine.catalog, whole.engine.catalog
    for field in ("price", "available"):
        np.testing.assert_array_equal(getattr(catalog, field), getattr(other, field))
    assert type_names(catalog) == type_names(other)
    np.testing.assert_array_equal(is_same_group(catalog), is_same_group(other))
    assert live.engine.items.ids == whole.engine.items.ids
    assert live.engine.titles == whole.engine.titles
    table, other_table = live.engine.items_table[:], whole.engine.items_table[:]
    assert table.select(sorted(table.columns)).equals(other_table.select(sorted(other_table.columns)))
    assert not live.set_aside
    for answer in answers(live):
        listed = [item.item_id for item in answer.items]
        assert len(listed) == len(set(listed))
        rows = [live.engine.items.row(item_id) for item_id in listed]
        assert UNKNOWN not in rows, "a deleted item"
        assert all(catalog.available[row] for row in rows)
        assert all(item.reasons for item in answer.items)


def test_a_type_that_is_new_has_the_category_above_it() -> None:
    live = LiveView(engine_of("ten users and thirty events"))
    paths = (["食品", "新"], ["家居", "灯", "台灯"], ["家居", "灯", "吊灯"], ["孤"])
    live.apply(entries_of([("item_put", f"n{n}", {"category": path}) for n, path in enumerate(paths)]))
    catalog = live.engine.catalog
    of = {name: catalog.type_category[code] for code, name in enumerate(catalog.type_names)}
    assert of["食品 > 新"] == of["食品 > A"] >= 0
    assert of["家居 > 灯 > 台灯"] == of["家居 > 灯 > 吊灯"] not in (of["食品 > A"], UNKNOWN)
    assert of["孤"] == UNKNOWN


def test_an_attribute_is_of_one_type_however_its_values_come() -> None:
    steps = [("item_put", f"n{n}", {"attributes": {"color": color}}) for n, color in enumerate([3, "red", None, 2.5])]
    for cut in range(len(steps) + 1):
        live = LiveView(engine_of("items without a word"))
        live.apply(entries_of(steps)[:cut])
        assert len(live.engine.items_table) == len(DEGENERATE["items without a word"].items) + cut
        live.apply(entries_of(steps)[cut:])
        assert live.engine.items_table["color"].to_list()[-len(steps) :] == ["3", "red", None, "2.5"]


def test_an_item_moved_to_an_empty_type_keeps_its_related_items() -> None:
    for category in (["D"], ["unheard of"], [], None):
        live = LiveView(engine_of("all the same second"))
        live.apply(entries_of([("item_patch", "a1", {"category": category})]))
        found = recommend(live.engine, Request("complementary", NOW, 100, None, ("a1",)), "", live)
        assert all(reason.text for item in found.items for reason in item.reasons)


NAMES = st.text(min_size=1, max_size=6) | st.sampled_from(
    ["*", "^.*$", "^x$", "row", "mask", "item_idx", "feature", "value", ""]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=3),
)
ANY_BODY = st.dictionaries(
    st.sampled_from(
        ["title", "category", "tags", "brand", "price", "available", "created_at", "item_group_id", "offers"]
    ),
    VALUES | st.lists(st.dictionaries(NAMES, VALUES, max_size=2), max_size=2),
    max_size=3,
)
HOSTILE = st.tuples(
    st.sampled_from(["item_put", "item_patch"]),
    ITEM_IDS,
    st.builds(lambda body, own: body | {"attributes": own}, ANY_BODY, st.dictionaries(NAMES, VALUES, max_size=4)),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(HOSTILE, min_size=1, max_size=5))
def test_whatever_the_log_contains_lists_are_served_and_nothing_else_is_lost(
    steps: Sequence[tuple[str, str, dict[str, Any]]],
) -> None:
    live = LiveView(engine_of("ten users and thirty events"))
    live.apply(entries_of(steps))
    last = StoredEntry(len(steps) + 1, LogEntry("item_put", "sound", NOW, NOW, {"price": 5.0, "category": ["D"]}))
    live.apply([last])
    for answer in answers(live):
        assert all(item.reasons for item in answer.items)
    assert live.engine.items.row("sound") != UNKNOWN
    assert last.seq not in {each.seq for each in live.set_aside}
    assert live.n_set_aside == len(live.set_aside)


def broken_for(item_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the arrays of one item be impossible to build, after those of others are set."""
    set_one = GrowingEngine._set

    def fails(self: GrowingEngine, row: int, value: Any) -> None:
        if value["item_id"] == item_id:
            raise ZeroDivisionError("impossible")
        set_one(self, row, value)

    monkeypatch.setattr(GrowingEngine, "_set", fails)


def test_an_entry_that_cannot_be_applied_is_undone_and_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    broken_for("new/2", monkeypatch)
    steps = [
        ("item_put", "new 1", {"price": 1.0}),
        ("item_put", "new/2", {"price": 2.0, "offers": [{"price": 3.0}]}),
        ("item_put", "新", {"price": 4.0, "offers": [{"price": 3.0}]}),
        ("item_patch", "a1", {"price": 9.0}),
    ]
    for cut in range(5):
        live = LiveView(engine_of("ten users and thirty events"))
        live.apply(entries_of(steps)[:cut])
        answers(live)
        live.apply(entries_of(steps)[cut:])
        engine = live.engine
        assert [(each.seq, each.key, each.reason) for each in live.set_aside] == [
            (2, "new/2", "ZeroDivisionError: impossible")
        ]
        assert engine.items.row("new/2") == UNKNOWN
        assert [
            engine.items_table.row(engine.items.row(name), named=True)["price"] for name in ("new 1", "新", "a1")
        ] == [
            1.0,
            4.0,
            9.0,
        ]
        assert len(engine.offers) == 1
        answers(live)
        live.apply(
            [StoredEntry(9, LogEntry("event", None, NOW, NOW, {"user_id": "u0", "item_id": "新", "event": "purchase"}))]
        )
        assert len(live.history("u0", NOW)) > 0
        answers(live)


def test_an_item_whose_content_fails_is_listed_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = ColdItems.compute

    def fails(self: ColdItems, rows: Any, items: Any) -> Any:
        if "new 1" in items["item_id"].to_list():
            raise ZeroDivisionError("impossible")
        return compute(self, rows, items)

    monkeypatch.setattr(ColdItems, "compute", fails)
    live = LiveView(engine_of("ten users and thirty events"))
    steps = [("item_put", name, {"title": "red cup", "category": ["食品", "A"]}) for name in ("new 1", "新")]
    live.apply(entries_of(steps))
    answers(live)
    assert [each.entry_type for each in live.set_aside] == ["content"]
    assert live.engine.items.row("new 1") != UNKNOWN
    assert (np.asarray(live.engine.hybrid.similar_idx[live.engine.items.row("新")]) >= 0).any()
