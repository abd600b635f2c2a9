"""Segments of the user in filters: their names, their types, and their values."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from recsys.core.errors import FilterError
from recsys.core.schema import SEGMENTS
from recsys.filters import compile_filter
from recsys.filters.scope import sample_segments

ITEMS = pl.DataFrame({"price": [3.0, 12.0, None], "tags": [["a"], ["b"], []], "category": ["tea", "milk", "tea"]})


def mask(text: str, **segments: Any) -> list[bool]:
    user = {f"segment.{name}": value for name, value in segments.items()}
    return compile_filter(text, ITEMS.schema).mask(ITEMS, user).tolist()


@pytest.mark.parametrize(
    ("text", "segments", "expected"),
    [
        ("user.segment.life_cycle = 'dormant'", {"life_cycle": "dormant"}, [True] * 3),
        ("user.segment.life_cycle = 'dormant' AND price < 10", {"life_cycle": "dormant"}, [True, False, False]),
        ("user.segment.life_cycle = 'dormant'", {"life_cycle": "active"}, [False] * 3),
        ("user.segment.life_cycle = 'dormant'", {}, [False] * 3),
        ("user.segment.life_cycle IN ('lost', 'dormant')", {"life_cycle": "lost"}, [True] * 3),
        ("has(user.segment.interests, category)", {"interests": ["tea", "cake"]}, [True, False, True]),
        ("user.segment.is_high_value AND price > 10", {"is_high_value": True}, [False, True, False]),
        ("user.segment.churn_probability BETWEEN 0.2 AND 0.5", {"churn_probability": 0.3}, [True] * 3),
        ("coalesce(user.segment.churn_probability, 1) > 0.5 OR price < 5", {}, [True] * 3),
        ("price < user.segment.average_order", {"average_order": 5.0}, [True, False, False]),
        ("user.segment.lifetime_value IS NULL", {}, [True] * 3),
        ('user."segment".n_orders >= 2', {"n_orders": 2}, [True] * 3),
    ],
)
def test_segments_are_values_of_the_user(text: str, segments: dict[str, Any], expected: list[bool]) -> None:
    assert mask(text, **segments) == expected


def test_a_filter_names_the_segments_that_it_reads() -> None:
    text = "user.segment.life_cycle = 'lost' AND has_any(tags, user.tags)"
    assert compile_filter(text, ITEMS.schema).depends_on == {"user.segment.life_cycle", "user.tags"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user.segment.life_cycl = 'lost'", "unknown segment 'life_cycl': did you mean 'life_cycle'?"),
        ("user.segment.qqqqqqqqq = 1", "unknown segment 'qqqqqqqqq': expected one of life_cycle, "),
        ("user.segment.life_cycle = 3", "user.segment.life_cycle is text, 3 is a number"),
        ("user.segment.churn_probability > 'high'", "user.segment.churn_probability is a number"),
        ("segment.life_cycle = 'lost'", "expected user.NAME, user.segment.NAME, context.NAME"),
        ("context.segment.life_cycle = 'lost'", "expected user.NAME, user.segment.NAME, context.NAME"),
        ("user.user.life_cycle = 'lost'", "expected user.NAME, user.segment.NAME, context.NAME"),
        ("user.segment.a.b = 'lost'", "expected user.NAME, user.segment.NAME, context.NAME"),
        ("a.segment.b = 'lost'", "expected user.NAME, user.segment.NAME, context.NAME"),
    ],
)
def test_wrong_names_and_types_are_refused(text: str, message: str) -> None:
    with pytest.raises(FilterError, match=r"filter, character \d+") as raised:
        compile_filter(text, ITEMS.schema)
    assert message in str(raised.value)


def test_an_attribute_named_segment_stays_one() -> None:
    compiled = compile_filter("user.segment = 'gold'", ITEMS.schema)
    assert compiled.mask(ITEMS, {"segment": "gold"}).all()
    column = ITEMS.with_columns(segment=pl.lit("b2b"))
    assert compile_filter("segment = 'b2b'", column.schema).mask(column).all()


def test_every_segment_has_a_sample_of_its_type() -> None:
    samples = sample_segments([f"user.segment.{name}" for name in SEGMENTS] + ["user.tags", "context.weather"])
    assert set(samples) == {f"user.segment.{name}" for name in SEGMENTS}
    assert samples["user.segment.interests"] == ("",)
    assert samples["user.segment.is_slowing"] is True
    assert samples["user.segment.n_orders"] == 0.0
