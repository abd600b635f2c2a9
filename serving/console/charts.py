"""Small drawings of the pages, as SVG: colors come from the style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

BAR: Final = 96
"""Width of the longest bar."""


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
