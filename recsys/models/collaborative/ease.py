"""EASE: a closed-form linear item-item model of the best-selling items, from purchases and content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import sparse
from scipy.linalg.lapack import dpotrf, dpotri

from recsys.core.config.ranges import NonNegativeFloat, PositiveFloat, PositiveInt
from recsys.core.errors import DataError
from recsys.core.ids import NO_ITEM
from recsys.core.topk import top_k
from recsys.kernels.candidates import sum_weights

MAX_ITEMS: Final = 32_767
"""Items that the model covers at most: rows are numbers of two bytes, and the fit takes the cube of them."""


@dataclass(frozen=True)
class EASEConfig:
    """Settings of the linear model.

    Attributes:
        n_items: items with the most buyers that the model covers; the cost grows with the cube.
        regularization: weight of the penalty on the squares of the weights, in mean squares of an entry of the matrix.
        n_neighbors: largest weights kept per item.
        content_weight: weight of the items' content, relative to their purchases.
    """

    n_items: Annotated[int, Meta(ge=1, le=MAX_ITEMS)] = 4000
    regularization: PositiveFloat = 400.0
    n_neighbors: PositiveInt = 600
    content_weight: NonNegativeFloat = 0.2


@dataclass(frozen=True)
class EASEModel:
    """Weights between items.

    Attributes:
        row_of: int32 (n_items,), row of each item in the arrays below, -1 for items outside the model.
        items: int32 (n_known,), the item of each row, ascending.
        neighbor: int16 (n_known, n_neighbors), rows of the neighbors of each item, -1 past the end.
        weight: float32 (n_known, n_neighbors), weight of each neighbor, of either sign, 0 past the end.
    """

    row_of: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    neighbor: npt.NDArray[np.int16]
    weight: npt.NDArray[np.float32]

    def score(
        self, item_idx: npt.NDArray[np.int32], n_times: npt.NDArray[np.number]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Score the neighbors of a user's items: `s_j = Σ_i ln(1 + n_i)·B_ij`.

        Args:
            item_idx: int32 (n,), the user's items, distinct.
            n_times: (n,), how often each was bought, > 0.

        Returns:
            Rows with a score above 0, int32, ascending, and their scores, float32; both empty if the model has none
            of the user's items.
        """
        row = self.row_of[item_idx]
        known = row >= 0
        factor = np.log1p(n_times[known]).astype(np.float32)
        found, score = sum_weights(self.neighbor, self.weight, row[known], factor)
        return self.items[found], score


def fit_ease(user_items: sparse.csr_matrix, config: EASEConfig, features: sparse.csr_matrix | None = None) -> EASEModel:
    """Fit EASE on `X = ln(1 + n)` and on content, and keep the largest weights of each item.

    The weights reconstruct purchases and content at once: `G = XᵀX + γ·D·F·Fᵀ·D` replaces `XᵀX`, with `F` the features,
    `D² = diag(XᵀX)` and `γ` the content weight. An item of many buyers relies on them as much as before, relative to
    its content. The penalty `λ` is a multiple of the mean square of the entries of `X`, so that shops whose users buy
    an item once and shops whose users buy it many times have comparable settings.

    Args:
        user_items: (n_users, n_items), how often each user bought each item.
        config: settings.
        features: (n_items, n_features), rows of length 1 or 0; None for purchases alone.

    Returns:
        The model; it has no items unless two items have more than one user each.

    Reference:
        Steck (2019), Embarrassingly Shallow Autoencoders for Sparse Data, WWW; Jeunen, Van Balen & Goethals (2020),
        Closed-Form Models for Collaborative Filtering with Side-Information, RecSys. Deviations: the features of an
        item are scaled by its purchases, and the weights are truncated after solving.

    >>> bought = sparse.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 1, 1]]))
    >>> model = fit_ease(bought, EASEConfig(regularization=0.1))
    >>> model.score(np.array([0], np.int32), np.array([1]))[0]
    array([1], dtype=int32)
    """
    known = known_items(count_buyers(user_items), config.n_items)
    return ease_of(gram_of(user_items, known), known, user_items.shape[1], config, features)


@dataclass(frozen=True)
class Gram:
    """Products of columns of `X = ln(1 + n)`; those of several groups of users can be added.

    Attributes:
        products: float64 (n_known, n_known), `XᵀX`.
        n_entries: number of entries of `X`.
    """

    products: npt.NDArray[np.float64]
    n_entries: int


def count_buyers(user_items: sparse.csr_matrix) -> npt.NDArray[np.int64]:
    """Count the users of each item, int64 (n_items,)."""
    return np.bincount(user_items.indices, minlength=user_items.shape[1])


def known_items(n_buyers: npt.NDArray[np.int64], n_items: int) -> npt.NDArray[np.int64]:
    """Return the `n_items` items with the most buyers, of those with several, int64, ascending."""
    known = np.argsort(-n_buyers, kind="stable")[:n_items]
    return np.sort(known[n_buyers[known] > 1])


def gram_of(user_items: sparse.csr_matrix, known: npt.NDArray[np.int64]) -> Gram:
    """Multiply the columns of the known items for some users or for all; see `fit_ease`."""
    x = user_items[:, known].log1p()
    return Gram(np.asarray((x.T @ x).todense(), np.float64), x.nnz)


def ease_of(
    gram: Gram,
    known: npt.NDArray[np.int64],
    n_items: int,
    config: EASEConfig,
    features: sparse.csr_matrix | None = None,
) -> EASEModel:
    """Return the model of the products of all users; see `fit_ease`.

    Args:
        gram: products of the known items.
        known: int64, ascending, rows of the items.
        n_items: number of all items.
        config: settings.
        features: (n_items, n_features), rows of length 1 or 0; None for purchases alone.
    """
    row_of = np.full(n_items, NO_ITEM, np.int32)
    row_of[known] = np.arange(len(known))
    width = min(config.n_neighbors, max(len(known) - 1, 1))
    neighbor = np.full((len(known), width), NO_ITEM, np.int16)
    weight = np.zeros((len(known), width), np.float32)
    if len(known) > 1:
        squares = gram.products.diagonal()
        penalty = config.regularization * float(squares.sum() / max(gram.n_entries, 1))
        products = gram.products
        if features is not None and config.content_weight:
            products = products + _of_content(features[known], squares, config.content_weight)
        weights = solve_ease(products, penalty).astype(np.float32)
        for row, item_weights in enumerate(weights):
            top_idx = top_k(np.abs(item_weights), width)
            top_idx = top_idx[item_weights[top_idx] != 0]
            neighbor[row, : len(top_idx)], weight[row, : len(top_idx)] = top_idx, item_weights[top_idx]
    return EASEModel(row_of, known.astype(np.int32), neighbor, weight)


def _of_content(
    features: sparse.csr_matrix, squares: npt.NDArray[np.float64], weight: float
) -> npt.NDArray[np.float64]:
    """Return the products of the features, scaled so that each item has `weight` times the squares of `X`."""
    scaled = sparse.diags_array(np.sqrt(weight * squares)) @ features
    return np.asarray((scaled @ scaled.T).todense(), np.float64)


def solve_ease(products: npt.NDArray[np.float64], regularization: float) -> npt.NDArray[np.float64]:
    """Solve `min ‖X − XB‖² + λ‖B‖²` with `diag B = 0`: `B = I − P·diag(1/diag P)`, `P = (XᵀX + λI)⁻¹`.

    Args:
        products: float64 (n_items, n_items), `XᵀX` of the matrix to reconstruct.
        regularization: λ, > 0.

    Returns:
        float64 (n_items, n_items), zero on the diagonal; row `i` has the weights of item `i` for all items.

    Raises:
        DataError: the matrix has no inverse in double precision.

    >>> solve_ease(np.ones((2, 2)), 1.0).round(6).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    gram = np.array(products, np.float64, order="F")
    gram[np.diag_indices_from(gram)] += regularization
    factor, failed = dpotrf(gram, lower=1, overwrite_a=1)
    precision, _ = dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise DataError(f"the linear model has no solution with ease.regularization {regularization}: raise it")
    precision = np.tril(precision) + np.tril(precision, -1).T
    weights = precision / -np.diag(precision)
    weights[np.diag_indices_from(weights)] = 0
    return np.asarray(weights)
