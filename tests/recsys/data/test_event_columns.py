"""Columns of events: who a user is, and which events are taken."""

from __future__ import annotations

import numpy as np
import polars as pl

from recsys.core.ids import SESSION
from recsys.data.dataset import Dataset
from recsys.data.event_columns import user_key


def test_a_session_stands_for_a_user_only_where_no_event_has_one() -> None:
    rows = pl.DataFrame({"user_id": ["u", None, None], "visitor_id": ["v", "w", None], "session_id": ["s", "t", "x"]})
    assert rows.select(user_key(has_users=True)).to_series().to_list() == ["u", "w", None]
    keys = rows.select(user_key(has_users=False)).to_series().to_list()
    assert keys == [f"{SESSION}{name}" for name in "stx"]


def test_events_are_taken_column_by_column(shop_dataset: Dataset) -> None:
    events = shop_dataset.events
    rows = np.array([5, 2, 9])
    taken = events.take(rows)
    assert len(taken) == 3
    for name, column in vars(events).items():
        np.testing.assert_array_equal(getattr(taken, name), column[rows])
