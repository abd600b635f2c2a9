"""Elements of SVG drawings, their scales and colors."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

WIDTH: Final = 900
INK: Final = "#1c2733"
QUIET: Final = "#5f6b7a"
GRID: Final = "#e6e9ee"
BLUE: Final = "#2563c9"
PALE: Final = "#dbe7fb"
TEAL: Final = "#0f8f83"
AMBER: Final = "#d98a1f"
RED: Final = "#c8384a"
SERIES: Final = (BLUE, AMBER, TEAL, "#8a4fc2", "#c2557e", QUIET)
RAMP: Final = ((239, 245, 254), (37, 99, 201))
"""Red, green and blue of the lightest and the darkest cell of a heat map."""

DARK: Final = 0.55
"""Strength of a cell's color from which its text is white."""


def tag(name: str, *content: str, **attributes: float | str) -> str:
    """Return an element; `_` in the name of an attribute is `-`, a number has at most two decimals.

    >>> tag("text", "a &lt; b", x=1.0, font_size=12)
    '<text x="1" font-size="12">a &lt; b</text>'
    """
    written = "".join(f" {key.rstrip('_').replace('_', '-')}={quoteattr(_plain(v))}" for key, v in attributes.items())
    return f"<{name}{written}>{''.join(content)}</{name}>" if content else f"<{name}{written}/>"


def text(x: float, y: float, words: str, *, size: float = 12, fill: str = INK, **attributes: float | str) -> str:
    """Return a line of text; the words are escaped."""
    return tag("text", escape(words), x=x, y=y, font_size=size, fill=fill, **attributes)


def drawing(height: float, *content: str, label: str, width: float = WIDTH) -> str:
    """Return a drawing that fits the width of its page; `label` describes it to screen readers."""
    title = tag("title", escape(label))
    return tag("svg", title, *content, viewBox=f"0 0 {_plain(width)} {_plain(height)}", role="img", width="100%")


def ticks(high: float, n: int = 4) -> list[float]:
    """Return round numbers from 0 up to the first one that is not below `high`.

    >>> ticks(0.42), ticks(7), ticks(0)
    ([0.0, 0.2, 0.4, 0.6], [0.0, 2.0, 4.0, 6.0, 8.0], [0.0, 1.0])
    """
    if not (math.isfinite(high) and high > 0):
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(high / n))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * n >= high)
    return [round(step * place, 12) for place in range(math.ceil(high / step - 1e-9) + 1)]


def ramp(strength: float) -> tuple[str, str]:
    """Return the color of a heat map's cell, and of the text on it; `strength` is clipped to [0, 1]."""
    at = min(max(strength, 0.0), 1.0)
    red, green, blue = (round(low + (high - low) * at) for low, high in zip(*RAMP, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}", "#ffffff" if at > DARK else INK


def text_width(words: str, size: float = 12) -> float:
    """Estimate the width of a text: Chinese characters are as wide as high, others about half."""
    return size * sum(1.0 if unicodedata.east_asian_width(each) in "WF" else 0.56 for each in words)


def shortened(words: str, width: float, size: float = 12) -> str:
    """Cut a text to a width, with … where something is left out."""
    if text_width(words, size) <= width:
        return words
    kept = words
    while kept and text_width(kept + "…", size) > width:
        kept = kept[:-1]
    return kept + "…"


def path(points: Sequence[tuple[float, float]], *, is_closed: bool = False) -> str:
    """Return the data of a path through points."""
    return "M" + "L".join(f"{_plain(x)},{_plain(y)}" for x, y in points) + ("Z" if is_closed else "")


def _plain(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
