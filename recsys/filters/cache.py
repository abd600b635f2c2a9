"""Compiled filters and their masks, bounded in memory; the ones used longest ago are removed first."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.shared_cache import SharedCache
from recsys.filters.filter import NOTHING, Filter, compile_filter
from recsys.filters.values import Value

ENTRY_BYTES: Final = 600
"""Memory of a kept mask apart from its bits: key, links and object headers."""

Key = tuple[Hashable, str, str]


class ChangingTable(Protocol):
    """An items table whose rows change in place, in the order of their positions; see `recsys.live.live_table`."""

    @property
    def height(self) -> int:
        """Number of rows."""

    @property
    def schema(self) -> Mapping[str, pl.DataType]:
        """Columns and their types."""

    @property
    def position(self) -> int:
        """Number of changes so far."""

    @property
    def unchanged(self) -> pl.DataFrame:
        """The first rows, as they were before any change."""

    def changed_since(self, position: int) -> npt.NDArray[np.int64]:
        """Return the rows that changed after a position."""

    def take(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> pl.DataFrame:
        """Return some columns of some rows as they are now."""


@dataclass(frozen=True)
class KeptMask:
    """A mask at one position of its table.

    Attributes:
        bits: uint8, packed.
        position: of the table.
        key_length: length of its key.
    """

    bits: npt.NDArray[np.uint8]
    position: int
    key_length: int

    def unpacked(self, height: int) -> npt.NDArray[np.bool_]:
        """Return the mask of the first `height` rows; false for rows that it does not have."""
        return np.unpackbits(self.bits, count=height).view(np.bool_)


class FilterCache:
    """Masks by version of the items table, filter, and the values that the filter reads of user and context.

    A mask that depends on the user is kept for those values, so only users with equal values share it. Several threads
    may share a cache; two that miss at once both do the work.

    Args:
        max_bytes: memory for masks, one bit per item each; 0 keeps none.
        max_filters: number of compiled filters to keep.
    """

    def __init__(self, max_bytes: int = 64 * 2**20, max_filters: int = 1024) -> None:
        self._filters: SharedCache[str, Filter] = SharedCache(max_filters)
        self._masks: SharedCache[Key, KeptMask] = SharedCache(max_bytes, _size)

    def compiled(self, text: str, schema: Mapping[str, pl.DataType]) -> Filter:
        """Return the filter, compiled for these columns.

        Raises:
            FilterError: as `compile_filter`.
        """
        kept = self._filters.get(text)
        return kept if kept is not None and kept.schema == schema else self._compile(text, schema)

    def mask(
        self,
        text: str,
        items: pl.DataFrame | ChangingTable,
        version: Hashable,
        user: Mapping[str, Any] = NOTHING,
        context: Mapping[str, Any] = NOTHING,
    ) -> npt.NDArray[np.bool_]:
        """Return the items that pass a filter, as `Filter.mask`.

        Args:
            text: the filter.
            items: one row per item.
            version: identifies the state of `items`: another one whenever a row or a column has changed. For a
                `ChangingTable`, another one whenever a column has changed.
            user: attributes by name.
            context: values of the request by name.

        Returns:
            bool (n_items,), a copy that the caller may change.

        Raises:
            FilterError: as `compile_filter` and `Filter.mask`.
        """
        compiled = self.compiled(text, items.schema)
        values = compiled.bind(user, context)
        # By repr, because true, 1 and 1.0 are one key to a dict and three values to a filter.
        key = (version, text, repr(values))
        kept_mask = self._masks.get(key)
        position = 0 if isinstance(items, pl.DataFrame) else items.position
        if kept_mask is not None and kept_mask.position == position:
            return kept_mask.unpacked(items.height)
        if isinstance(items, pl.DataFrame):
            mask = compiled.evaluate(items, values)
        else:
            mask = self._followed(compiled, items, values, kept_mask)
        self._masks.put(key, KeptMask(np.packbits(mask), position, len(key[2])))
        return mask

    def _followed(
        self, compiled: Filter, items: ChangingTable, values: Mapping[str, Value], known: KeptMask | None
    ) -> npt.NDArray[np.bool_]:
        """Return the mask of a table whose rows change, from an earlier one if there is one."""
        if known is not None and known.position > items.position:
            known = None
        mask = np.zeros(items.height, np.bool_)
        if known is not None:
            mask[:] = known.unpacked(items.height)
        else:
            mask[: items.unchanged.height] = compiled.evaluate(items.unchanged, values)
        rows = items.changed_since(-1 if known is None else known.position)
        if len(rows):
            read = sorted(compiled.columns) or list(items.schema)[:1]
            mask[rows] = compiled.evaluate_columns(items.take(rows, read), values)
        return mask

    def _compile(self, text: str, schema: Mapping[str, pl.DataType]) -> Filter:
        compiled = compile_filter(text, schema)
        self._filters.put(text, compiled)
        return compiled


def _size(kept: KeptMask) -> int:
    return kept.bits.nbytes + kept.key_length + ENTRY_BYTES
