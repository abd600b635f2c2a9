"""Compiled filters and their masks, bounded in memory; the ones used longest ago are removed first."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.shared_cache import SharedCache
from recsys.filters.filter import NOTHING, Filter, compile_filter

ENTRY_BYTES: Final = 600
"""Memory of a kept mask apart from its bits: key, links and object headers."""

Key = tuple[Hashable, str, str]
Bitmap = tuple[npt.NDArray[np.uint8], int]
"""The packed bits of a mask, and the length of its key."""


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
        self._bitmaps: SharedCache[Key, Bitmap] = SharedCache(max_bytes, _size)

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
        items: pl.DataFrame,
        version: Hashable,
        user: Mapping[str, Any] = NOTHING,
        context: Mapping[str, Any] = NOTHING,
    ) -> npt.NDArray[np.bool_]:
        """Return the items that pass a filter, as `Filter.mask`.

        Args:
            text: the filter.
            items: one row per item.
            version: identifies the state of `items`: another one whenever a row or a column has changed.
            user: attributes by name.
            context: values of the request by name.

        Returns:
            bool (n_items,), a copy that the caller may change.

        Raises:
            FilterError: as `compile_filter` and `Filter.mask`.
        """
        kept = self._filters.get(text) or self._compile(text, items.schema)
        values = kept.bind(user, context)
        # By repr, because true, 1 and 1.0 are one key to a dict and three values to a filter.
        key = (version, text, repr(values))
        bitmap = self._bitmaps.get(key)
        if bitmap is not None:
            return np.unpackbits(bitmap[0], count=items.height).view(np.bool_)
        mask = self.compiled(text, items.schema).evaluate(items, values)
        self._bitmaps.put(key, (np.packbits(mask), len(key[2])))
        return mask

    def _compile(self, text: str, schema: Mapping[str, pl.DataType]) -> Filter:
        compiled = compile_filter(text, schema)
        self._filters.put(text, compiled)
        return compiled


def _size(bitmap: Bitmap) -> int:
    bits, key_length = bitmap
    return bits.nbytes + key_length + ENTRY_BYTES
