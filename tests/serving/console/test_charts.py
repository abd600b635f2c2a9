from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from serving.console.charts import (
    BAR,
    COURSE_HEIGHT,
    HEIGHT,
    MARGIN,
    WIDTH,
    CoursePoint,
    Point,
    bar,
    course,
    scatter,
    sparkline,
)


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


def points(*intervals: tuple[float | None, float | None, float | None]) -> list[CoursePoint]:
    return [CoursePoint(float(day), *interval) for day, interval in enumerate(intervals, 1)]


def drawn(markup: str) -> dict[str, ElementTree.Element]:
    return {each.tag: each for each in ElementTree.fromstring(markup)}


def pairs(element: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (each.split(",") for each in element.attrib["points"].split())]


def test_a_course_has_its_band_around_the_line_in_the_order_of_days() -> None:
    parts = drawn(
        course(points((0.1, -0.3, 0.5), (0.1, -0.1, 0.3), (0.1, 0.0, 0.2)), 0.05, "lift", "{:+.0%}".format, "3 days")
    )
    line, band = pairs(parts["polyline"]), pairs(parts["polygon"])
    assert len(line) == 3
    upper, lower = band[:3], band[3:][::-1]
    assert [x for x, _ in line] == [x for x, _ in upper] == [x for x, _ in lower]
    assert line == sorted(line)
    assert all(above[1] < middle[1] < below[1] for above, middle, below in zip(upper, line, lower, strict=True))
    widths = [below[1] - above[1] for above, below in zip(upper, lower, strict=True)]
    assert widths == sorted(widths, reverse=True), "the band narrows"
    assert parts["title"].text == "lift"


def test_no_effect_and_the_smallest_effect_are_drawn_to_the_scale_of_the_numbers() -> None:
    root = ElementTree.fromstring(course(points((0.1, -0.2, 0.4)), 0.1, "x", "{:+.1%}".format, "3 days"))
    lines = {each.attrib["class"]: float(each.attrib["y1"]) for each in root if each.tag == "line"}
    *scale, foot = (each for each in root if each.tag == "text")
    assert [each.text for each in scale] == ["+40.0%", "+0.0%", "-20.0%"]
    assert foot.text == "3 days"
    top, zero, bottom = (float(each.attrib["y"]) - 4 for each in scale)
    assert lines["zero"] == pytest.approx(zero, abs=0.1)
    assert (bottom - zero) / (bottom - top) == pytest.approx(1 / 3, abs=0.01)
    assert (bottom - lines["wanted"]) / (bottom - top) == pytest.approx(1 / 2, abs=0.01)


def test_both_lines_are_in_the_picture_even_if_the_interval_is_far_from_them() -> None:
    root = ElementTree.fromstring(course(points((2.0, 1.9, 2.1), (2.0, 1.9, 2.1)), 0.05, "x", str, ""))
    heights = [float(each.attrib["y1"]) for each in root if each.tag == "line"]
    assert COURSE_HEIGHT > heights[0] > heights[1] > 0


def test_wide_first_days_stay_inside_the_picture_and_do_not_set_its_scale() -> None:
    early = (2.0, -0.9, 40.0)
    markup = course(points(early, (0.1, -0.1, 0.3), (0.1, 0.0, 0.2)), 0.05, "x", "{:+.0%}".format, "3 days")
    assert all(0 <= y <= COURSE_HEIGHT for _, y in pairs(drawn(markup)["polygon"]))
    assert "+30%" in markup


@pytest.mark.parametrize("undefined", [(None, None, None), (math.nan, 0.0, 0.1), (0.1, -0.1, math.inf)])
def test_days_without_a_lift_are_left_out(undefined: tuple[float | None, float | None, float | None]) -> None:
    parts = drawn(course(points(undefined, (0.1, 0.0, 0.2)), 0.05, "x", str, ""))
    assert len(pairs(parts["polyline"])) == 1
    assert course(points(undefined), 0.05, "x", str, "") == course([], 0.05, "x", str, "") == ""


def test_what_is_written_on_a_course_is_escaped() -> None:
    markup = course(points((0.1, 0.0, 0.2)), 0.05, "a <b>", lambda value: "<i>", "<u>")
    assert "<b>" not in markup
    assert "<i>" not in markup
    assert "<u>" not in markup
