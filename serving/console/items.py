"""Items as the pages show them: names, prices and pictures of the catalog beside the ids of the lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from recsys.core.ids import UNKNOWN
from recsys.pipeline.recommender import Recommender
from serving.api.theme_products import FIELDS

PICTURE_COLUMNS: Final = FIELDS["image"]
HIDDEN: Final = frozenset({"item_id", "title", *PICTURE_COLUMNS})


@dataclass(frozen=True)
class ShownItem:
    """An item.

    Attributes:
        item_id: the shop's id.
        title: its title, else its id.
        picture: address of a picture, empty if there is none.
        facts: known columns of the catalog, by name.
        is_available: whether it can be listed.
    """

    item_id: str
    title: str
    picture: str
    facts: Mapping[str, str]
    is_available: bool

    @property
    def notes(self) -> str:
        """The facts that fit under a title."""
        named = ("brand", "category", "product_type", "price")
        return " · ".join(self.facts[name] for name in named if name in self.facts)


def shown_items(recommender: Recommender, item_ids: Iterable[str]) -> dict[str, ShownItem]:
    """Return known items by their ids."""
    engine = recommender.current
    asked = list(dict.fromkeys(item_ids))
    rows = engine.items.rows(tuple(asked))
    found = {}
    for item_id, row in zip(asked, rows.tolist(), strict=True):
        if row != UNKNOWN:
            columns = engine.items_table.row(row, named=True) if row < len(engine.items_table) else {}
            found[item_id] = _shown(item_id, engine.titles[row], columns)
    return found


def _shown(item_id: str, title: str, columns: Mapping[str, Any]) -> ShownItem:
    picture = next((str(columns[name]) for name in PICTURE_COLUMNS if columns.get(name)), "")
    facts = {
        name: _text(value) for name, value in columns.items() if name not in HIDDEN and value not in (None, "", [])
    }
    is_https = picture.startswith("https://")
    return ShownItem(
        item_id, title or item_id, picture if is_https else "", facts, columns.get("available") is not False
    )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
