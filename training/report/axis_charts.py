"""Charts with axes: curves with bands, and stacked columns over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from training.report.svg import GRID, INK, QUIET, RED, WIDTH, drawing, path, tag, text, text_width, ticks

LEFT: Final = 62
RIGHT: Final = 34
TOP: Final = 14
LEGEND_H: Final = 30
PLOT_H: Final = 230
MAX_LABELS: Final = 13

Format = Callable[[float], str]


@dataclass(frozen=True)
class Curve:
    """A line over x, with an interval around each point where there is one.

    Attributes:
        name: in the legend; "" for no legend.
        x, y: the points.
        low, high: bounds of the interval of each point; empty for none.
        color: of the line.
        is_step: whether the value stays until the next x.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    is_step: bool = False


@dataclass(frozen=True)
class Layer:
    """One part of stacked columns: its name, color and a value per column; negative values go down.

    A value that is not finite is not drawn.
    """

    name: str
    color: str
    values: Sequence[float]

    @property
    def drawn(self) -> list[float]:
        """The values, 0 where there is none to draw."""
        return [value if math.isfinite(value) else 0.0 for value in self.values]


def line_chart(
    curves: Sequence[Curve],
    label: str,
    *,
    x_labels: Sequence[tuple[float, str]],
    y_format: Format,
    limit: tuple[float, str] | None = None,
    height: float = PLOT_H,
) -> str:
    """Draw curves from 0 up, with a dashed limit where there is one."""
    top = TOP + (LEGEND_H if any(curve.name for curve in curves) else 0)
    curves = [_finite(curve) for curve in curves]
    tops = [y for curve in curves for y in (*curve.y, *curve.high)]
    steps = ticks(max([*tops, limit[0] if limit else 0.0], default=1.0))
    xs = [x for curve in curves for x in curve.x] + [x for x, _ in x_labels]
    first, last = min(xs, default=0.0), max(xs, default=1.0)
    across = (WIDTH - LEFT - RIGHT) / ((last - first) or 1.0)

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (x - first) * across, top + height * (1 - y / steps[-1])

    drawn = [_rules([(at(first, step)[1], y_format(step)) for step in steps])]
    for x, words in x_labels:
        drawn.append(text(at(x, 0)[0], top + height + 20, words, size=11.5, fill=QUIET, text_anchor="middle"))
    for curve in curves:
        drawn += _curve(curve, at)
    if limit is not None:
        y = at(first, limit[0])[1]
        dashes = "5 4"
        drawn.append(
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke=RED, stroke_width=1.4, stroke_dasharray=dashes)
        )
        drawn.append(text(WIDTH - RIGHT, y - 6, limit[1], size=11.5, fill=RED, text_anchor="end"))
    drawn.append(_legend([(curve.name, curve.color) for curve in curves if curve.name]))
    return drawing(top + height + 32, *drawn, label=label)


def column_chart(
    layers: Sequence[Layer], names: Sequence[str], label: str, *, y_format: Format, height: float = PLOT_H
) -> str:
    """Draw one column per name, with the layers stacked up from 0, and down where they are negative."""
    top, stacked = TOP + LEGEND_H, [layer.drawn for layer in layers]
    up = [sum(max(values[place], 0.0) for values in stacked) for place in range(len(names))]
    down = [sum(max(-values[place], 0.0) for values in stacked) for place in range(len(names))]
    positive, negative = ticks(max(up, default=1.0)), ticks(max(down, default=0.0)) if any(down) else [0.0]
    step = max(positive[1], negative[1]) if len(negative) > 1 else positive[1]
    highest, lowest = _rounded(max(up, default=1.0), step), _rounded(max(down, default=0.0), step)
    per_unit = height / ((highest + lowest) or 1.0)
    zero, width = top + highest * per_unit, (WIDTH - LEFT - RIGHT) / max(len(names), 1)
    lines = [step * place for place in range(-round(lowest / step), round(highest / step) + 1)]
    drawn = [_rules([(zero - value * per_unit, y_format(abs(value))) for value in lines])]
    every = -(-len(names) // MAX_LABELS)
    for place, name in enumerate(names):
        x = LEFT + place * width
        above = below = zero
        for layer, values in zip(layers, stacked, strict=True):
            tall = abs(values[place]) * per_unit
            is_up = values[place] >= 0
            above, below, y = (above - tall, below, above - tall) if is_up else (above, below + tall, below)
            if tall > 0:
                drawn.append(tag("rect", x=x + width * 0.16, y=y, width=width * 0.68, height=tall, fill=layer.color))
        if (len(names) - 1 - place) % every == 0:
            bottom = top + height + 20
            drawn.append(text(x + width / 2, bottom, name, size=11.5, fill=QUIET, text_anchor="middle"))
    drawn.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=zero, y2=zero, stroke=INK, stroke_width=1))
    drawn.append(_legend([(layer.name, layer.color) for layer in layers if layer.name]))
    return drawing(top + height + 32, *drawn, label=label)


def _finite(curve: Curve) -> Curve:
    """Return a curve without the points that are not finite."""
    columns = (curve.x, curve.y, *((curve.low, curve.high) if curve.low else ()))
    points = [point for point in zip(*columns, strict=True) if all(map(math.isfinite, point))]
    x, y, *band = zip(*points, strict=True) if points else ((),) * len(columns)
    return replace(curve, x=x, y=y, low=band[0] if band else (), high=band[1] if band else ())


def _rounded(value: float, step: float) -> float:
    return step * -(-value // step)


def _rules(rules: Sequence[tuple[float, str]]) -> str:
    """Draw horizontal lines with a label each."""
    return "".join(
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke=GRID)
        + text(LEFT - 10, y + 4, words, size=11.5, fill=QUIET, text_anchor="end")
        for y, words in rules
    )


def _curve(curve: Curve, at: Callable[[float, float], tuple[float, float]]) -> list[str]:
    points = _stepped(curve.x, curve.y) if curve.is_step else list(zip(curve.x, curve.y, strict=True))
    drawn = []
    if curve.low:
        sides = [
            _stepped(curve.x, side) if curve.is_step else list(zip(curve.x, side, strict=True))
            for side in (curve.high, curve.low)
        ]
        around = [at(x, y) for x, y in (*sides[0], *reversed(sides[1]))]
        drawn.append(tag("path", d=path(around, is_closed=True), fill=curve.color, fill_opacity=0.13))
    places = [at(x, y) for x, y in points]
    if len(places) > 1:
        drawn.append(
            tag("path", d=path(places), fill="none", stroke=curve.color, stroke_width=2.4, stroke_linejoin="round")
        )
    if not curve.is_step and len(places) <= 60:
        drawn += [tag("circle", cx=x, cy=y, r=3, fill=curve.color) for x, y in places]
    return drawn


def _stepped(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for place, value in enumerate(y):
        if points:
            points.append((x[place], points[-1][1]))
        points.append((x[place], value))
    return points


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    x, drawn = float(LEFT), []
    for name, color in entries:
        drawn.append(tag("rect", x=x, y=8, width=13, height=13, rx=3, fill=color))
        drawn.append(text(x + 20, 19, name, size=12.5))
        x += 46 + text_width(name, 12.5)
    return "".join(drawn)
