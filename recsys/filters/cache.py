"""Compiled filters and their bitmaps, bounded in memory; those used longest ago go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.filters.filter import NOTHING, Filter, compile_filter

ENTRY_BYTES: Final = 600
"""Memory of a bitmap beside its bits: key, links and object headers."""

Key = tuple[Hashable, str, str]


class FilterCache:
    """Masks by version of the items table, filter, and what the filter reads of user and context.

    A mask that depends on the user is held for the values that it was made of, so it is shared by those users alone who
    have the same ones. Safe to call from several threads; two that miss at once both do the work.

    Args:
        max_bytes: memory to hold bitmaps in, one bit an item each; 0 holds none.
        max_filters: compiled filters to hold.
    """

    def __init__(self, max_bytes: int = 64 * 2**20, max_filters: int = 1024) -> None:
        self._room = max_bytes
        self._max_filters = max_filters
        self._filters: OrderedDict[str, Filter] = OrderedDict()
        self._bitmaps: OrderedDict[Key, npt.NDArray[np.uint8]] = OrderedDict()
        self._lock = Lock()

    def compiled(self, text: str, schema: Mapping[str, pl.DataType]) -> Filter:
        """The filter compiled for these columns.

        Raises:
            FilterError: as `compile_filter`.
        """
        held = self._held(text)
        return held if held is not None and held.schema == schema else self._compile(text, schema)

    def mask(
        self,
        text: str,
        items: pl.DataFrame,
        version: Hashable,
        user: Mapping[str, Any] = NOTHING,
        context: Mapping[str, Any] = NOTHING,
    ) -> npt.NDArray[np.bool_]:
        """The items that a filter keeps, as `Filter.mask`.

        Args:
            text: the filter.
            items: one row an item.
            version: names the state of `items`: another one whenever a row or a column has changed.
            user: attributes by name.
            context: values of the request by name.

        Returns:
            bool (n_items,), the caller's own.

        Raises:
            FilterError: as `compile_filter` and `Filter.mask`.
        """
        held = self._held(text) or self._compile(text, items.schema)
        values = held.bind(user, context)
        # By repr, because true, 1 and 1.0 are one key to a dict and three values to a filter.
        key = (version, text, repr(values))
        with self._lock:
            bitmap = self._bitmaps.get(key)
            if bitmap is not None:
                self._bitmaps.move_to_end(key)
        if bitmap is not None:
            return np.unpackbits(bitmap, count=items.height).view(np.bool_)
        mask = self.compiled(text, items.schema).evaluate(items, values)
        self._hold(key, np.packbits(mask))
        return mask

    def _held(self, text: str) -> Filter | None:
        with self._lock:
            held = self._filters.get(text)
            if held is not None:
                self._filters.move_to_end(text)
            return held

    def _compile(self, text: str, schema: Mapping[str, pl.DataType]) -> Filter:
        compiled = compile_filter(text, schema)
        with self._lock:
            self._filters[text] = compiled
            if len(self._filters) > self._max_filters:
                self._filters.popitem(last=False)
        return compiled

    def _hold(self, key: Key, bitmap: npt.NDArray[np.uint8]) -> None:
        with self._lock:
            if key in self._bitmaps:
                return
            self._bitmaps[key] = bitmap
            self._room -= _size(key, bitmap)
            while self._room < 0:
                self._room += _size(*self._bitmaps.popitem(last=False))


def _size(key: Key, bitmap: npt.NDArray[np.uint8]) -> int:
    return bitmap.nbytes + len(key[2]) + ENTRY_BYTES
