"""A file of placements, read strictly: what it does not know it refuses by name, every fault at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.placements import PLACEMENTS, Page, Placement
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.rules.fields import PLACEMENT_KEYS, Faults, names, text
from recsys.rules.placement_registry import PlacementRegistry

EXTENDS: Final = "extends"
FALLBACK: Final = "fallback"
OF_SEEDS: Final = frozenset({"bought_together", "complementary", "similar"})
"""Sources that speak of the item that a list stands beside."""

MAX_FILE_BYTES: Final = 1 << 20
MAX_LISTS_PER_PAGE: Final = 20


def read_placements(path: Path, schema: Mapping[str, pl.DataType] | None = None) -> PlacementRegistry:
    """Read a file of placements.

    Args:
        path: a TOML file; docs/placements.md tells its keys.
        schema: columns of the catalogue that its filters are for; None leaves them unread.

    Raises:
        ConfigError: the file cannot be read, or naming everything that is wrong with it.
    """
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigError(f"{path} has {len(raw)} bytes: expected at most {MAX_FILE_BYTES}")
        book = parse_placements(tomllib.loads(raw.decode()))
        if schema is not None:
            book.check(schema)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): name a TOML file of placements") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply: expected a few levels") from None
    except ConfigError as error:
        raise error if str(error).startswith(str(path)) else ConfigError(f"{path}: {error}") from None
    return book


def parse_placements(document: Mapping[str, Any]) -> PlacementRegistry:
    """Placements and pages from a parsed file.

    >>> parse_book({"placements": {"night": {"extends": "for_you", "rotation": 0.5}}}).placements["night"].rotation
    0.5
    >>> parse_book({"placements": {"night": {"extends": "for_you", "rotations": 1}}})
    Traceback (most recent call last):
    recsys.core.errors.ConfigError: 'placements.night.rotations' names no key ('rotations'): do you mean 'rotation'?

    Raises:
        ConfigError: naming everything that is wrong, beside the filters: `PlacementRegistry.check` holds them against
        a catalogue.
    """
    faults = Faults()
    for key in document:
        if key not in ("placements", "pages"):
            faults.unknown(key, key, ("placements", "pages"), "table")
    given = _tables(document.get("placements", {}), "placements", faults)
    placements = _Placements(given, faults).all()
    pages = {
        name: _page(name, table, placements, faults)
        for name, table in _tables(document.get("pages", {}), "pages", faults).items()
    }
    if faults.told:
        raise ConfigError("; ".join(faults.told))
    return PlacementRegistry(MappingProxyType(placements), MappingProxyType(pages))


class _Placements:
    """Placements of one file over those that are built in; each after the one that it extends.

    Args:
        given: tables by name.
        faults: told what is wrong.
    """

    def __init__(self, given: Mapping[str, Mapping[str, Any]], faults: Faults) -> None:
        self._given, self._faults = given, faults
        self._done: dict[str, Placement] = {}
        self._chains: dict[str, tuple[str, ...] | None] = {}
        self._open: list[str] = []

    def all(self) -> dict[str, Placement]:
        """Those that are built in first, as overridden, then the file's own in its order."""
        for name in (*PLACEMENTS, *self._given):
            self._named(name)
        return {name: self._with_chain(name, placement) for name, placement in self._done.items()}

    def _named(self, name: str) -> Placement | None:
        """The placement of a name, without its chain of fallbacks; None where there is none that can be."""
        if name in self._done:
            return self._done[name]
        table = self._given.get(name)
        parent = PLACEMENTS.get(name) if table is None else self._parent(name, table)
        if parent is None:
            return None
        self._done[name] = parent if table is None else self._read(name, table, parent)
        return self._done[name]

    def _parent(self, name: str, table: Mapping[str, Any]) -> Placement | None:
        path = f"placements.{name}.{EXTENDS}"
        if EXTENDS not in table:
            if name in PLACEMENTS:
                return PLACEMENTS[name]
            known = ", ".join(PLACEMENTS)
            self._faults.told.append(f"'{path}' is missing, expected the placement that it is a kind of: {known}")
            return None
        parent = text(table[EXTENDS], path, self._faults)
        if parent == name and name in PLACEMENTS:
            return PLACEMENTS[name]
        if parent in (*self._open, name):
            self._faults.refuse(path, parent, "a placement that does not extend this one in turn")
            return None
        if parent not in self._given and parent not in PLACEMENTS:
            if parent:
                self._faults.unknown(path, parent, (*PLACEMENTS, *self._given), "placement")
            return None
        self._open.append(name)
        found = self._named(parent)
        self._open.pop()
        self._chains.setdefault(name, self._chains.get(parent))
        return found

    def _read(self, name: str, table: Mapping[str, Any], parent: Placement) -> Placement:
        faults, path = self._faults, f"placements.{name}"
        for key in table:
            if key not in PLACEMENT_KEYS and key not in (EXTENDS, FALLBACK):
                faults.unknown(f"{path}.{key}", key, (*PLACEMENT_KEYS, EXTENDS, FALLBACK))
        values = {
            key: PLACEMENT_KEYS[key](value, f"{path}.{key}", faults)
            for key, value in table.items()
            if key in PLACEMENT_KEYS
        }
        if FALLBACK in table:
            self._chains[name] = () if table[FALLBACK] == "" else names(table[FALLBACK], f"{path}.{FALLBACK}", faults)
        if values.get("freshness", "") is None:
            del values["freshness"]
        placement = replace(parent, name=name, **values)
        beside = [source for source in placement.sources if source in OF_SEEDS]
        if beside and placement.anchor != "item":
            faults.refuse(f"{path}.sources", ", ".join(beside), f"sources for a {placement.anchor}, not for an item")
        hour, tail = ("hour",) * (placement.hour_power > 0), ("tail",) * (placement.pool == "tail")
        return replace(placement, evidence=hour + tail)

    def _with_chain(self, name: str, placement: Placement) -> Placement:
        """The placement with what serves in its stead: its own rules and dials over others' sources."""
        chain = self._chains.get(name)
        if chain is None:
            return placement
        substitutes = []
        for place, other in enumerate(chain):
            path = f"placements.{name}.{FALLBACK}[{place}]"
            if other == name or (other not in self._done and other not in CANDIDATE_SOURCES):
                known = [each for each in (*self._done, *CANDIDATE_SOURCES) if each != name]
                self._faults.unknown(path, other, known, "other placement and no source")
            elif other in self._done:
                like = self._done[other]
                substitutes.append(
                    replace(placement, sources=like.sources, ranker=like.ranker, anchor=like.anchor, fallback="")
                )
            else:
                substitutes.append(replace(placement, sources={other: 1.0}, ranker="", anchor="none", fallback=""))
        return replace(placement, substitutes=tuple(substitutes), fallback="")


def _page(name: str, table: Mapping[str, Any], placements: Mapping[str, Placement], faults: Faults) -> Page:
    path = f"pages.{name}"
    for key in table:
        if key != "placements":
            faults.unknown(f"{path}.{key}", key, ("placements",))
    chosen = names(table.get("placements", []), f"{path}.placements", faults)
    if not 1 <= len(chosen) <= MAX_LISTS_PER_PAGE:
        faults.refuse(f"{path}.placements", list(chosen), f"1 to {MAX_LISTS_PER_PAGE} names of placements")
    for place, placement in enumerate(chosen):
        if placement not in placements:
            faults.unknown(f"{path}.placements[{place}]", placement, tuple(placements), "placement")
    return Page(name, chosen)


def _tables(value: Any, path: str, faults: Faults) -> dict[str, Mapping[str, Any]]:
    """The named tables of a table; whatever is none is told."""
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
