"""The plots of the evaluation report, each as SVG for one page."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from recsys.core.metrics import Interval
from recsys.evaluation.curves import ScoreBin, TradeoffPoint
from recsys.evaluation.summary import Segment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008, Color Universal Design: distinct for color-blind readers; markers are distinct in gray.
TREATMENT_COLORS: Final = ("#0072B2", "#D55E00")
BASELINE_COLORS: Final = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5A5A5A")
BASELINE_MARKERS: Final = ("s", "^", "v", "P", "X", "<", ">", "h", "p", "*", "d")
MAX_FEATURES: Final = 25
WIDTH_IN: Final = 8.6
CROWDED: Final = 0.06
"""Distance of two points, as a share of the plot, below which their labels overlap."""

STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def plot_dial(points: Sequence[TradeoffPoint]) -> str:
    """Plot accuracy against the long tail, by tail discount."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_dial(left, points, lambda point: point.tail_share)
        _draw_dial(right, points, lambda point: point.long_tail_recall)
        left.set(title="by what is listed", xlabel="tail items among those listed (%)", ylabel="nDCG@20")
        right.set(title="by what is found", xlabel="long-tail recall@20 (%)")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)

    return _drawn("dial", 5.2, draw)


def plot_segments(name: str, panels: Mapping[str, Sequence[Segment]], treatments: Sequence[str], axis: str) -> str:
    """Plot a metric by segment of the queries, with intervals; one panel per question, one series per method.

    Args:
        name: unique among the plots of a page.
        panels: segments of every method, by title.
        treatments: the methods under test.
        axis: label of the segments.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for ax, (title, segments) in zip(axes, panels.items(), strict=True):
            _draw_segments(ax, segments, treatments)
            ax.set(title=title, xlabel=axis, ylabel=segments[0].metric, ylim=(0, None))
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return _drawn(name, 0.6 + 3.1 * len(panels), draw)


def plot_scores(bins: Sequence[ScoreBin]) -> str:
    """Plot the share of listed items that were bought, by score; calibrated scores rise to the right."""

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        precisions = [found.precision for found in bins]
        _errorbar(ax, range(len(bins)), precisions, label="for_you", **_look("for_you", ("for_you",), 0))
        hits = sum(found.precision.value * found.n_items for found in bins)
        mean = 100 * hits / sum(found.n_items for found in bins)
        ax.axhline(mean, color="#5A5A5A", linestyle="--", linewidth=1, label="all listed items")
        ax.set_xticks(range(len(bins)), [f"{found.low:.2g} –\n{found.high:.2g}" for found in bins], fontsize=8)
        ax.set(xlabel=f"score of the item, in {len(bins)} bins of equal size", ylabel="bought (% of listed)")
        ax.set_ylim(0, None)
        ax.legend(loc="upper left")

    return _drawn("scores", 3.6, draw)


def plot_importances(importances: Mapping[str, float]) -> str:
    """Plot the gain of the ranker by feature, the strongest on top."""
    strongest = sorted(importances.items(), key=lambda row: (-row[1], row[0]))[:MAX_FEATURES]
    total = sum(importances.values()) or 1.0

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        places = range(len(strongest))
        ax.barh(places, [100 * gain / total for _, gain in strongest], color=TREATMENT_COLORS[0], height=0.7)
        ax.set_yticks(places, [name for name, _ in strongest])
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")
        ax.set(xlabel="share of the gain (%)")

    return _drawn("importances", 0.9 + 0.24 * len(strongest), draw)


def plot_calibration(bins: Sequence[tuple[float, float]]) -> str:
    """Plot the observed share against the predicted probability, as of equal groups; calibrated ones lie on the line.

    Args:
        bins: mean probability and observed share of each group, ascending.
    """

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        predicted, observed = [100 * each for each, _ in bins], [100 * each for _, each in bins]
        end = 1.05 * max(*predicted, *observed, 1.0)
        ax.plot([0, end], [0, end], color="#5A5A5A", linestyle="--", linewidth=1, label="as predicted")
        ax.plot(predicted, observed, color=TREATMENT_COLORS[0], marker="o", label="observed")
        ax.set(xlim=(0, end), ylim=(0, end), xlabel="predicted churn (%)", ylabel="observed churn (%)")
        ax.legend(loc="upper left")

    return _drawn("calibration", 4.2, draw)


def plot_shares(shares: Mapping[str, float]) -> str:
    """Plot the share of each group as a bar, the first on top."""

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        bars = ax.barh(range(len(shares)), [100 * share for share in shares.values()], color=TREATMENT_COLORS[0])
        ax.bar_label(bars, fmt="%.1f %%", padding=3)
        ax.set_yticks(range(len(shares)), list(shares))
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")
        ax.set(xlabel="share of users (%)")

    return _drawn("shares", 0.9 + 0.32 * len(shares), draw)


def _draw_dial(ax: Axes, points: Sequence[TradeoffPoint], x_of: Callable[[TradeoffPoint], Interval]) -> None:
    known = [point for point in points if math.isfinite(x_of(point).value)]
    turned = [point for point in known if point.tail_discount is not None]
    others = [point for point in known if point.tail_discount is None]
    baselines = [point.method for point in others if not point.is_served]
    x, y = [100 * x_of(point).value for point in turned], [point.ndcg.value for point in turned]
    ax.plot(x, y, color=TREATMENT_COLORS[0], marker="o", markersize=4, label="discover, by discount β")
    for point, across, up in zip(turned, x, y, strict=True):
        if point.is_served:
            label = f"discover as served, β = {point.tail_discount:g}"
            ax.plot(across, up, "o", markersize=11, fillstyle="none", color=TREATMENT_COLORS[0], label=label)
    for point in others:
        treatments = (point.method,) if point.is_served else ()
        look = _look(point.method, treatments, 1 if treatments else baselines.index(point.method))
        ax.plot(100 * x_of(point).value, point.ndcg.value, linestyle="", label=point.method, **look)
    width = max([100 * x_of(point).value for point in known], default=0) or 1
    height = max([point.ndcg.value for point in known], default=0) or 1
    ax.set(xlim=(-0.03 * width, 1.06 * width), ylim=(0, 1.1 * height))
    _label_settings(ax, turned, x, y)


def _label_settings(ax: Axes, turned: Sequence[TradeoffPoint], x: Sequence[float], y: Sequence[float]) -> None:
    """Write β next to its point; for points that are close together, next to the last."""
    width, height = (high - low for low, high in (ax.get_xlim(), ax.get_ylim()))
    for index, point in enumerate(turned):
        is_last = index + 1 == len(turned)
        if is_last or math.hypot((x[index + 1] - x[index]) / width, (y[index + 1] - y[index]) / height) > CROWDED:
            label = f"{point.tail_discount:g}"
            ax.annotate(label, (x[index], y[index]), (6, 6), textcoords="offset points", fontsize=8)


def _draw_segments(ax: Axes, segments: Sequence[Segment], treatments: Sequence[str]) -> None:
    methods = list(dict.fromkeys(segment.method for segment in segments))
    n_queries = {segment.name: segment.n_queries for segment in segments}
    names = list(n_queries)
    baselines = [method for method in methods if method not in treatments]
    for index, method in enumerate(methods):
        rows = [segment for segment in segments if segment.method == method]
        shift = 0.5 * ((index + 0.5) / len(methods) - 0.5)
        look = _look(
            method, treatments, list(treatments).index(method) if method in treatments else baselines.index(method)
        )
        x = [names.index(row.name) + shift for row in rows]
        _errorbar(ax, x, [row.interval for row in rows], label=method, linestyle="", scale=1, **look)
    ax.set_xticks(range(len(names)), [f"{name.removesuffix(' baskets')}\nn = {n_queries[name]:,}" for name in names])
    ax.grid(visible=False, axis="x")


def _errorbar(ax: Axes, x: Sequence[float], intervals: Sequence[Interval], *, scale: float = 100, **look: Any) -> None:
    value = [scale * interval.value for interval in intervals]
    below = [scale * max(interval.value - interval.low, 0) for interval in intervals]
    above = [scale * max(interval.high - interval.value, 0) for interval in intervals]
    ax.errorbar(x, value, yerr=[below, above], capsize=2.5, markersize=5, linewidth=1.2, **look)


def _look(method: str, treatments: Sequence[str], index: int) -> dict[str, Any]:
    if method in treatments:
        return {"color": TREATMENT_COLORS[index % len(TREATMENT_COLORS)], "marker": "o"}
    return {
        "color": BASELINE_COLORS[index % len(BASELINE_COLORS)],
        "marker": BASELINE_MARKERS[index % len(BASELINE_MARKERS)],
    }


def _drawn(name: str, height_in: float, draw: Callable[[Figure], None]) -> str:
    # matplotlib is an extra, and slow to import
    import matplotlib
    from matplotlib.figure import Figure

    written = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the browser's fonts draw the text
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "svg.hashsalt": name})
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        draw(figure)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=nothing, transparent=True)
    svg = written.getvalue()
    return _with_own_ids(svg[svg.index("<svg") :], name)


def _with_own_ids(svg: str, name: str) -> str:
    """Prefix the ids of a plot with its name, because ids are unique in a page."""
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
