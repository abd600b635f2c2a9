"""Weights of content features, chosen by how well they find the buyers of items as if nobody had bought them yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.topk import top_k
from recsys.models.content.hybrid import FeatureWeights
from recsys.models.content.similarity import MAX_POOL, Rows, Similarity, reweighted

MAX_QUERIES: Final = 400
MIN_QUERIES: Final = 30
"""With fewer items that have buyers, nothing is learned."""

MIN_BUYERS: Final = 5
N_LISTED: Final = 10
N_FOUND: Final = 50
Z_90: Final = 1.645
CHANCE_SD: Final = 3.0
"""Items share buyers if they share two, and this many standard deviations more than chance gives."""

POWERS: Final = (1.5, 2.0)
"""Exponents of the inverse document frequency that are tried; 1 is the prior."""

QUIET: Final = 0.3
"""Weight of titles that is tried, relative to the prior."""

DISCOUNT: Final = (1 / np.log2(np.arange(2, N_LISTED + 2))).astype(np.float32)


def search_feature_weights(
    similarity: Similarity, vocabulary: tuple[str, ...], rng: np.random.Generator
) -> FeatureWeights:
    """Try a few weights of the features on items that have buyers, as if they had none.

    An item's list is judged by the users who bought what is in it, weighted by rank: the share of its buyers among the
    first 50, and the share of its items that have buyers in common with it. Both are divided by their mean under the
    prior and averaged. One after another, a choice replaces the best so far if the lower end of the paired 90 %
    interval of its gain is above 0.

    Args:
        similarity: with the features of the content model.
        vocabulary: name of each feature, `block:value`.
        rng: draws the items.

    Returns:
        The weights; ones where there are too few items with buyers.
    """
    prior = FeatureWeights.prior(len(vocabulary))
    sold = np.flatnonzero(similarity.n_buyers >= MIN_BUYERS)
    if len(sold) < MIN_QUERIES or not len(vocabulary):
        return prior
    asked = np.sort(rng.choice(sold, min(MAX_QUERIES, len(sold)), replace=False))
    pool = np.sort(
        np.argsort(-similarity.n_buyers, kind="stable")[: min(MAX_POOL, int((similarity.n_buyers > 0).sum()))]
    )
    base = _quality(similarity, pool, asked)
    scale = 1 / np.maximum(base.mean(axis=0), 1e-12) / 2
    best, best_quality = prior, base
    for name, weight in _choices(similarity.features, vocabulary):
        tried = replace(similarity, features=reweighted(similarity.features, weight))
        quality = _quality(tried, pool, asked)
        gain = (quality - best_quality) @ scale
        if gain.mean() - Z_90 * gain.std() / np.sqrt(len(gain)) > 0:
            best = FeatureWeights(weight, name, round(float(((quality - base) @ scale).mean()), 4))
            best_quality = quality
    return best


def _choices(features: sparse.csr_matrix, vocabulary: tuple[str, ...]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    n_with = np.bincount(features.indices, minlength=len(vocabulary))
    idf = np.log(features.shape[0] / np.maximum(n_with, 1)) + 0.05
    titles = np.where([name.startswith("title:") for name in vocabulary], QUIET, 1.0)
    for power in POWERS:
        yield f"idf^{power}", (idf ** (power - 1)).astype(np.float32)
    if (titles < 1).any() and (titles == 1).any():
        yield "quiet titles", titles.astype(np.float32)
        yield f"idf^{POWERS[0]}, quiet titles", (titles * idf ** (POWERS[0] - 1)).astype(np.float32)


def _quality(similarity: Similarity, pool: Rows, asked: Rows) -> npt.NDArray[np.float64]:
    """Return the share of buyers found and of listed items with common buyers, float64 (len(asked), 2)."""
    user_items, item_users = similarity.user_items, similarity.item_users
    n_buyers, n_users = similarity.n_buyers, max(user_items.shape[0], 1)
    found = np.zeros((len(asked), 2))
    items = similarity.pool(pool)
    for start in range(0, len(asked), 64):
        rows = asked[start : start + 64]
        for at, (item, scores) in enumerate(zip(rows, similarity.scores(items, rows, as_new=True), strict=True), start):
            listed = pool[top_k(scores, N_LISTED)]
            of_item, of_listed = item_users[[item]].indices, item_users[listed]
            row = np.repeat(np.arange(len(listed)), np.diff(of_listed.indptr))
            voters, position = np.unique(of_listed.indices, return_inverse=True)
            votes = np.asarray(np.bincount(position, DISCOUNT[row], len(voters)), np.float32)
            common = np.bincount(row[np.isin(of_listed.indices, of_item)], minlength=len(listed))
            chance = n_buyers[item] * n_buyers[listed] / n_users
            is_common = (common >= 2) & (common >= chance + CHANCE_SD * np.sqrt(chance))
            hits = np.isin(voters[top_k(votes, N_FOUND)], of_item).sum()
            found[at] = hits / max(len(of_item), 1), is_common.sum() / N_LISTED
    return found
