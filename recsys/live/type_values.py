"""What is expected of an item without sales from the items of its product type."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import UNKNOWN

MIN_SHARE: Final = 1e-9


class TypeMeans:
    """Means of one value per item over the items of each type.

    Args:
        values: float32 (n_items, …).
        types: int32 (n_items,), -1 for unknown.
        default: value of types without items; the mean of all if not given.
    """

    def __init__(
        self, values: npt.NDArray[np.float32], types: npt.NDArray[np.int32], default: float | None = None
    ) -> None:
        n_types = int(types.max(initial=-1)) + 2
        columns = values.reshape(len(values), int(np.prod(values.shape[1:])))
        count = np.bincount(types + 1, minlength=n_types)
        sums = np.column_stack([np.bincount(types + 1, column, n_types) for column in columns.T])
        otherwise = default if default is not None else columns.mean(axis=0) if len(columns) else 1.0
        known = (count > 0) & (np.arange(n_types) > 0)
        means = np.where(known[:, None], sums / np.maximum(count, 1)[:, None], otherwise)
        self._means = means.astype(np.float32).reshape(-1, *values.shape[1:])

    def of(self, type_: int) -> npt.NDArray[Any]:
        """Return the mean of a type, float32 (…); the default for a type without items and for -1."""
        return self._means[type_ + 1 if type_ + 1 < len(self._means) else 0]


class TypeShares:
    """Shares of sales by type.

    Args:
        share: float32 (n_items,), of all sales.
        types: int32 (n_items,), -1 for unknown.
    """

    def __init__(self, share: npt.NDArray[np.float32], types: npt.NDArray[np.int32]) -> None:
        n_types = int(types.max(initial=-1)) + 1
        self._totals = np.bincount(types + 1, share, n_types + 1)[1:]
        order = np.lexsort((share, types))
        starts = types[order].searchsorted(np.arange(n_types + 1))
        middle = np.minimum((starts[:-1] + starts[1:]) // 2, len(order) - 1)
        self._medians = share[order[middle]] if len(order) else np.zeros(n_types, np.float32)

    def expected(self, type_: int) -> float:
        """Return the expected share of all sales of a new item of a type: the median of the type; 0 for -1."""
        if type_ == UNKNOWN:
            return 0.0
        return max(float(self._medians[type_]), MIN_SHARE) if type_ < len(self._medians) else MIN_SHARE

    def within(self, share: float, type_: int) -> float:
        """Return an item's share of its type's sales, in [0, 1], if it was not of the type before; 0 for -1."""
        if type_ == UNKNOWN:
            return 0.0
        total = float(self._totals[type_]) if type_ < len(self._totals) else 0.0
        return share / max(total + share, 1e-12)
