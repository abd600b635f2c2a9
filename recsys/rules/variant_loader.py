"""Reads the placements of a shop together with its experiments: the lists of each variant, and promoted winners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import polars as pl

from recsys.core.config.toml_reader import read_toml
from recsys.core.documents import Place
from recsys.core.errors import ConfigError
from recsys.core.placements import Placement
from recsys.experiments.assignment import RunningExperiment
from recsys.experiments.state import ExperimentBook, read_experiments
from recsys.rules.list_variants import ListVariants, VariantKey
from recsys.rules.loader import EXTENDS, parse_placements
from recsys.rules.placement_registry import PlacementRegistry


def read_with_experiments(
    placements: Place | None, experiments: Place, schema: Mapping[str, pl.DataType] | None = None
) -> PlacementRegistry:
    """Read a file of placements and a file of experiments with its states.

    Args:
        placements: None for the built-in lists.
        experiments: TOML file of experiments.
        schema: columns of the catalog that all filters are checked against; None skips the check.

    Raises:
        ConfigError: a file cannot be read; or with everything that is wrong with it.
    """
    book = read_experiments(experiments)
    document: Mapping[str, Any] = {} if placements is None else read_toml(placements, dict)
    try:
        registry = registry_of(document, book)
        if schema is not None:
            registry.check(schema)
    except ConfigError as error:
        raise ConfigError(f"{placements or 'placements'} with {experiments}: {error}") from None
    return registry


def check_lists(placements: Place | None, book: ExperimentBook) -> PlacementRegistry:
    """Refuse a state of experiments whose lists cannot be served with any bundle; return the lists.

    Raises:
        ConfigError: with everything that is wrong, except in filters.
    """
    return registry_of({} if placements is None else read_toml(placements, dict), book)


def registry_of(document: Mapping[str, Any], book: ExperimentBook) -> PlacementRegistry:
    """Return the lists of a parsed file of placements with those of all experiments.

    The lists of drafts and of ended experiments are read too: a fault is found before the start.

    Raises:
        ConfigError: with everything that is wrong, except in filters.
    """
    original = parse_placements(document)
    winners = _winners(book)
    promoted = {name: _under("promoted", name) for name in winners}
    tables = {
        **document.get("placements", {}),
        **{promoted[name]: {EXTENDS: name, **changes} for name, changes in winners.items()},
    }
    keys: dict[str, VariantKey] = {}
    for definition in book.file.experiments.values():
        for variant in definition.variants:
            for name, changes in variant.placements.items():
                key = _under("experiments", definition.name, "variants", variant.name, "placements", name)
                keys[key] = (definition.name, variant.name, name)
                if name not in original.placements:
                    known = ", ".join(original.placements)
                    raise ConfigError(f"{key!r} changes a list that does not exist: there are {known}")
                if EXTENDS in changes:
                    raise ConfigError(f"'{key}.{EXTENDS}' is {changes[EXTENDS]!r}: a variant changes the list it names")
                tables[key] = {EXTENDS: promoted.get(name, name), **changes}
    placements = _parse({**document, "placements": tables})
    variants = {key: replace(placements[hidden], name=key[2]) for hidden, key in keys.items()}
    served = {name: replace(placements[hidden], name=name) for name, hidden in promoted.items()}
    running = book.running()
    lists = ListVariants(
        _by_placement(each for each in running if not each.definition.bundles),
        MappingProxyType(variants),
        MappingProxyType({name: original.placements[name] for name in served}),
        book.file.holdout,
        tuple(each for each in running if each.definition.bundles),
        tuple(each for each in running if each.definition.has_plans),
    )
    return PlacementRegistry(MappingProxyType({**original.placements, **served}), original.pages, lists)


def _winners(book: ExperimentBook) -> dict[str, dict[str, Any]]:
    """The changed keys of each list by all promoted winners; a later winner's keys replace an earlier one's."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for definition, winner in book.promoted():
        variant = definition.variant(winner)
        for name, changes in () if variant is None else variant.placements.items():
            found[name].update(changes)
    return found


def _by_placement(running: Iterable[RunningExperiment]) -> Mapping[str, tuple[RunningExperiment, ...]]:
    found: dict[str, list[RunningExperiment]] = defaultdict(list)
    for experiment in running:
        for name in experiment.definition.placements:
            found[name].append(experiment)
    return MappingProxyType({name: tuple(each) for name, each in found.items()})


def _parse(document: Mapping[str, Any]) -> Mapping[str, Placement]:
    try:
        return parse_placements(document).placements
    except ConfigError as error:
        message = str(error)
        for top in ("experiments", "promoted"):
            message = message.replace(f"placements.{top}.", f"{top}.")
        raise ConfigError(message) from None


def _under(*parts: str) -> str:
    return ".".join(parts)
