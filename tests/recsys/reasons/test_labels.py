"""Reasons of lists with pinned and promoted items, on an engine of eight items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.core.placements import PLACEMENTS
from recsys.reasons.evidence import reasons_for
from recsys.reasons.labels import PINNED, rule_reasons
from recsys.retrieval.query import Mask, RuleOverrides
from recsys.retrieval.user_state import UserState
from tests.recsys.tiny_engine import allowed, i32, state_of

POPULAR = PLACEMENTS["popular"]
ROWS = i32(4, 0, 2)
SOURCES = ["popular", "popular", "popular_by_hour"]


def state(*promoted: Mask) -> UserState:
    overrides = RuleOverrides(promotions=tuple((mask, 0.2) for mask in promoted), pins=((4, 1),))
    return state_of(overrides=overrides)


def codes(found_in: UserState, sources: list[str]) -> list[list[str]]:
    return [[reason.code for reason in reasons] for reasons in rule_reasons(POPULAR, found_in, ROWS, sources)]


def test_a_pinned_item_says_so_and_nothing_else() -> None:
    plain = [[reason.code for reason in reasons] for reasons in reasons_for(POPULAR, state(), ROWS[1:], SOURCES[1:])]
    assert codes(state(), [PINNED, *SOURCES[1:]]) == [["pinned"], *plain]
    assert all(plain)


def test_a_promoted_item_keeps_its_own_reasons_before() -> None:
    plain = codes(state(), SOURCES)
    found = codes(state(allowed(0)), SOURCES)
    assert found == [plain[0], [*plain[1], "promoted"], plain[2]]


def test_an_item_of_several_promotions_is_promoted_once() -> None:
    found = codes(state(allowed(0, 4), allowed(0)), [PINNED, *SOURCES[1:]])
    assert found[0] == ["pinned", "promoted"]
    assert found[1].count("promoted") == 1
    assert "promoted" not in found[2]


def test_texts_are_in_both_languages() -> None:
    reasons = rule_reasons(POPULAR, state(allowed(4)), ROWS, [PINNED, *SOURCES[1:]])[0]
    assert [reason.text for reason in reasons] == ["chosen by the shop", "promoted by the shop"]
    assert [reason.text_zh for reason in reasons] == ["店铺精选", "店铺推广"]


def test_a_list_of_pins_alone_asks_for_no_evidence() -> None:
    only = replace(state(), query=replace(state().query, overrides=RuleOverrides(pins=((4, 1), (0, 2)))))
    assert codes(only, [PINNED] * 3) == [["pinned"]] * 3
    assert rule_reasons(POPULAR, only, np.empty(0, np.int32), []) == []
