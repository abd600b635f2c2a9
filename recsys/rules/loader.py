"""Reads a file of placements strictly: one error lists everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Annotated, Any, Final

import polars as pl
from msgspec import Meta

from recsys.core.config.ranges import SINGLE, UNIQUE, Text
from recsys.core.config.toml_reader import Faults, fields_of, read_fields, read_toml
from recsys.core.documents import Place
from recsys.core.placements import PLACEMENTS, Page, Placement
from recsys.core.windows import read_bound
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.rules.placement_registry import PlacementRegistry

EXTENDS: Final = "extends"
FALLBACK: Final = "fallback"
ITEM_SOURCES: Final = frozenset({"bought_together", "complementary", "similar", "viewed_together", "alternatives"})
"""Sources of candidates for an item; a placement for a user cannot use them."""

SET_BY_SEARCH: Final = frozenset({"sources", "trend_power", "tail_discount"})
"""Values that a learned blend replaces; a file that sets one of them keeps its own."""

ROUNDING: Final = 1e-9
BOUNDS: Final = ("valid_from", "valid_to")
"""Keys of the moments of a window."""

ARRANGES_ITEMS: Final = (
    "boosts",
    "pins",
    "promotions",
    "diversity",
    "max_per_category",
    "freshness",
    "rotation",
    "tail_share",
    "new_share",
)
"""Keys that have no meaning for sets."""

NOT_IN_FILE: Final = frozenset(
    {"name", "anchor", "only_complements", "lists", "may_be_empty", "evidence", "substitutes", FALLBACK}
)
"""Attributes of a placement that a file cannot set as they are."""


@dataclass(frozen=True)
class FileKeys:
    """Keys of a placement in the file that are not attributes of `Placement`.

    Attributes:
        extends: name of the placement whose values apply where the file has none.
        fallback: placements and sources that serve where the sources find too little, in this order.
    """

    extends: Text = ""
    fallback: Annotated[tuple[Text, ...], Meta(extra={UNIQUE: True, SINGLE: True})] = ()


PLACEMENT_FIELDS: Final = (
    *(field for field in fields_of(Placement) if field.name not in NOT_IN_FILE),
    *fields_of(FileKeys),
)
PAGE_FIELDS: Final = tuple(field for field in fields_of(Page) if field.name != "name")


def read_placements(place: Place, schema: Mapping[str, pl.DataType] | None = None) -> PlacementRegistry:
    """Read a file of placements.

    Args:
        place: of a TOML file; docs/placements.md lists its keys.
        schema: columns of the catalog that the filters are checked against; None skips the check.

    Raises:
        ConfigError: the file cannot be read; or with everything that is wrong with it.
    """

    def parse(document: Mapping[str, Any]) -> PlacementRegistry:
        registry = parse_placements(document)
        if schema is not None:
            registry.check(schema)
        return registry

    return read_toml(place, parse)


def parse_placements(document: Mapping[str, Any]) -> PlacementRegistry:
    """Read the placements and pages of a parsed file.

    >>> parse_placements({"placements": {"night": {"extends": "for_you", "limit": 5}}}).placements["night"].limit
    5
    >>> parse_placements({"page": {}})
    Traceback (most recent call last):
    recsys.core.errors.ConfigError: 'page' ({}) is not a known table: do you mean 'pages'?

    Raises:
        ConfigError: with everything that is wrong, except in filters: `PlacementRegistry.check` checks them against a
        catalog.
    """
    faults = Faults()
    for key, value in document.items():
        if key not in ("placements", "pages"):
            faults.unknown_key(key, value, ("placements", "pages"), "table")
    placements = _Placements(_tables(document.get("placements", {}), "placements", faults), faults).all()
    pages = {
        name: _page(name, table, placements, faults)
        for name, table in _tables(document.get("pages", {}), "pages", faults).items()
    }
    faults.check()
    return PlacementRegistry(MappingProxyType(placements), MappingProxyType(pages))


class _Placements:
    """Reads the placements of one file over the built-in ones, each after the one that it extends.

    Args:
        tables: tables by name.
        faults: collects what is wrong.
    """

    def __init__(self, tables: Mapping[str, Mapping[str, Any]], faults: Faults) -> None:
        self._tables, self._faults = tables, faults
        self._done: dict[str, Placement] = {}
        self._fallbacks: dict[str, tuple[str, ...] | None] = {}
        self._open: list[str] = []

    def all(self) -> dict[str, Placement]:
        """Return the built-in placements first, as overridden, then the file's own in its order."""
        for name in (*PLACEMENTS, *self._tables):
            self._placement(name)
        return {name: self._with_fallbacks(name, placement) for name, placement in self._done.items()}

    def _placement(self, name: str) -> Placement | None:
        """Return a placement without its fallbacks; None where its parent is not valid."""
        if name in self._done:
            return self._done[name]
        table = self._tables.get(name)
        parent = PLACEMENTS.get(name) if table is None else self._parent(name, table)
        if parent is None:
            return None
        self._done[name] = parent if table is None else self._read(name, table, parent)
        return self._done[name]

    def _parent(self, name: str, table: Mapping[str, Any]) -> Placement | None:
        path = f"placements.{name}.{EXTENDS}"
        parent = table.get(EXTENDS, name if name in PLACEMENTS else None)
        if parent == name and name in PLACEMENTS:
            return PLACEMENTS[name]
        if parent is None:
            known = ", ".join(PLACEMENTS)
            self._faults.add(path, f"{path!r} is missing, expected the placement to extend, such as {known}")
        elif parent in (*self._open, name):
            self._faults.refuse(path, parent, "a placement that does not extend this one in turn")
        elif parent not in (*self._tables, *PLACEMENTS):
            self._faults.unknown_name(path, parent, (*PLACEMENTS, *self._tables), "placement")
        else:
            self._open.append(name)
            found = self._placement(parent)
            self._open.pop()
            self._fallbacks.setdefault(name, self._fallbacks.get(parent))
            return found
        return None

    def _read(self, name: str, table: Mapping[str, Any], parent: Placement) -> Placement:
        path = f"placements.{name}"
        if table.get(FALLBACK) == "":
            table = {**table, FALLBACK: []}
        bounds = {key: table[key].isoformat() for key in BOUNDS if isinstance(table.get(key), date)}
        values = read_fields(PLACEMENT_FIELDS, {**table, **bounds}, path, self._faults)
        values.pop(EXTENDS, None)
        if FALLBACK in values:
            self._fallbacks[name] = values.pop(FALLBACK)
        if SET_BY_SEARCH & values.keys() and "blend" not in values:
            values["blend"] = ""
        if "sources" in values and not values.get("blend"):
            values.setdefault("ranker", "")
        placement = replace(parent, name=name, **values)
        _check_values(placement, path, self._faults)
        hour, tail = ("hour",) * (placement.hour_power > 0), ("tail",) * (placement.pool == "tail")
        new = ("new_category",) * (placement.own == "drop_types")
        return replace(placement, evidence=hour + tail + new)

    def _with_fallbacks(self, name: str, placement: Placement) -> Placement:
        """Return the placement with its substitutes: the same rules with the sources of the fallbacks."""
        fallbacks = self._fallbacks.get(name)
        if fallbacks is None:
            return placement
        substitutes = []
        for position, other in enumerate(fallbacks):
            path = f"placements.{name}.{FALLBACK}[{position}]"
            if other == name or (other not in self._done and other not in CANDIDATE_SOURCES):
                known = [each for each in (*self._done, *CANDIDATE_SOURCES) if each != name]
                self._faults.unknown_name(path, other, known, "other placement or source")
            elif "sets" in (placement.lists, self._done.get(other, placement).lists):
                self._faults.refuse(path, other, "no fallback to or from a list of sets")
            elif other in self._done:
                like = self._done[other]
                substitutes.append(
                    replace(
                        placement,
                        sources=like.sources,
                        ranker=like.ranker,
                        blend=like.blend,
                        anchor=like.anchor,
                        fallback="",
                    )
                )
            else:
                substitutes.append(
                    replace(placement, sources={other: 1.0}, ranker="", blend="", anchor="none", fallback="")
                )
        return replace(placement, substitutes=tuple(substitutes), fallback="")


def _check_values(placement: Placement, path: str, faults: Faults) -> None:
    """Check what the type of a single value does not state."""
    for source, weight in placement.sources.items():
        if source not in CANDIDATE_SOURCES:
            faults.unknown_key(f"{path}.sources.{source}", weight, CANDIDATE_SOURCES, "source")
    for_items = [source for source in placement.sources if source in ITEM_SOURCES]
    if for_items and placement.anchor != "item":
        faults.refuse(f"{path}.sources", ", ".join(for_items), f"sources for a {placement.anchor}, not for an item")
    for key in ("item_id", "rank"):
        values = [getattr(pin, key) for pin in placement.pins]
        if len(set(values)) < len(values):
            faults.refuse(f"{path}.pins", values, f"each {key} once")
    _check_window(placement, path, faults)
    _check_list_of_sets(placement, path, faults)
    for number, occasion in enumerate(placement.occasions):
        if occasion.fault:
            faults.add(f"{path}.occasions[{number}]", f"'{path}.occasions[{number}]': {occasion.fault}")
    total = sum(promotion.share for promotion in placement.promotions)
    if total > 1 + ROUNDING:
        faults.refuse(f"{path}.promotions", round(total, 9), "shares that add up to at most 1")


def _check_list_of_sets(placement: Placement, path: str, faults: Faults) -> None:
    """Refuse keys that arrange items in a list of sets, and the largest price of a set in a list of items."""
    unset = PLACEMENTS["item_sets"]
    for key in ARRANGES_ITEMS if placement.lists == "sets" else ("max_total_price",):
        value = getattr(placement, key)
        if value != getattr(unset, key):
            faults.refuse(f"{path}.{key}", value, f"no such key in a list of {placement.lists}")


def _check_window(placement: Placement, path: str, faults: Faults) -> None:
    """Check that the moments of a window can be read, and follow each other where both are of one clock."""
    found = {}
    for key in BOUNDS:
        text = getattr(placement, key)
        try:
            found[key] = read_bound(text) if text else None
        except ValueError as error:
            faults.refuse(f"{path}.{key}", text, str(error))
            return
    start, end = found.values()
    if start and end and (start.tzinfo is None) == (end.tzinfo is None) and start >= end:
        faults.refuse(f"{path}.valid_to", placement.valid_to, f"a moment after valid_from, {placement.valid_from}")


def _page(name: str, table: Mapping[str, Any], placements: Mapping[str, Placement], faults: Faults) -> Page:
    path = f"pages.{name}.placements"
    names = read_fields(PAGE_FIELDS, {"placements": [], **table}, f"pages.{name}", faults).get("placements", ())
    for position, placement in enumerate(names):
        if placement not in placements:
            faults.unknown_name(f"{path}[{position}]", placement, placements, "placement")
    return Page(name, names)


def _tables(value: Any, path: str, faults: Faults) -> dict[str, Mapping[str, Any]]:
    """Return the tables in a table; any other value is a fault."""
    if not isinstance(value, Mapping):
        faults.refuse(path, value, f"tables, such as [{path}.my_list]")
        return {}
    found = {}
    for name, table in value.items():
        if isinstance(table, Mapping):
            found[name] = table
        else:
            faults.refuse(f"{path}.{name}", table, f"a table, such as [{path}.{name}]")
    return found
