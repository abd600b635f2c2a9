from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from training.report.axis_charts import Curve, Layer, column_chart, line_chart
from training.report.svg import BLUE, RED


def words(svg: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(svg).iter("text")]


def numbers(path: str) -> list[float]:
    return [float(each) for each in re.findall(r"-?[\d.]+", path)]


def test_a_curve_rises_with_its_values_and_its_limit_has_a_name() -> None:
    curve = Curve("all", [0, 1, 2], [0.1, 0.2, 0.4], BLUE, [0.0, 0.1, 0.3], [0.2, 0.3, 0.5])
    svg = line_chart([curve], "curve", x_labels=[(0, "Mon"), (2, "Wed")], y_format=str, limit=(0.3, "limit 30%"))
    band, line = (each.attrib["d"] for each in ET.fromstring(svg).iter("path"))
    heights = numbers(line)[1::2]
    assert heights == sorted(heights, reverse=True)
    assert band.endswith("Z")
    assert {"all", "Mon", "Wed", "limit 30%", "0.0", "0.6"} <= set(words(svg))


def test_a_step_stays_until_the_next_day() -> None:
    svg = line_chart([Curve("", [0, 10, 30], [0, 0.5, 0.6], BLUE, is_step=True)], "steps", x_labels=[], y_format=str)
    (line,) = (each.attrib["d"] for each in ET.fromstring(svg).iter("path"))
    points = numbers(line)
    assert points[1] == points[3], "level until the step"
    assert points[2] == points[4], "then straight up"
    assert "circle" not in svg


def test_one_point_and_no_point() -> None:
    svg = line_chart([Curve("", [3], [0.0], BLUE)], "one", x_labels=[(3, "x")], y_format=str)
    assert svg.count("<circle") == 1
    assert "<path" not in svg
    assert "<svg" in line_chart([], "none", x_labels=[], y_format=str)


def test_columns_are_as_high_as_their_values_and_losses_go_down() -> None:
    layers = [Layer("new", BLUE, [10.0, 20.0]), Layer("back", "#000", [10.0, 0.0]), Layer("left", RED, [-5.0, -20.0])]
    svg = column_chart(layers, ["Jan", "Feb"], "balance", y_format=lambda value: f"{value:g}")
    drawn = [each.attrib for each in ET.fromstring(svg).iter("rect") if "rx" not in each.attrib]
    up, on_top, down, higher, lower = drawn
    per_unit = float(up["height"]) / 10
    assert float(down["height"]) == round(5 * per_unit, 2)
    assert float(up["y"]) == round(float(on_top["y"]) + float(on_top["height"]), 2), "stacked"
    assert float(down["y"]) == round(float(up["y"]) + float(up["height"]), 2), "from 0 down"
    assert float(higher["height"]) == float(lower["height"]) == round(20 * per_unit, 2)
    assert {"new", "back", "left", "Jan", "Feb", "20"} <= set(words(svg))


def test_names_of_many_columns_do_not_crowd_and_the_last_is_there() -> None:
    svg = column_chart([Layer("", BLUE, [1.0] * 40)], [f"w{n}" for n in range(40)], "many", y_format=str)
    named = [word for word in words(svg) if word.startswith("w")]
    assert 5 <= len(named) <= 13
    assert named[-1] == "w39"


def test_columns_of_nothing() -> None:
    assert "<rect" not in column_chart([Layer("", BLUE, [0.0])], ["a"], "none", y_format=str)
    assert "<svg" in column_chart([], [], "none", y_format=str)


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan, 1e300, -1e300])
def test_a_value_of_any_size_does_not_break_a_chart(odd: float) -> None:
    columns = column_chart([Layer("a", BLUE, [1.0, odd]), Layer("b", RED, [odd, 2.0])], ["x", "y"], "c", y_format=str)
    curves = [Curve("a", [0, 1, 2], [1.0, odd, 2.0], BLUE), Curve("b", [0, 1], [1.0, 2.0], RED, [0.0, odd], [2.0, 3.0])]
    lines = line_chart(curves, "l", x_labels=[(0, "x")], y_format=str)
    for svg in (columns, lines):
        assert not re.search(r"\b(nan|inf)\b", re.sub("<text.*?</text>", "", svg))
