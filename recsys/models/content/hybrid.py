"""One vector per item from purchases and content, for cold items too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.config.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, Share
from recsys.models.arrays import MIN_LENGTH
from recsys.search.vector_index import nearest


@dataclass(frozen=True)
class HybridConfig:
    """Settings of the hybrid embedding.

    Attributes:
        n_neighbors: warm neighbors from which the factors of an item with few sales are imputed.
        similarity_power: exponent of the cosine that is a neighbor's weight.
        warm_buyers: buyers at which an item's own factors and the imputed ones have the same weight.
        n_relatives: sold items with the most similar content whose buyers count for an item with few of its own.
        relative_power: exponent of the cosine that is a relative's weight.
        common_weight: weight of the common buyers of two items, relative to the cosine of their content.
        common_buyers_shrinkage: buyers that an item with few of them is taken to have more, in common buyers.
        demand_weight: weight of the demand for an item, relative to common buyers; decides between equally alike items.
        same_type_share: weight of having the same product type in the score of similar items.
        n_similar: items kept in each list of similar items.
    """

    n_neighbors: PositiveInt = 50
    similarity_power: PositiveFloat = 4.0
    warm_buyers: PositiveFloat = 5.0
    n_relatives: PositiveInt = 100
    relative_power: PositiveFloat = 3.0
    common_weight: NonNegativeFloat = 2.0
    common_buyers_shrinkage: PositiveFloat = 5.0
    demand_weight: NonNegativeFloat = 0.15
    same_type_share: Share = 0.3
    n_similar: PositiveInt = 100


@dataclass(frozen=True)
class FeatureWeights:
    """Weights of the features, relative to those of the content model.

    Attributes:
        weight: float32 (n_features,), > 0.
        name: of the choice, `prior` if nothing was certainly better.
        gain: relative gain over the prior on the shop's own items, 0 for the prior.
    """

    weight: npt.NDArray[np.float32]
    name: str
    gain: float

    @classmethod
    def prior(cls, n_features: int) -> FeatureWeights:
        """Return the weights of the content model."""
        return cls(np.ones(n_features, np.float32), "prior", 0.0)


@dataclass(frozen=True)
class HybridModel:
    """Embeddings of all items.

    Attributes:
        vectors: float32 (n_items, n_factors), in the space of the user factors: a mean of an item's own factors and
            those of items with similar content, weighted by its number of buyers.
        similar_idx: int32 (n_items, n_similar), possible replacements of each item, best first, -1 past the end.
        similar_score: float32 (n_items, n_similar), their scores, in [0, 1], 0 past the end.
        feature_weights: weights of the content features in these scores.
    """

    vectors: npt.NDArray[np.float32]
    similar_idx: npt.NDArray[np.int32]
    similar_score: npt.NDArray[np.float32]
    feature_weights: FeatureWeights


def complete_factors(
    item_factors: npt.NDArray[np.float32],
    content: npt.NDArray[np.float32],
    n_buyers: npt.NDArray[np.int32],
    config: HybridConfig,
) -> npt.NDArray[np.float32]:
    """Complete the factors of items with few buyers from items with similar content.

    `f_i = (n_i·f_i + κ·Σ_j s_ij^p f_j / Σ_j s_ij^p) / (n_i + κ)` over the nearest warm items j, with `s` the cosine of
    their content and `n` the number of buyers.

    Args:
        item_factors: float32 (n_items, n_factors), zero for cold items.
        content: float32 (n_items, n_dimensions), rows of length 1 or 0.
        n_buyers: int32 (n_items,), distinct buyers of each item.
        config: settings.

    Returns:
        float32 (n_items, n_factors).
    """
    k = config.warm_buyers
    warm = np.flatnonzero(n_buyers >= k)
    cold = np.flatnonzero((n_buyers < 4 * k) & (np.linalg.norm(content, axis=1) > MIN_LENGTH))
    if not len(warm) or not len(cold):
        return item_factors
    imputed = _impute(item_factors, content, warm, content[cold], config, cold)
    own = n_buyers[cold, None].astype(np.float32)
    factors = item_factors.copy()
    factors[cold] = (own * item_factors[cold] + k * imputed) / (own + k)
    return factors


def impute_factors(
    item_factors: npt.NDArray[np.float32],
    content: npt.NDArray[np.float32],
    n_buyers: npt.NDArray[np.int32],
    new_content: npt.NDArray[np.float32],
    config: HybridConfig,
) -> npt.NDArray[np.float32]:
    """Impute the vectors of items without buyers; equal to what `complete_factors` computes for them.

    Args:
        item_factors: float32 (n_items, n_factors).
        content: float32 (n_items, n_dimensions).
        n_buyers: int32 (n_items,).
        new_content: float32 (n_new, n_dimensions), content of the new items.
        config: settings.

    Returns:
        float32 (n_new, n_factors), zeros for items that resemble no warm item.
    """
    warm = np.flatnonzero(n_buyers >= config.warm_buyers)
    if not len(warm) or not len(new_content):
        return np.zeros((len(new_content), item_factors.shape[1]), np.float32)
    return _impute(item_factors, content, warm, new_content, config)


def _impute(
    item_factors: npt.NDArray[np.float32],
    content: npt.NDArray[np.float32],
    warm: npt.NDArray[np.int64],
    cold_content: npt.NDArray[np.float32],
    config: HybridConfig,
    cold: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float32]:
    """Average the factors of the nearest warm items; an item that is in `cold` and warm is not its own neighbor."""
    cosine, neighbor = nearest(content[warm], cold_content, min(config.n_neighbors, len(warm)))
    weight = np.maximum(cosine, 0) ** config.similarity_power
    if cold is not None:
        weight[warm[neighbor] == cold[:, None]] = 0
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    ends = np.arange(len(weight) + 1) * weight.shape[1]
    mean = sparse.csr_matrix((weight.ravel(), np.maximum(neighbor, 0).ravel(), ends), shape=(len(weight), len(warm)))
    return np.asarray(mean @ item_factors[warm], np.float32)
