from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.frames import rows_to_frame
from recsys.core.schema import EVENTS, TIMESTAMP

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def test_absent_values_are_null_and_other_entries_are_ignored() -> None:
    frame = rows_to_frame([{"a": 1, "other": 2}, {"b": "x"}], {"a": pl.Int64(), "b": pl.String()})
    assert frame.to_dict(as_series=False) == {"a": [1, None], "b": [None, "x"]}
    assert rows_to_frame([], EVENTS).schema == EVENTS


def test_timestamps_are_microseconds() -> None:
    frame = rows_to_frame([{"t": 1_500_000}, {"t": None}, {"t": "no"}], {"t": TIMESTAMP})
    assert frame["t"].to_list() == [datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC), None, None]


@pytest.mark.parametrize("unfit", ["text", 2**70, [1], {"a": 1}])
def test_a_value_that_does_not_fit_leaves_the_others(unfit: Any) -> None:
    frame = rows_to_frame([{"n": 1}, {"n": unfit}, {"n": 3}], {"n": pl.Int64()})
    assert frame["n"].to_list() == [1, None, 3]


@given(st.lists(st.dictionaries(st.sampled_from(list(EVENTS)), JSON), max_size=4))
def test_any_json_becomes_a_frame_of_the_given_columns(rows: list[dict[str, Any]]) -> None:
    frame = rows_to_frame(rows, EVENTS)
    assert (frame.schema, len(frame)) == (EVENTS, len(rows))
