"""Reasons of the items of sets: the set's own first, then the user's purchases."""

from __future__ import annotations

import numpy as np

from recsys.reasons.item_sets import set_reasons
from tests.recsys.pipeline.test_item_sets import ENGINE
from tests.recsys.tiny_engine import i32, state_of


def test_items_of_one_set_share_its_reason() -> None:
    state = state_of((4, 3.0), engine=ENGINE)
    found = set_reasons(state, i32(0, 4, 7), i32(1, 1, 2))
    assert [[reason.code for reason in of_item] for of_item in found] == [
        ["item_set"],
        ["item_set", "bought_before"],
        ["item_set"],
    ]
    assert found[0][0] is found[1][0]
    assert found[0][0].values == {"support": 20, "lift": 30.0}
    assert found[0][0].text == "bought together in 20 baskets, at least 30 times chance"
    assert found[2][0].values == {"support": 12, "lift": 8.0}


def test_nothing_listed_has_no_reasons() -> None:
    assert set_reasons(state_of(engine=ENGINE), i32(), np.empty(0, np.int32)) == []
