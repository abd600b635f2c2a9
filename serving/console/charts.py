"""Small drawings of the pages, as SVG: colors come from the style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

BAR: Final = 96
"""Width of the longest bar."""

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
