"""One vector per item from purchases and content, for cold items too, and lists of similar items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.core.config.ranges import PositiveFloat, PositiveInt, Share
from recsys.core.ids import NO_ITEM
from recsys.data.catalog import Catalog
from recsys.models.arrays import MIN_LENGTH, normalize_rows
from recsys.search.vector_index import nearest


@dataclass(frozen=True)
class HybridConfig:
    """Settings of the hybrid embedding.

    Attributes:
        n_neighbors: warm neighbors from which the factors of an item with few sales are imputed.
        similarity_power: exponent of the cosine that is a neighbor's weight.
        warm_buyers: buyers at which an item's own factors and the imputed ones have the same weight.
        content_share: weight of the content in the cosine of two items.
        same_type_share: weight of having the same product type in the score of similar items.
        n_similar: items kept in each list of similar items.
    """

    n_neighbors: PositiveInt = 50
    similarity_power: PositiveFloat = 4.0
    warm_buyers: PositiveFloat = 5.0
    content_share: Share = 0.7
    same_type_share: Share = 0.3
    n_similar: PositiveInt = 100


@dataclass(frozen=True)
class HybridModel:
    """Embeddings of all items.

    Attributes:
        vectors: float32 (n_items, n_factors), in the space of the user factors: a mean of an item's own factors and
            those of items with similar content, weighted by its number of buyers.
        similar_idx: int32 (n_items, n_similar), possible replacements of each item, best first, -1 past the end.
        similar_score: float32 (n_items, n_similar), their scores, in [0, 1], 0 past the end.
    """

    vectors: npt.NDArray[np.float32]
    similar_idx: npt.NDArray[np.int32]
    similar_score: npt.NDArray[np.float32]


def fit_hybrid(
    item_factors: npt.NDArray[np.float32],
    content: npt.NDArray[np.float32],
    n_buyers: npt.NDArray[np.int32],
    catalog: Catalog,
    config: HybridConfig,
    *,
    with_similar: bool = True,
) -> HybridModel:
    """Complete the factors of items with few buyers from items with similar content, and list similar items.

    `f_i = (n_i·f_i + κ·Σ_j s_ij^p f_j / Σ_j s_ij^p) / (n_i + κ)` over the nearest warm items j, with `s` the cosine of
    their content and `n` the number of buyers.

    Args:
        item_factors: float32 (n_items, n_factors), zero for cold items.
        content: float32 (n_items, n_dimensions), rows of length 1 or 0.
        n_buyers: int32 (n_items,), distinct buyers of each item.
        catalog: types and categories.
        config: settings.
        with_similar: whether to list similar items, the slowest part; without it the lists are empty.

    Returns:
        The model.
    """
    factors = _complete_factors(item_factors, content, n_buyers, config)
    if not with_similar:
        shape = (len(factors), config.n_similar)
        nothing = np.broadcast_to(np.int32(NO_ITEM), shape), np.broadcast_to(np.float32(0), shape)
        return HybridModel(factors, *nothing)
    similar_idx, similar_score = _list_similar(factors, content, catalog, config)
    return HybridModel(factors, similar_idx, similar_score)


def _complete_factors(
    item_factors: npt.NDArray[np.float32],
    content: npt.NDArray[np.float32],
    n_buyers: npt.NDArray[np.int32],
    config: HybridConfig,
) -> npt.NDArray[np.float32]:
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
    """Impute the vectors of items without buyers; equal to what `fit_hybrid` computes for them.

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
    return np.einsum("ij,ijk->ik", weight, item_factors[warm[neighbor]]).astype(np.float32)


def _list_similar(
    factors: npt.NDArray[np.float32],
    content: npt.NDArray[np.float32],
    catalog: Catalog,
    config: HybridConfig,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """List the nearest items of each item, from its own category if that is large enough, else from all items."""
    n_items = len(factors)
    shares = (1 - config.content_share, config.content_share)
    joint = np.hstack([np.sqrt(shares[0]) * normalize_rows(factors), np.sqrt(shares[1]) * content])
    idx = np.full((n_items, config.n_similar), NO_ITEM, np.int32)
    score = np.zeros((n_items, config.n_similar), np.float32)
    everything = np.arange(n_items)
    category = catalog.item_category
    size = np.bincount(category + 1, minlength=1)[category + 1]
    own_block = (category >= 0) & (size > config.n_similar)
    for block in _groups(category, own_block):
        _fill(idx, score, joint, block, block, catalog, config)
    rest = np.flatnonzero(~own_block)
    if len(rest):
        _fill(idx, score, joint, rest, everything, catalog, config)
    return idx, score


def _groups(label: npt.NDArray[np.int32], chosen: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    rows = np.flatnonzero(chosen)
    order = rows[np.argsort(label[rows], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(order) else []


def _fill(
    idx: npt.NDArray[np.int32],
    score: npt.NDArray[np.float32],
    joint: npt.NDArray[np.float32],
    queries: npt.NDArray[np.int64],
    pool: npt.NDArray[np.int64],
    catalog: Catalog,
    config: HybridConfig,
) -> None:
    """Write the lists of `queries` with items of `pool`, ordered by cosine and product type."""
    k = min(2 * config.n_similar + 1, len(pool))
    cosine, neighbor = nearest(joint[pool], joint[queries], k)
    near = np.where(neighbor >= 0, pool[neighbor], NO_ITEM).astype(np.int32)
    types = catalog.item_type
    same_type = (types[near] == types[queries, None]) & (types[queries, None] >= 0)
    blended = (1 - config.same_type_share) * cosine + config.same_type_share * same_type
    blended[(near == queries[:, None]) | (near < 0) | (cosine <= MIN_LENGTH)] = 0
    order = np.argsort(-blended, axis=1, kind="stable")[:, : config.n_similar]
    top_score = np.take_along_axis(blended, order, axis=1)
    idx[queries, : order.shape[1]] = np.where(top_score > 0, np.take_along_axis(near, order, axis=1), NO_ITEM)
    score[queries, : order.shape[1]] = top_score
