"""Purchases of a user, grouped by item or by product type and ordered by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.retrieval.user_state import UserState

Column = npt.NDArray[np.floating | np.integer]


@dataclass(frozen=True)
class PurchaseRuns:
    """A user's purchases, one per label and basket, sorted by label and then by time; a run has one label.

    Attributes:
        label: int32 (n_runs,), items or product types, distinct and ascending.
        starts: int64 (n_runs,), where each run begins.
        timestamp: int64 (n,), seconds since 1970.
        line: int32 (n,), label of each purchase.
    """

    label: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    timestamp: npt.NDArray[np.int64]
    line: npt.NDArray[np.int32]

    @classmethod
    def of_items(cls, state: UserState) -> PurchaseRuns:
        """Group a user's purchases by item."""
        bought = state.bought
        return cls._sorted(bought.item_idx, bought.timestamp, bought.basket_idx)

    @classmethod
    def _sorted(
        cls, label: npt.NDArray[np.int32], timestamp: npt.NDArray[np.int64], basket: npt.NDArray[np.int32] | None = None
    ) -> PurchaseRuns:
        order = np.argsort(label, kind="stable")
        line, when = label[order], timestamp[order]
        if basket is not None and len(line):
            of_basket = basket[order]
            kept = np.concatenate([[True], (line[1:] != line[:-1]) | (of_basket[1:] != of_basket[:-1])])
            line, when = line[kept], when[kept]
        starts = np.flatnonzero(np.concatenate([line[:1] == line[:1], line[1:] != line[:-1]]))
        return cls(line[starts], starts, when, line)

    def by(self, group: npt.NDArray[np.int32]) -> PurchaseRuns:
        """Group the same purchases by another label; purchases with an unknown label (-1) are left out.

        Args:
            group: int32 (n_items,), label of each item of the shop.
        """
        label = group[self.line]
        order = np.argsort(self.timestamp, kind="stable")
        order = order[label[order] >= 0]
        return PurchaseRuns._sorted(label[order], self.timestamp[order])

    def __len__(self) -> int:
        return len(self.label)

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Length of each run, int64 (n_runs,)."""
        return np.diff(self.starts, append=len(self.timestamp))

    def summed(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Sum values over each run.

        Args:
            values: (n,), one per purchase.

        Returns:
            (n_runs,).
        """
        return np.add.reduceat(values, self.starts)

    def spread(self, columns: list[Column], rows: npt.NDArray[np.int32], empty: list[float]) -> npt.NDArray[np.float32]:
        """Copy the values of runs to rows with the same label.

        Args:
            columns: values of the runs, (n_runs,) each.
            rows: int32 (n_rows,), labels.
            empty: one value per column for rows without a run.

        Returns:
            float32 (n_rows, n_columns).
        """
        stacked = np.empty((len(self) + 1, len(columns)), np.float32)
        stacked[-1] = empty
        for number, column in enumerate(columns):
            stacked[:-1, number] = column
        position = np.minimum(self.label.searchsorted(rows), len(self) - 1)
        return stacked[np.where(self.label[position] == rows, position, len(self))]
