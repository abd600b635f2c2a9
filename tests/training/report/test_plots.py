from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib

from recsys.core.metrics import Interval
from recsys.evaluation.curves import ScoreBin, TradeoffPoint
from recsys.evaluation.summary import Segment
from training.report.plots import (
    BASELINE_MARKERS,
    MAX_FEATURES,
    plot_dial,
    plot_importances,
    plot_scores,
    plot_segments,
)

SOME = Interval(0.2, 0.1, 0.3)
UNKNOWN = Interval(math.nan, math.nan, math.nan)


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def settings(*discounts: float) -> list[TradeoffPoint]:
    return [
        TradeoffPoint("discover", beta, beta == 0.1, SOME, Interval(beta, beta, beta), SOME, 5) for beta in discounts
    ]


def test_settings_that_crowd_are_named_once() -> None:
    points = [replace(point, long_tail_recall=UNKNOWN) for point in settings(0.0, 0.001, 0.1, 0.8)]
    shown = texts(plot_dial(points))
    assert {"0.001", "0.1", "0.8", "discover as served, β = 0.1"} <= set(shown)
    without = texts(plot_dial([replace(point, long_tail_recall=UNKNOWN) for point in settings(0.001, 0.1, 0.8)]))
    assert shown.count("0") == without.count("0"), "the axes' own"


def test_more_baselines_than_markers_and_no_setting_at_all() -> None:
    names = [f"other_{place}" for place in range(2 * len(BASELINE_MARKERS))]
    points = [TradeoffPoint(name, None, False, SOME, SOME, UNKNOWN, 5) for name in names]
    assert set(names) <= set(texts(plot_dial(points)))
    assert set(names) <= set(texts(plot_dial(points + settings(0.0, 0.5))))


def test_each_panel_names_its_parts_and_how_many_were_asked() -> None:
    rows = [Segment(name, "recall@10", "hour", "05-10h", 1234, SOME) for name in ("popular", "<other>")]
    late = [replace(row, name="21-04h", interval=UNKNOWN) for row in rows]
    svg = plot_segments("hour", {"popular": [*rows, *late], "time_of_day": rows}, ["popular"], "hour")
    shown = texts(svg)
    assert {"popular", "time_of_day", "<other>", "recall@10", "05-10h", "21-04h", "n = 1,234"} <= set(shown)
    assert all(found.startswith("hour-") for found in re.findall(r'\bid="([^"]*)"', svg))


def test_one_bin_and_many_features() -> None:
    assert "bought (% of listed)" in texts(plot_scores([ScoreBin(0.1, 0.1, 3, SOME)]))
    shown = texts(plot_importances({f"feature {place}": float(place) for place in range(60)}))
    assert "feature 59" in shown
    assert sum(told.startswith("feature") for told in shown) == MAX_FEATURES


def test_features_without_any_gain_are_drawn() -> None:
    assert "idle" in texts(plot_importances({"idle": 0.0}))


def test_plotting_leaves_no_settings_behind() -> None:
    before = dict(matplotlib.rcParams)
    plot_importances({"one": 1.0})
    assert dict(matplotlib.rcParams) == before
