"""The map of the catalog: each item is a point, similar items are near each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from serving.console.charts import Point
from serving.console.view import Content, Page, View

N_POINTS: Final = 500
OTHERS: Final = 8
"""Number of the color of items without one of the named categories."""

LEAST: Final = 2.5
MOST: Final = 9.0
"""Radius of an item without buyers, and of the best seller."""


async def catalog_map(view: View) -> Content:
    """Build the page."""
    found = await view.api.get("/v1/catalog/map", limit=N_POINTS)
    items = found["items"]
    counts = Counter(each["category"] for each in items)
    named = [name for name, _ in counts.most_common() if name is not None]
    color = {name: number for number, name in enumerate(named)}
    return {
        "items": sorted(items, key=lambda each: (color.get(each["category"], OTHERS), -each["n_buyers"])),
        "n_items": found["n_items"],
        "points": _points(items, color),
        "legend": [(name, color[name], counts[name]) for name in named],
        "n_others": counts[None],
        "others": OTHERS,
    }


def _points(items: Sequence[Mapping[str, Any]], color: Mapping[str, int]) -> list[Point]:
    """Return the points, the largest first, so that it hides none."""
    most = max((each["n_buyers"] for each in items), default=0) or 1
    return [
        Point(
            each["x"],
            each["y"],
            LEAST + (MOST - LEAST) * (each["n_buyers"] / most) ** 0.5,
            color.get(each["category"], OTHERS),
            each["title"],
            f"items/{quote(each['item_id'], safe='')}",
        )
        for each in sorted(items, key=lambda each: -each["n_buyers"])
    ]


PAGES: Final = (Page("map", catalog_map, "map.html", "explore"),)
