"""The check of a text of placements: everything that is wrong, what its rules keep, and which lists it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import polars as pl

from recsys.core.config.toml_reader import parse_toml
from recsys.core.documents import Place
from recsys.core.errors import ConfigError, ConfigFault, FilterError
from recsys.core.placements import Placement
from recsys.experiments.state import read_experiments
from recsys.filters.filter import compile_filter
from recsys.fitting.engine import Engine
from recsys.rules.loader import parse_placements
from recsys.rules.placement_registry import PlacementRegistry
from recsys.rules.rule_effects import RuleEffect, each_effect
from recsys.rules.variant_loader import registry_of

Schema = Mapping[str, pl.DataType]
ChangeKind = Literal["added", "changed", "removed"]


@dataclass(frozen=True)
class ListChange:
    """A list or a page that differs between two definitions of a shop's lists.

    Attributes:
        name: of the list or page.
        is_page: whether it is a page.
        change: `added`, `changed` or `removed`.
    """

    name: str
    is_page: bool
    change: ChangeKind


def lists_of_text(
    text: bytes, name: str, experiments: Place | None = None, schema: Schema | None = None
) -> PlacementRegistry:
    """Return the lists that a text of placements defines, with those of the shop's experiments.

    Args:
        text: TOML.
        name: of the text, for messages.
        experiments: the file of experiments, None for none.
        schema: columns of the catalog that filters are checked against; None skips the check.

    Raises:
        ConfigError: with everything that is wrong, one by one in `faults`.
    """

    def parse(document: Mapping[str, Any]) -> PlacementRegistry:
        faults = [] if schema is None else filter_faults(document, schema)
        try:
            registry = parse_placements(document)
            if not faults and experiments is not None:
                registry = registry_of(document, read_experiments(experiments))
                if schema is not None:
                    registry.check(schema)
        except ConfigError as error:
            found = error.faults or (ConfigFault("", str(error)),)
            faults = [*found, *(fault for fault in faults if fault not in found)]
        if faults:
            raise ConfigError("; ".join(fault.message for fault in faults), faults)
        return registry

    return parse_toml(text, name, parse)


def filter_faults(document: Mapping[str, Any], schema: Schema) -> list[ConfigFault]:
    """Return the errors of all filters of a parsed file, also of lists that are wrong in other ways."""
    faults = []
    for path, text in _filters(document):
        try:
            compile_filter(text, schema)
        except FilterError as error:
            faults.append(ConfigFault(path, f"{path!r}: {error}", text))
    return faults


def _filters(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tables = document.get("placements")
    for name, table in tables.items() if isinstance(tables, Mapping) else ():
        if not isinstance(table, Mapping):
            continue
        found = {"filter": table.get("filter")}
        for key in ("boosts", "promotions"):
            rules = table.get(key)
            for number, rule in enumerate(rules if isinstance(rules, list) else ()):
                if isinstance(rule, Mapping):
                    found[f"{key}[{number}].filter"] = rule.get("filter")
        yield from ((f"placements.{name}.{key}", text) for key, text in found.items() if isinstance(text, str) and text)


def changes_between(before: PlacementRegistry, after: PlacementRegistry) -> list[ListChange]:
    """Return the lists and pages that differ, in the order of the later definitions, those that are gone last."""
    pairs: list[tuple[bool, Mapping[str, Any], Mapping[str, Any]]] = [
        (False, before.placements, after.placements),
        (True, before.pages, after.pages),
    ]
    found = []
    for is_page, old, new in pairs:
        for name in {**new, **old}:
            if old.get(name) != new.get(name):
                change: ChangeKind = "changed" if name in old and name in new else "added" if name in new else "removed"
                found.append(ListChange(name, is_page, change))
    return found


def effects_of(placement: Placement, engine: Engine, latest: int) -> Iterator[RuleEffect]:
    """Count what each filter, promotion and pin of a list keeps of a catalog, one after the other.

    Args:
        placement: the list; its filters fit the catalog.
        engine: has the catalog.
        latest: the moment that `now()` of filters is, seconds since 1970.
    """
    listable = engine.listable[placement.pool]
    everything = np.ones(engine.n_items, np.bool_)
    now = datetime.fromtimestamp(latest, UTC)
    items = engine.items_table[:]  # a frame also where the table follows changes of the catalog
    yield from each_effect(placement, items, everything if listable is None else listable, now)


def order_of(placement: Placement, engine: Engine) -> str:
    """Return what orders a list for users: the best order of the shop's past, else weights; "" for other lists."""
    if placement.anchor != "user":
        return ""
    learned = getattr(engine.blends, placement.blend, None) if placement.blend else None
    if learned is not None and learned.is_fitted:
        return str(learned.order)
    if placement.ranker and getattr(engine.rankers, placement.ranker).is_fitted:
        return "ranker"
    return "weights of the file" if placement.has_own_weights else "placement weights"
