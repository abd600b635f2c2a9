from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.request import Recommendations, RecommendedItem
from serving.responses import ANSWER, IdGenerator, ResponseMeta, encode, made_at, merge_json, moment

LISTED = Recommendations("popular", "v1", (RecommendedItem("茶", 0.5, 1, "popular", ()),), True, (), 1.0, 8, "UTC")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.text(st.characters(exclude_categories=["Cs"])))
def test_a_merged_response_has_the_fields_of_both(recommendation_id: str, token: str | None) -> None:
    meta = ResponseMeta(recommendation_id, moment(0), token)
    merged = json.loads(merge_json(meta, encode(LISTED)))
    assert merged == json.loads(encode(meta)) | json.loads(encode(LISTED))


def test_a_response_declares_its_fields_in_order() -> None:
    merged = json.loads(merge_json(ResponseMeta("r", moment(0), None, {"calm": "control"}), encode(LISTED)))
    meta, listed = ANSWER
    declared = [*meta.__struct_fields__, *listed.__dataclass_fields__]
    assert list(merged) == [name for name in declared if name != "sets"]
    plain = json.loads(merge_json(ResponseMeta("r", moment(0), None), encode(LISTED)))
    assert [name for name in merged if name not in plain] == ["experiments"]


def test_moments_are_aware_and_utc() -> None:
    assert moment(1714521600) == datetime(2024, 5, 1, tzinfo=UTC)
    assert encode(moment(0)) == b'"1970-01-01T00:00:00Z"'


@given(st.floats(0, 4e9))
def test_an_id_states_when_it_was_made(seconds: float) -> None:
    found = made_at(IdGenerator(lambda: seconds).next())
    assert found is not None
    assert -1e-6 < seconds - found < 0.001 + 1e-6, "milliseconds, rounded down; floats near 4e9 are 5e-7 apart"


@pytest.mark.parametrize("other", ["r1", "584efe233e8b85c7-2", "", "584efe233e8b85c7--1", "0" * 32, "é" * 16 + "-1-1"])
def test_another_id_states_nothing(other: str) -> None:
    assert made_at(other) is None


def test_ids_are_unique_across_generators() -> None:
    one, other = IdGenerator(), IdGenerator()
    assert len({each.next() for each in (one, other) for _ in range(1000)}) == 2000
