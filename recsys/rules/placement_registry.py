"""All placements and pages of a shop, and the check of their filters against the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import polars as pl

from recsys.core.errors import ConfigError, ConfigFault, FilterError
from recsys.core.placements import PLACEMENTS, Page, Placement
from recsys.filters.filter import compile_filter
from recsys.rules.list_variants import ListVariants

NO_PAGES: Final[Mapping[str, Page]] = MappingProxyType({})


@dataclass(frozen=True)
class PlacementRegistry:
    """What a shop's lists are.

    Attributes:
        placements: by name, those that are built in too.
        pages: by name.
        variants: the lists of experiments; None without any.
    """

    placements: Mapping[str, Placement] = field(default_factory=lambda: PLACEMENTS)
    pages: Mapping[str, Page] = field(default_factory=lambda: NO_PAGES)
    variants: ListVariants | None = None

    def faults(self, schema: Mapping[str, pl.DataType]) -> list[ConfigFault]:
        """Returns the errors of the filters for a catalog with these columns; each names its key and the position."""
        found = []
        for path, placement in self._paths():
            for key, text in placement.filters:
                try:
                    compile_filter(text, schema)
                except FilterError as error:
                    found.append(ConfigFault(f"{path}.{key}", f"'{path}.{key}': {error}", text))
        return found

    def _paths(self) -> Iterator[tuple[str, Placement]]:
        """Every definition with its key in its file."""
        for placement in self.placements.values():
            yield f"placements.{placement.name}", placement
        if self.variants is not None:
            for (experiment, variant, name), placement in self.variants.variants.items():
                yield f"experiments.{experiment}.variants.{variant}.placements.{name}", placement

    def check(self, schema: Mapping[str, pl.DataType]) -> None:
        """Checks every filter against the columns of a catalog.

        Raises:
            ConfigError: naming every filter that does not fit.
        """
        if found := self.faults(schema):
            raise ConfigError("; ".join(fault.message for fault in found), found)


BUILT_IN: Final = PlacementRegistry()
