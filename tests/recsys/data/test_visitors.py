"""Which ids are those of visitors: none that an event or a row of users has as a user id, nor the target of a merge."""

from __future__ import annotations

import polars as pl

from recsys.core.ids import IdMap
from recsys.data.visitors import find_visitors, without


def test_an_id_is_a_users_if_any_event_or_row_says_so() -> None:
    ids = IdMap.of(["a", "b", "c", "d"])
    events = pl.DataFrame({"user_id": [None, "b", None], "visitor_id": ["a", "a", "b"]})
    users = pl.DataFrame({"user_id": ["d"]})
    found = dict(zip(ids.ids, find_visitors(ids, events, users).tolist(), strict=True))
    assert found == {"a": True, "b": False, "c": True, "d": False}


def test_what_a_visitor_was_merged_into_is_a_user() -> None:
    ids = IdMap.of(["a", "b"])
    nobody = pl.DataFrame(schema={"user_id": pl.String})
    before = find_visitors(ids, nobody, nobody)
    after = without(ids, before, ["b", "unknown"])
    assert (before.tolist(), after.tolist()) == ([True, True], [True, False])
