"""Charts without axes: a funnel, a heat map of cohorts, and bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from training.report.svg import (
    AMBER,
    BLUE,
    GRID,
    INK,
    PALE,
    QUIET,
    RED,
    WIDTH,
    drawing,
    path,
    ramp,
    shortened,
    tag,
    text,
)

LABEL_X: Final = 168
CELL_H: Final = 30


@dataclass(frozen=True)
class FunnelBar:
    """A step of a funnel: its name, its size, and the texts beside it."""

    name: str
    size: float
    value: str
    change: str = ""
    is_alert: bool = False


@dataclass(frozen=True)
class HeatRow:
    """A cohort: its name, its size as text, and a share per column; None for a cell that is not observed.

    The cells of a small cohort have no color, as chance decides about them.
    """

    name: str
    size: str
    shares: tuple[float | None, ...]
    is_small: bool = False


@dataclass(frozen=True)
class Bar:
    """A labeled bar of length 0 to 1, with a text at its end, and a mark where something was promised."""

    name: str
    length: float
    value: str
    mark: float | None = None
    color: str = BLUE


def funnel_chart(bars: Sequence[FunnelBar], label: str) -> str:
    """Draw the steps from top to bottom, each as wide as its share of the first, with the rate from step to step."""
    left, full, height, gap = LABEL_X, 440, 46, 40
    middle, top = left + full / 2, 14
    widest = max((bar.size for bar in bars), default=0) or 1
    drawn = []
    for place, bar in enumerate(bars):
        y, half = top + place * (height + gap), max(full / 2 * bar.size / widest, 1.5)
        drawn.append(tag("rect", x=middle - half, y=y, width=2 * half, height=height, rx=5, fill=BLUE))
        drawn.append(text(left - 18, y + height / 2 + 5, bar.name, size=15, text_anchor="end", font_weight=600))
        drawn.append(text(left + full + 22, y + height / 2 + 6, bar.value, size=19, font_weight=700))
        if place:
            above = max(full / 2 * bars[place - 1].size / widest, 1.5)
            corners = [(middle - above, y - gap), (middle + above, y - gap), (middle + half, y), (middle - half, y)]
            drawn.append(tag("path", d=path(corners, is_closed=True), fill=PALE))
            color = RED if bar.is_alert else INK
            drawn.append(
                text(middle, y - gap / 2 + 5, bar.change, size=13, fill=color, text_anchor="middle", font_weight=600)
            )
    return drawing(top + len(bars) * (height + gap) - gap + 14, *drawn, label=label)


def heat_map(rows: Sequence[HeatRow], columns: Sequence[str], corner: tuple[str, str], label: str) -> str:
    """Draw shares as colored cells; a cell that is not observed stays blank."""
    left, size_x = 108, 172
    width = min(86.0, (WIDTH - size_x - 14) / max(len(columns), 1))
    top = 34
    large = [share for row in rows for share in row.shares if share is not None and not row.is_small]
    highest = max(large, default=0) or 1
    drawn = [
        text(left - 10, 20, corner[0], size=11.5, fill=QUIET, text_anchor="end"),
        text(size_x - 10, 20, corner[1], size=11.5, fill=QUIET, text_anchor="end"),
    ]
    small = 12.5 if width >= 48 else 10
    for place, column in enumerate(columns):
        x = size_x + (place + 0.5) * width
        drawn.append(text(x, 20, column, size=11.5, fill=QUIET, text_anchor="middle"))
    for line, row in enumerate(rows):
        y = top + line * CELL_H
        drawn.append(text(left - 10, y + 20, row.name, size=12.5, text_anchor="end"))
        drawn.append(text(size_x - 10, y + 20, row.size, size=12.5, fill=QUIET, text_anchor="end"))
        for place, share in enumerate(row.shares[: len(columns)]):
            if share is not None:
                fill, ink = ("#f5f7fa", QUIET) if row.is_small else ramp(share / highest)
                x = size_x + place * width
                drawn.append(tag("rect", x=x + 1, y=y + 1, width=width - 2, height=CELL_H - 2, rx=3, fill=fill))
                words = f"{100 * share:.0f}%" if width >= 38 else f"{100 * share:.0f}"
                drawn.append(text(x + width / 2, y + 20, words, size=small, fill=ink, text_anchor="middle"))
    return drawing(top + len(rows) * CELL_H + 6, *drawn, label=label)


def bar_chart(bars: Sequence[Bar], label: str, *, row_height: float = 34) -> str:
    """Draw horizontal bars, each with its text; a mark is a line across the bar."""
    left, full = 212, 480
    drawn = []
    for place, bar in enumerate(bars):
        y = 6 + place * row_height
        length = max(full * min(max(bar.length, 0.0), 1.0), 1.0)
        drawn.append(tag("rect", x=left, y=y, width=full, height=row_height - 12, rx=4, fill="#f3f5f8"))
        drawn.append(tag("rect", x=left, y=y, width=length, height=row_height - 12, rx=4, fill=bar.color))
        name = shortened(bar.name, left - 30, 13)
        middle = y + (row_height - 12) / 2 + 4.5
        drawn.append(text(left - 14, middle, name, size=13, text_anchor="end"))
        drawn.append(text(left + full + 14, middle, bar.value, size=13, font_weight=600))
        if bar.mark is not None:
            x = left + full * bar.mark
            drawn.append(tag("rect", x=x - 1.5, y=y - 4, width=3, height=row_height - 4, fill=AMBER))
    grid = tag("line", x1=left, x2=left, y1=2, y2=6 + len(bars) * row_height - 6, stroke=GRID)
    return drawing(8 + len(bars) * row_height, grid, *drawn, label=label)
