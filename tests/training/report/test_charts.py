from __future__ import annotations

import xml.etree.ElementTree as ET

from training.report.charts import Bar, FunnelBar, HeatRow, bar_chart, funnel_chart, heat_map

HOSTILE = "<script>茶</script>"


def words(svg: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(svg).iter("text")]


def rects(svg: str) -> list[dict[str, str]]:
    return [each.attrib for each in ET.fromstring(svg).iter("rect")]


def test_each_step_is_as_wide_as_its_share() -> None:
    bars = [FunnelBar("View", 100, "100"), FunnelBar(HOSTILE, 25, "25", "25% go on", is_alert=True)]
    svg = funnel_chart(bars, "a funnel")
    wide, narrow = (float(each["width"]) for each in rects(svg))
    assert narrow == wide / 4
    assert {"View", HOSTILE, "100", "25", "25% go on"} <= set(words(svg))


def test_a_funnel_of_nobody() -> None:
    assert len(rects(funnel_chart([FunnelBar("View", 0, "0"), FunnelBar("Cart", 0, "0")], "none"))) == 2
    assert rects(funnel_chart([], "none")) == []


def test_a_cell_that_is_not_observed_is_blank_and_a_zero_is_not() -> None:
    svg = heat_map([HeatRow("Jan", "9", (0.5, 0.0)), HeatRow("Feb", "7", (0.25, None))], ["1", "2"], ("c", "n"), "map")
    assert len(rects(svg)) == 3
    assert words(svg).count("0%") == 1
    assert {"Jan", "Feb", "9", "7", "50%", "25%"} <= set(words(svg))


def test_the_darkest_cell_is_the_highest_of_a_large_cohort() -> None:
    rows = [HeatRow("a", "100", (0.3, 0.1)), HeatRow("b", "1", (1.0, 0.0), is_small=True)]
    high, low, *small = (each["fill"] for each in rects(heat_map(rows, ["1", "2"], ("", ""), "map")))
    assert high == "#2563c9"
    assert low != high
    assert set(small) == {"#f5f7fa"}


def test_many_narrow_columns_keep_their_numbers() -> None:
    svg = heat_map([HeatRow("a", "9", tuple(0.1 for _ in range(40)))], [str(n) for n in range(40)], ("", ""), "map")
    assert words(svg).count("10") == 41, "one cell each, and the name of a column"


def test_bars_end_at_their_value_and_marks_stand_at_theirs() -> None:
    bars = [Bar("a" * 80, 0.5, "50%", mark=0.25), Bar("b", 7.0, "700%"), Bar("c", -1.0, "")]
    drawn = rects(bar_chart(bars, "bars"))
    full = float(drawn[0]["width"])
    assert [float(each["width"]) for each in drawn] == [full, full / 2, 3, full, full, full, 1]
    assert float(drawn[2]["x"]) + 1.5 == float(drawn[0]["x"]) + full / 4
    assert words(bar_chart(bars, "bars"))[0].endswith("…")
