"""Small drawings of the pages, as SVG: colors come from the style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from markupsafe import Markup

BAR: Final = 96
"""Width of the longest bar."""

COURSE_WIDTH: Final = 440
COURSE_HEIGHT: Final = 200
AXIS: Final = 72
FOOT: Final = 26
"""Room for the numbers beside and below the course of a lift."""

EDGE: Final = 8
ROOM: Final = 0.2
"""Room on the other side of no effect, so that the numbers of the scale do not touch."""

WIDTH: Final = 900
HEIGHT: Final = 620
MARGIN: Final = 12
"""Distance of the points of a map from its edge."""

LINK: Final = Markup(
    '<a href="{}/{}" tabindex="{}"><title>{}</title><circle class="c{}" cx="{:.0f}" cy="{:.0f}" r="{:.1f}"/></a>'
)


@dataclass(frozen=True)
class Point:
    """A point of the map that leads to a page.

    Attributes:
        x: from 0 to 1.
        y: from 0 to 1, upwards.
        radius: in the units of the map.
        color: number of the color in the style sheet.
        title: shown and read to people.
        path: below the console, percent-encoded.
    """

    x: float
    y: float
    radius: float
    color: int
    title: str
    path: str


def bar(share: float) -> Markup:
    """Return a bar whose length is a share of the longest."""
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    return Markup(
        '<svg class="bar" viewBox="0 0 {0} 8" aria-hidden="true"><rect class="rail" width="{0}" height="8" rx="4"/>'
        '<rect class="fill" width="{1:.1f}" height="8" rx="4"/></svg>'
    ).format(BAR, BAR * share)


def sparkline(values: Sequence[float], label: str, width: int = 160, height: int = 36) -> Markup:
    """Return a line through some values, oldest first; `label` describes it to screen readers."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return Markup("")
    low, high = min(*known, 0.0), max(known)
    step, scale = width / max(len(values) - 1, 1), (height - 4) / ((high - low) or 1)
    points = [
        f"{n * step:.1f},{height - 2 - (value - low) * scale:.1f}"
        for n, value in enumerate(values)
        if math.isfinite(value)
    ]
    return Markup(
        '<svg class="spark" viewBox="0 0 {0} {1}" role="img"><title>{2}</title><polyline points="{3}"/></svg>'
    ).format(width, height, label, " ".join(points))


def scatter(points: Sequence[Point], root: str, label: str) -> Markup:
    """Return points of a plane as links; `label` describes the whole to screen readers.

    One of them is reached by the tab key, the others from it by the arrow keys.
    """
    width, height = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    links = (
        LINK.format(
            root,
            each.path,
            -1 if number else 0,
            each.title,
            each.color,
            MARGIN + each.x * width,
            HEIGHT - MARGIN - each.y * height,
            each.radius,
        )
        for number, each in enumerate(points)
    )
    return Markup('<svg class="map" viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("\n").join(links)
    )


class CoursePoint(NamedTuple):
    """What was known of a lift after some days.

    Attributes:
        day: days since the first list.
        lift: relative effect; None where it is not defined.
        low, high: its interval.
    """

    day: float
    lift: float | None
    low: float | None
    high: float | None


def course(
    points: Sequence[CoursePoint], minimum_effect: float, title: str, write: Callable[[float], str], last: str
) -> Markup:
    """Return the course of a lift by day, with its interval, no effect and the smallest effect worth shipping.

    The scale is that of the later half of the days: of the wider intervals before them, the ends are cut off.

    Args:
        points: in the order of days; those without a lift are left out.
        minimum_effect: the smallest effect, > 0.
        title: describes it to screen readers.
        write: writes a lift for the axis.
        last: what is written below the last day.
    """
    known = [point for point in points if all(value is not None and math.isfinite(value) for value in point)]
    if not known:
        return Markup("")
    settled = [value or 0.0 for point in known[len(known) // 2 :] for value in (point.low, point.high)]
    bottom, top = min(-minimum_effect, *settled), max(2 * minimum_effect, *settled)
    bottom, top = min(bottom, -top * ROOM), max(top, -bottom * ROOM)
    days = max(known[-1].day, 1.0)

    def at(day: float, lift: float | None) -> str:
        return f"{_x(day / days):.1f},{_y(lift or 0.0, bottom, top):.1f}"

    band = [at(each.day, each.high) for each in known] + [at(each.day, each.low) for each in reversed(known)]
    line = [at(each.day, each.lift) for each in known]
    lines = [("zero", 0.0), ("wanted", minimum_effect)]
    return Markup(
        '<svg class="course-plot" viewBox="0 0 {0} {1}" role="img"><title>{2}</title><polygon points="{3}"/>{4}'
        '<polyline points="{5}"/>{6}<text x="{7}" y="{8}">{9}</text></svg>'
    ).format(
        *(COURSE_WIDTH, COURSE_HEIGHT, title, " ".join(band)),
        Markup("").join(
            Markup('<line class="{0}" x1="{1}" x2="{2}" y1="{3:.1f}" y2="{3:.1f}"/>').format(
                name, AXIS, COURSE_WIDTH - EDGE, _y(lift, bottom, top)
            )
            for name, lift in lines
        ),
        " ".join(line),
        Markup("").join(
            Markup('<text x="{0}" y="{1:.1f}">{2}</text>').format(AXIS - EDGE, _y(lift, bottom, top) + 4, write(lift))
            for lift in (top, 0.0, bottom)
        ),
        *(COURSE_WIDTH - EDGE, COURSE_HEIGHT - EDGE, last),
    )


def _x(share: float) -> float:
    return AXIS + (COURSE_WIDTH - AXIS - EDGE) * share


def _y(lift: float, bottom: float, top: float) -> float:
    """Return the height of a lift, inside the picture."""
    share = (min(max(lift, bottom), top) - bottom) / (top - bottom)
    return COURSE_HEIGHT - FOOT - (COURSE_HEIGHT - FOOT - EDGE) * share
