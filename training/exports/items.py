"""Rows of a product export, and the items that are made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from recsys.core.schema import ITEMS

ExportRow = Mapping[str, str]
"""The filled cells of a row by column name in lower case, without blanks around them."""

Item = dict[str, Any]

OWN_PREFIX: Final = "option_"
"""Before the name of an option that the items table has as a column of its own."""

_NO_NAME: Final = re.compile(r"[\x00-\x1f\x7f-\x9f*^$]+")
_DAY: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_COMMA: Final = re.compile(r"(?<!\\),")


@dataclass(frozen=True)
class ExportedItems:
    """The items of an export.

    Attributes:
        items: number of the row that each item is from, and its columns; texts are cast later.
        notes: what was done with rows that are no items.
    """

    items: list[tuple[int, Item]]
    notes: tuple[str, ...] = ()


def first_filled(row: ExportRow, *names: str) -> str | None:
    """Return the first cell that is filled.

    >>> first_filled({"sku": "7", "name": "Tea"}, "id", "sku")
    '7'
    """
    return next((row[name] for name in names if row.get(name)), None)


def option_name(name: str) -> str:
    """Return the name of an attribute for an option such as a color; no column of the items table.

    >>> option_name("Color"), option_name("Title"), option_name("尺码")
    ('color', 'option_title', '尺码')
    """
    plain = _NO_NAME.sub(" ", name).strip().lower()
    return OWN_PREFIX + plain if plain in ITEMS else plain


def paths_of(text: str | None, level: str) -> list[list[str]]:
    r"""Return the category paths of a cell, which are separated by commas; `\,` is a comma in a name.

    >>> paths_of("Clothing > Shirts, Sale", ">")
    [['Clothing', 'Shirts'], ['Sale']]
    """
    texts = (part.replace("\\,", ",") for part in _COMMA.split(text or ""))
    return [path for each in texts if (path := path_of(each, level))]


def path_of(text: str | None, level: str = ">") -> list[str]:
    """Return one category path, whose names may contain commas.

    >>> path_of("Food, Beverages & Tobacco > Tea")
    ['Food, Beverages & Tobacco', 'Tea']
    """
    return [name.strip() for name in (text or "").split(level) if name.strip()]


def category_and_tags(
    paths: Sequence[list[str]], tags: Iterable[str] = ()
) -> tuple[list[str] | None, list[str] | None]:
    """Return the deepest path, the first of equally deep ones; the last levels of the others are tags."""
    deepest = max(paths, key=len, default=None)
    rest = [path[-1] for path in paths if deepest is not None and path != deepest[: len(path)]]
    return deepest, list(dict.fromkeys((*tags, *rest))) or None


def comma_list(text: str | None) -> list[str]:
    """Return the entries of a cell that are separated by commas."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def is_in_force(starts: str | None, ends: str | None, today: date) -> bool:
    """Return whether a day is between two others, each of which may be missing.

    >>> is_in_force("2024-05-01", None, date(2024, 6, 1)), is_in_force(None, "2024-05-01T00:00", date(2024, 6, 1))
    (True, False)
    """
    first, last = _day(starts), _day(ends)
    return (first is None or first <= today) and (last is None or today <= last)


def group_of_variants(items: Sequence[tuple[int, Item]], group_id: str) -> None:
    """Give the items of one product its group, if they are several."""
    if len(items) > 1:
        for _, item in items:
            item["item_group_id"] = group_id


def _day(text: str | None) -> date | None:
    found = _DAY.match(text or "")
    try:
        return None if found is None else date(*map(int, found.groups()))
    except ValueError:
        return None
