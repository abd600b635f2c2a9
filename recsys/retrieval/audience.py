"""The audience of an item: the users most likely to want it, for new items above all."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.fitting.engine import Engine

N_SIMILAR_ITEMS: Final = 800
"""Number of sold items with the most similar content that count for an item."""

SIMILARITY_POWER: Final = 3.0
MIN_BUYERS: Final = 5
"""Items with fewer buyers are not used as neighbors."""

TASTE_WEIGHT: Final = 0.3
"""Weight of the inner product of user and item, relative to the user's purchases of similar items."""


def audience_scores(engine: Engine, item_idx: npt.NDArray[np.int32], until: int) -> npt.NDArray[np.float32]:
    """Scores each user for each item.

    `Σ_j cos(i, j)³ · [u bought j] / mean + w · max(x_u · y_i, 0) / mean`, over the sold items j that are most like i by
    content, with `x_u` folded in from the history; a user's own purchases of i do not count.

    Args:
        engine: the models.
        item_idx: int32 (n,), rows of items, sold or not.
        until: seconds since 1970; later events are not seen.

    Returns:
        float32 (n_users, n), >= 0; 0 without evidence for the pair.

    Reference:
        Gantner et al. (2010), Learning Attribute-to-Feature Mappings for Cold-Start Recommendations, ICDM; here the
        buyers of the neighbors are summed instead of their factors.
    """
    purchases = purchase_matrix(engine, until)
    content_scores = np.asarray((purchases @ _neighbors(engine, item_idx).T).todense(), np.float32)
    user_scores = np.maximum(user_factors(engine, until) @ engine.hybrid.vectors[item_idx].T, 0)
    return _of_mean(content_scores) + TASTE_WEIGHT * _of_mean(user_scores)


def _of_mean(score: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return score / max(float(score.sum()) / max(score.size, 1), 1e-12)


def purchase_matrix(engine: Engine, until: int) -> sparse.csr_matrix:
    """Returns ones where a user bought an item by then, float32 CSR (n_users, n_items)."""
    return engine.history.incidence(engine.dataset_info.target_event, len(engine.items), until)


def _neighbors(engine: Engine, item_idx: npt.NDArray[np.int32]) -> sparse.csr_matrix:
    """Powers of the cosine to the most similar sold items, float32 CSR (n, n_items)."""
    features, n_items = engine.content.features, len(engine.items)
    sold = np.flatnonzero(engine.popularity.n_buyers >= MIN_BUYERS)
    of_sold = features[sold].T.tocsr()
    rows, columns, weights = [], [], []
    for position, item in enumerate(item_idx.tolist()):
        cosine = np.asarray((features[item] @ of_sold).todense(), np.float32).ravel()
        cosine[sold == item] = 0
        best = np.argsort(-cosine, kind="stable")[:N_SIMILAR_ITEMS]
        best = best[cosine[best] > 0]
        rows.append(np.full(len(best), position))
        columns.append(sold[best])
        weights.append(cosine[best] ** SIMILARITY_POWER)
    cells = (np.concatenate(rows), np.concatenate(columns)) if rows else ([], [])
    return sparse.csr_matrix((np.concatenate(weights) if weights else [], cells), shape=(len(item_idx), n_items))


def user_factors(engine: Engine, until: int) -> npt.NDArray[np.float32]:
    """Returns the folded-in vector of each user, float32 (n_users, n_factors)."""
    factors = np.zeros((len(engine.users), engine.als.item_factors.shape[1]), np.float32)
    for user_idx in range(len(factors)):
        history = engine.history.of(user_idx, until)
        known = engine.als.weights_of(
            history.item_idx, history.event_type, until - history.timestamp, history.rating_weight
        )
        factors[user_idx] = engine.als.fold_in(*known)
    return factors
