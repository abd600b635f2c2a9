"""Array-like objects whose rows are built when they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]


class RowArray(ABC):
    """A read-only array that is indexed by rows, and then by columns."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape, as of an array."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries."""

    @abstractmethod
    def rows(self, rows: npt.NDArray[np.integer]) -> Numbers:
        """Build some rows.

        Args:
            rows: integer, >= 0, of any shape.

        Returns:
            An array of the shape of `rows`, followed by that of a row.
        """

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Numbers:
        rows, *columns = key if isinstance(key, tuple) else (key,)
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        if not columns:
            return self.rows(np.asarray(rows))
        if isinstance(columns[0], slice):
            return self.rows(np.asarray(rows))[..., columns[0]]
        rows, column = np.broadcast_arrays(rows, columns[0])
        return np.take_along_axis(self.rows(rows), column[..., None], axis=-1)[..., 0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Numbers:
        return np.asarray(self[:], dtype)
