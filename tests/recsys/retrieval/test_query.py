from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from recsys.retrieval.candidates import NO_CANDIDATES, Candidates
from recsys.retrieval.query import NO_ITEMS, Ranking, StageRecord
from tests.recsys.tiny_engine import f32, i32

RANKING = Ranking(
    item_idx=i32(4, 2, 7),
    score=f32(3, 2, 1),
    source=np.array(["als", "ease", "als"], np.object_),
    propensity=np.array([0.5, 0.25, 1.0]),
    key=np.array([9.0, 8.0, 7.0]),
    candidates=Candidates.of(i32(4, 2, 7), {"als": f32(1, 0, 0.5)}, {"als": 3.0}),
    records=(StageRecord("score", i32(4, 2, 7), i32(4, 2, 7)),),
)


def test_taking_items_takes_all_that_is_known_of_them() -> None:
    taken = RANKING.take(np.array([2, 0]))
    assert taken.item_idx.tolist() == [7, 4]
    assert taken.score.tolist() == [1, 3]
    assert taken.source.tolist() == ["als", "als"]
    assert taken.propensity is not None
    assert taken.propensity.tolist() == [1.0, 0.5]
    assert taken.key is not None
    assert taken.key.tolist() == [7.0, 9.0]
    assert taken.candidates.scores["als"].tolist() == [0.5, 1]
    assert taken.records is RANKING.records
    assert RANKING.item_idx.tolist() == [4, 2, 7]


def test_what_is_not_known_stays_unknown() -> None:
    plain = replace(RANKING, propensity=None, key=None, candidates=NO_CANDIDATES, fallback_used=True)
    taken = plain.take(np.array([True, False, True]))
    assert (taken.propensity, taken.key, taken.candidates, taken.fallback_used) == (None, None, NO_CANDIDATES, True)
    assert len(NO_ITEMS.take(slice(3)).item_idx) == 0


@given(st.integers(0, 5))
def test_a_split_loses_nothing(n: int) -> None:
    first, rest = RANKING.split(n)
    assert len(first.item_idx) == min(n, 3)
    assert [*first.item_idx, *rest.item_idx] == [4, 2, 7]


def test_a_record_holds_what_was_taken_out() -> None:
    assert StageRecord("own", i32(4, 2, 7), i32(7)).removed.tolist() == [4, 2]
    assert StageRecord("order", i32(4, 2), i32(2, 4)).removed.tolist() == []
    assert StageRecord("fill", i32(4), i32(4, 5)).removed.tolist() == []
    rows = i32(1, 2)
    assert StageRecord("score", rows, rows).removed.tolist() == []


def test_what_stages_of_one_name_took_out_is_told_together() -> None:
    records = (
        StageRecord("variant", i32(1, 2, 3, 4), i32(1, 2, 4)),
        StageRecord("own", i32(1, 2, 4), i32(1, 2, 4)),
        StageRecord("length", i32(1, 2, 4), i32(1, 2)),
        StageRecord("variant", i32(1, 2), i32(2)),
    )
    removed = replace(RANKING, records=records).removed
    assert {name: rows.tolist() for name, rows in removed.items()} == {"variant": [3, 1], "length": [4]}
    assert NO_ITEMS.removed == {}
