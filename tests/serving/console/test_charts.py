from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from serving.console.charts import BAR, bar, sparkline


@pytest.mark.parametrize(
    ("share", "width"), [(0.5, BAR / 2), (2.0, BAR), (-1.0, 0.0), (math.nan, 0.0), (math.inf, 0.0)]
)
def test_a_bar_is_as_long_as_its_share(share: float, width: float) -> None:
    fill = ElementTree.fromstring(bar(share))[1]
    assert float(fill.attrib["width"]) == pytest.approx(width, abs=0.1)


def test_a_line_skips_what_is_not_finite_and_escapes_its_label() -> None:
    drawn = ElementTree.fromstring(sparkline([0.0, math.nan, 2.0, math.inf], "a <b>"))
    assert drawn[0].text == "a <b>"
    assert [point.split(",")[0] for point in drawn[1].attrib["points"].split()] == ["0.0", "106.7"]
    assert sparkline([], "x") == sparkline([math.nan], "x") == ""
