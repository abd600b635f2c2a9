from __future__ import annotations

from copy import deepcopy
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.ids import UNKNOWN, IdMap
from recsys.core.schema import ITEMS
from recsys.data.row_changes import to_frame
from recsys.live.catalog_changes import CatalogChanges

ROWS = [{"item_id": "a", "price": 2.0, "tags": ["x"]}, {"item_id": "b", "title": "b"}]
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "price": st.sampled_from([2.0, 3.0, None]),
        "available": st.booleans(),
        "tags": st.sampled_from([["x"], [], None]),
        "attributes": st.dictionaries(st.sampled_from(["*", "^.*$", "row", "color"]), st.sampled_from([1, "x", None])),
        "offers": st.just([{"price": 1.0}]),
    },
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["item_put", "item_patch", "item_delete"]), st.sampled_from(["a", "b", "n", "m"]), BODIES
    ),
    max_size=6,
)


def made() -> CatalogChanges:
    table = to_frame(ROWS, ITEMS)
    return CatalogChanges(table, IdMap(tuple(table["item_id"])))


def state(changes: CatalogChanges) -> dict[str, Any]:
    return deepcopy(
        {name: getattr(changes, name) for name in ("changed", "own", "rows", "added", "deleted")}
        | {"values": [changes.values(row) for row in range(changes.n_items)]}
    )


@given(before=STEPS, after=STEPS)
def test_what_is_undone_leaves_the_state_before(before: list[Any], after: list[Any]) -> None:
    changes = made()
    for seq, (kind, item_id, body) in enumerate(before):
        changes.apply(seq, item_id, kind, body)
    kept = state(changes)
    done = [changes.apply(seq, item_id, kind, body) for seq, (kind, item_id, body) in enumerate(after)]
    for change in reversed(done):
        changes.undo(change)
    assert state(changes) == kept


def test_only_what_differs_from_the_bundle_is_kept() -> None:
    changes = made()
    changes.apply(1, "a", "item_patch", {"price": 5.0})
    assert changes.changed == {0: {"price": 5.0}}
    assert changes.values(0)["tags"] == ["x"]
    changes.apply(2, "a", "item_patch", {"price": 2.0})
    assert changes.changed == {0: {}}
    changes.apply(3, "a", "item_put", {"title": "new"})
    assert changes.values(0)["price"] is None
    assert changes.values(0)["title"] == "new"


def test_a_deleted_item_keeps_its_row() -> None:
    changes = made()
    assert changes.row("n") == UNKNOWN
    changes.apply(1, "n", "item_delete", {})
    assert changes.row("n") == 2
    assert changes.deleted == {"n"}
    changes.apply(2, "n", "item_put", {"price": 1.0})
    assert changes.deleted == set()
    assert changes.values(2) == {"available": None, "item_id": "n", "price": 1.0} or changes.values(2)["price"] == 1.0


def test_a_change_that_raises_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = made()
    before = state(changes)
    with pytest.raises(TypeError):
        changes.apply(1, "n", "item_put", {"attributes": 3})
    assert state(changes) == before
    assert changes.own == {}


def test_own_columns_have_one_type_for_all_their_values() -> None:
    changes = made()
    changes.apply(1, "a", "item_patch", {"attributes": {"size": 1}})
    changes.apply(2, "b", "item_patch", {"attributes": {"size": 1.5, "color": "red"}})
    assert changes.own == {"size": pl.Float64(), "color": pl.String()}
    assert changes.n_schemas == 2
