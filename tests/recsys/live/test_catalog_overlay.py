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
    assert live.engine.items_table.select(sorted(live.engine.items_table.columns)).equals(
        whole.engine.items_table.select(sorted(whole.engine.items_table.columns))
    )
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
