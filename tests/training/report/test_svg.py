from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.report.svg import INK, drawing, path, ramp, shortened, tag, text, text_width, ticks

HOSTILE = "<script>alert('x')</script> & \"茶\""


@given(st.floats(1e-9, 1e12))
def test_ticks_reach_the_highest_value_in_few_round_steps(high: float) -> None:
    steps = ticks(high)
    assert steps[0] == 0
    assert high <= steps[-1] * (1 + 1e-9)
    assert 2 <= len(steps) <= 6
    assert steps[-2] < high * (1 + 1e-9)


@pytest.mark.parametrize("high", [0.0, -1.0, float("nan"), float("inf")])
def test_ticks_of_nothing(high: float) -> None:
    assert ticks(high) == [0.0, 1.0]


def test_hostile_words_are_text() -> None:
    svg = drawing(10, text(1, 2, HOSTILE), tag("rect", x=1.5, y=2, fill='"<'), label=HOSTILE)
    root = ET.fromstring(svg)
    assert [each.text for each in root] == [HOSTILE, HOSTILE, None]
    assert root[2].attrib == {"x": "1.5", "y": "2", "fill": '"<'}


def test_cells_get_darker_and_their_text_light() -> None:
    assert ramp(0.0) == ramp(-1) == ("#eff5fe", INK)
    assert ramp(1.0) == ramp(2.0) == ("#2563c9", "#ffffff")


@given(st.text(max_size=60), st.floats(20, 300))
def test_a_shortened_text_fits(words: str, width: float) -> None:
    kept = shortened(words, width)
    assert text_width(kept) <= max(width, text_width("…"))
    assert kept == words or kept.endswith("…")


def test_chinese_is_wide() -> None:
    assert text_width("茶叶", 10) == 20 > text_width("te", 10)


def test_a_path_goes_through_its_points() -> None:
    assert path([(0, 1), (2.5, 3.123)], is_closed=True) == "M0,1L2.5,3.12Z"
