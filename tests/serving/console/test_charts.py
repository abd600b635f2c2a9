from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from serving.console.charts import BAR, HEIGHT, MARGIN, WIDTH, Point, bar, scatter, sparkline


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


def test_points_are_links_with_titles_inside_the_map() -> None:
    corners = [Point(0, 0, 3, 0, "<low>", "items/a%2Fb"), Point(1, 1, 9, 8, "high", "items/c")]
    drawn = ElementTree.fromstring(scatter(corners, "/console", "a <map>"))
    assert drawn.attrib["aria-label"] == "a <map>"
    assert [(link.attrib["href"], link.attrib["tabindex"], link[0].text) for link in drawn] == [
        ("/console/items/a%2Fb", "0", "<low>"),
        ("/console/items/c", "-1", "high"),
    ]
    places = [(float(link[1].attrib["cx"]), float(link[1].attrib["cy"])) for link in drawn]
    assert places == [(MARGIN, HEIGHT - MARGIN), (WIDTH - MARGIN, MARGIN)]
