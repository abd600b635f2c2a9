"""Probability of an item given the type or category of another, for pairs that are too rare to count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.data.catalog import Catalog
from recsys.data.incidence import incidence
from recsys.models.arrays import shrink


@dataclass(frozen=True)
class Backoff:
    """Conditional probabilities, from broad to narrow.

    Attributes:
        share: float64 (n_items,), share of baskets that contain the item.
        type_pairs: float32 CSR (n_types, n_items), weight of baskets that contain the item and an item of the type.
        type_weight: float64 (n_types,), weight of the type's items.
        category_pairs: float32 CSR (n_categories, n_items), the same for categories.
        category_weight: float64 (n_categories,), weight of the category's items.
        type_category: int32 (n_types,), -1 for types without a category.
        type_shrinkage: pseudo-weight of the prior of a type.
        category_shrinkage: pseudo-weight of the prior of a category.
    """

    share: npt.NDArray[np.float64]
    type_pairs: sparse.csr_matrix
    type_weight: npt.NDArray[np.float64]
    category_pairs: sparse.csr_matrix
    category_weight: npt.NDArray[np.float64]
    type_category: npt.NDArray[np.int32]
    type_shrinkage: float
    category_shrinkage: float

    def given_type(self, type_: int, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Estimate `P(j | type)` of some items: type shrunk to category, category shrunk to the share.

        Args:
            type_: row of the type, -1 for an unknown type.
            rows: integer (n,), rows of the items.

        Returns:
            float64 (n,); the share of each item for type -1.
        """
        prior = self.share[rows]
        if type_ < 0:
            return prior
        category = int(self.type_category[type_])
        if category >= 0:
            of_category = _entries(self.category_pairs, category, rows)
            prior = shrink(of_category, self.category_weight[category], prior, self.category_shrinkage)
        return shrink(_entries(self.type_pairs, type_, rows), self.type_weight[type_], prior, self.type_shrinkage)

    def partners(self, type_: int) -> npt.NDArray[np.int32]:
        """List the items that shared baskets with items of the type, or with its category if none did.

        Args:
            type_: row of the type, -1 for an unknown type.

        Returns:
            int32, ascending; empty for type -1 and where neither the type nor the category has a pair.
        """
        if type_ < 0:
            return np.empty(0, np.int32)
        of_type = _columns(self.type_pairs, type_)
        category = int(self.type_category[type_])
        return of_type if len(of_type) or category < 0 else _columns(self.category_pairs, category)


def fit_backoff(
    pairs: sparse.csr_matrix,
    weight: npt.NDArray[np.float64],
    share: npt.NDArray[np.float64],
    catalog: Catalog,
    shrinkage: tuple[float, float],
) -> Backoff:
    """Sum pairs of items by type and by category.

    Args:
        pairs: float32 CSR (n_items, n_items), weight of baskets that contain both, zero on the diagonal.
        weight: float64 (n_items,), weight of baskets that contain the item and another one.
        share: float64 (n_items,), share of baskets that contain the item.
        catalog: types and categories.
        shrinkage: pseudo-weights of the priors of a type and of a category, > 0.

    Returns:
        The model.
    """
    n_categories = int(catalog.type_category.max(initial=-1)) + 1
    to_type = _indicator(catalog.item_type, len(catalog.type_names))
    to_category = _indicator(catalog.type_category, n_categories)
    type_pairs = (to_type @ pairs).tocsr()
    type_weight = to_type @ weight
    return Backoff(
        share=share,
        type_pairs=type_pairs,
        type_weight=type_weight,
        category_pairs=(to_category @ type_pairs).tocsr(),
        category_weight=to_category @ type_weight,
        type_category=catalog.type_category,
        type_shrinkage=shrinkage[0],
        category_shrinkage=shrinkage[1],
    )


def _indicator(label: npt.NDArray[np.int32], n_labels: int) -> sparse.csr_matrix:
    member = np.flatnonzero(label >= 0)
    return incidence(label[member], member, (n_labels, len(label)))


def _columns(pairs: sparse.csr_matrix, row: int) -> npt.NDArray[np.int32]:
    return np.asarray(pairs.indices[pairs.indptr[row] : pairs.indptr[row + 1]], np.int32)


def _entries(pairs: sparse.csr_matrix, row: int, columns: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return the values of a row in some columns."""
    span = slice(pairs.indptr[row], pairs.indptr[row + 1])
    values = np.zeros(pairs.shape[1])
    values[pairs.indices[span]] = pairs.data[span]
    return values[columns]
