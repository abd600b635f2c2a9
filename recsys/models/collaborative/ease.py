"""A closed-form linear model between the best-selling items: which of them speak for which others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.ranges import PositiveFloat, PositiveInt
from recsys.core.topk import top_k

NO_ITEM = -1


@dataclass(frozen=True)
class EASEConfig:
    """Settings of the linear model.

    Attributes:
        n_items: items with the most buyers that the model covers; the cost grows with the cube.
        regularization: weight of the penalty on the squares of the weights.
        n_neighbors: largest weights kept per item.
    """

    n_items: PositiveInt = 4000
    regularization: PositiveFloat = 500.0
    n_neighbors: PositiveInt = 300


@dataclass(frozen=True)
class EASEModel:
    """Weights between items.

    Attributes:
        row_of: int32 (n_items,), row of each item below, -1 for items that the model does not know.
        item_idx: int32 (n_known, n_neighbors), items that each known item speaks for, -1 past the end.
        weight: float32 (n_known, n_neighbors), of either sign, 0 past the end.
    """

    row_of: npt.NDArray[np.int32]
    item_idx: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]

    def score(
        self, item_idx: npt.NDArray[np.int32], n_times: npt.NDArray[np.number]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Items that a shopper's items speak for: `s_j = Σ_i ln(1 + n_i)·B_ij`, where that is above 0.

        Args:
            item_idx: int32 (n,), the shopper's items, distinct.
            n_times: (n,), how often each was bought, > 0.

        Returns:
            Rows, int32, ascending, and scores, float32.
        """
        row = self.row_of[item_idx]
        known = row >= 0
        near = self.item_idx[row[known]].ravel()
        if not len(near):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        score = self.weight[row[known]] * np.log1p(n_times[known])[:, None]
        total = np.bincount(near + 1, score.ravel())
        found = np.flatnonzero(total[1:] > 0).astype(np.int32)
        return found, total[1:][found].astype(np.float32)


def fit_ease(user_items: sparse.csr_matrix, config: EASEConfig) -> EASEModel:
    """Solve `B = I − P·diag(1/diag P)`, `P = (XᵀX + λI)⁻¹`, on `X = ln(1 + n)`, and keep each item's largest weights.

    Args:
        user_items: (n_users, n_items), how often each shopper took each item.
        config: settings.

    Reference:
        Steck (2019), Embarrassingly Shallow Autoencoders for Sparse Data, WWW. The weights are truncated after solving.
    """
    n_buyers = np.bincount(user_items.indices, minlength=user_items.shape[1])
    known = np.argsort(-n_buyers, kind="stable")[: config.n_items]
    known = np.sort(known[n_buyers[known] > 1])
    row_of = np.full(user_items.shape[1], NO_ITEM, np.int32)
    row_of[known] = np.arange(len(known))
    width = min(config.n_neighbors, max(len(known) - 1, 1))
    item_idx = np.full((len(known), width), NO_ITEM, np.int32)
    weight = np.zeros((len(known), width), np.float32)
    if len(known) > 1:
        weights = _solve(user_items[:, known].log1p(), config.regularization)
        for row, of_item in enumerate(weights):
            best = top_k(np.abs(of_item), width)
            best = best[of_item[best] != 0]
            item_idx[row, : len(best)], weight[row, : len(best)] = known[best], of_item[best]
    return EASEModel(row_of, item_idx, weight)


def _solve(x: sparse.csr_matrix, regularization: float) -> npt.NDArray[np.float32]:
    gram = np.asarray((x.T @ x).todense(), np.float64)
    gram[np.diag_indices_from(gram)] += regularization
    precision = np.linalg.inv(gram)
    weights = precision / -np.diag(precision)
    weights[np.diag_indices_from(weights)] = 0
    return weights.astype(np.float32)
