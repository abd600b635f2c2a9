"""Baseline methods for lists of a user, fitted on the same past as the engine.

A baseline scores every item for a block of users; `methods.baseline_lists` takes the best of them. Their settings were
tuned on the tuning window, see docs/evaluation.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from implicit.bpr import BayesianPersonalizedRanking
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from implicit.utils import ParameterWarning
from scipy import sparse
from threadpoolctl import threadpool_limits

from recsys.data.catalog import read_catalog
from recsys.data.dataset import DAY_S, Dataset
from recsys.data.event_columns import Events
from recsys.data.incidence import incidence
from recsys.models.collaborative.ease import solve_ease
from recsys.models.temporal.kernels import fit_kernels
from recsys.models.temporal.repeat import RepeatConfig

Scores = npt.NDArray[np.float32]
Scorer = Callable[[npt.NDArray[np.int32]], Scores]
"""Scores of all items for a block of users, float32 (n_users, n_items)."""

POPULARITY_WEIGHT: Final = 0.1
"""Weight of an item's share of purchases relative to one purchase of the user."""


@dataclass(frozen=True)
class TrainingSlice:
    """The shop before a moment, as matrices.

    Attributes:
        dataset: contains events before `now` only.
        now: seconds since 1970.
    """

    dataset: Dataset
    now: int

    @cached_property
    def events(self) -> Events:
        """Target events of known users."""
        bought = self.dataset.target_events
        return bought.take(bought.user_idx >= 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of users and number of items."""
        return len(self.dataset.users), len(self.dataset.items)

    def matrix(self, weight: npt.NDArray[np.floating]) -> sparse.csr_matrix:
        """Sum a weight per event into a matrix.

        Args:
            weight: (n_events,), one value per event of `events`.

        Returns:
            float32 CSR (n_users, n_items).
        """
        coordinates = (self.events.user_idx, self.events.item_idx)
        return sparse.csr_matrix((weight.astype(np.float32), coordinates), shape=self.shape)

    @cached_property
    def age_days(self) -> npt.NDArray[np.float64]:
        """Age of each event, in days, float64 (n_events,)."""
        return (self.now - self.events.timestamp) / DAY_S

    @cached_property
    def counts(self) -> sparse.csr_matrix:
        """Number of purchases by user and item, float32 CSR (n_users, n_items)."""
        return self.matrix(np.ones(len(self.events)))

    @cached_property
    def popularity(self) -> Scores:
        """Share of the purchases of the last four weeks, float32 (n_items,); of all purchases if there were none."""
        recent = self.events.item_idx[self.age_days < 28]
        counts = np.bincount(recent if len(recent) else self.events.item_idx, minlength=self.shape[1])
        return (counts / max(counts.sum(), 1)).astype(np.float32)

    @cached_property
    def basket_share(self) -> npt.NDArray[np.float64]:
        """Share of all baskets that contain each item, float64 (n_items,)."""
        bought = self.dataset.target_events
        basket, row = np.unique(bought.basket_idx, return_inverse=True)
        per_item = incidence(row, bought.item_idx, (len(basket), self.shape[1])).sum(axis=0)
        return np.asarray(per_item, np.float64).ravel() / max(len(basket), 1)

    @cached_property
    def baskets_since(self) -> npt.NDArray[np.int64]:
        """Number of later baskets of the same user, for each event, int64 (n_events,)."""
        baskets, first = np.unique(self.events.basket_idx, return_index=True)
        user, time = self.events.user_idx[first], self.events.timestamp[first]
        order = np.lexsort((time, user))
        n_of_user = np.bincount(user, minlength=self.shape[0])
        rank = np.arange(len(order)) - np.repeat(np.cumsum(n_of_user) - n_of_user, n_of_user)
        since = np.empty(len(order), np.int64)
        since[order] = n_of_user[user[order]] - 1 - rank
        return since[np.searchsorted(baskets, self.events.basket_idx)]


def popularity(past: TrainingSlice) -> Scorer:
    """Score by the share of the last four weeks' purchases."""
    return lambda users: np.broadcast_to(past.popularity, (len(users), past.shape[1]))


def personal_frequency(past: TrainingSlice) -> Scorer:
    """Score by how often the user bought each item."""
    return lambda users: past.counts[users].toarray()


def gp_topfreq(past: TrainingSlice) -> Scorer:
    """Score by how often the user bought each item, then by popularity (GP-TopFreq).

    Reference:
        Li, Jullien, Ariannezhad & de Rijke (2023), A Next Basket Recommendation Reality Check, TOIS.
    """
    return exponential_decay(past, np.inf, popularity_weight=1.0)


def exponential_decay(
    past: TrainingSlice, decay_days: float = 150.0, popularity_weight: float = POPULARITY_WEIGHT
) -> Scorer:
    """Score by `Σ exp(−age/τ)` over the user's purchases, plus popularity.

    Args:
        past: the data.
        decay_days: τ, in days, > 0; infinite for no decay.
        popularity_weight: weight of an item's share of purchases, >= 0.
    """
    own = past.matrix(np.exp(-past.age_days / decay_days))
    return lambda users: own[users].toarray() + popularity_weight * past.popularity


def tifu_knn(
    past: TrainingSlice,
    *,
    group_size: int = 7,
    within: float = 0.9,
    between: float = 0.7,
    alpha: float = 0.9,
    n_neighbors: int = 100,
) -> Scorer:
    """Score by time-decayed personal frequency, mixed with that of the nearest users (TIFU-KNN).

    Reference:
        Hu, He, Gao & Zhang (2020), Modeling Personalized Item Frequency Information for Next-basket Recommendation,
        SIGIR.
    """
    group, position = np.divmod(past.baskets_since, group_size)
    n_baskets = np.zeros(past.shape[0], np.int64)
    np.maximum.at(n_baskets, past.events.user_idx, past.baskets_since + 1)
    n_groups = -(-n_baskets // group_size)
    weight = within**position * between**group / (group_size * n_groups[past.events.user_idx])
    vectors = past.matrix(weight)
    return _with_neighbors(vectors, vectors, alpha, n_neighbors, past.popularity)


def up_cf(past: TrainingSlice, *, recency: int = 50, sharpness: float = 10.0, asymmetry: float = 0.75) -> Scorer:
    """Score by recency-aware user-wise popularity, spread by asymmetric user similarity (UP-CF@r).

    Reference:
        Faggioli, Polato & Aiolli (2020), Recency Aware Collaborative Filtering for Next Basket Recommendation, UMAP.
    """
    recent = past.baskets_since < recency
    n_baskets = np.zeros(past.shape[0], np.int64)
    np.maximum.at(n_baskets, past.events.user_idx, past.baskets_since + 1)
    own = past.matrix(recent / np.maximum(np.minimum(n_baskets, recency), 1)[past.events.user_idx])
    bought = past.counts.copy()
    bought.data[:] = 1
    size = np.maximum(np.asarray(bought.sum(axis=1)).ravel(), 1)

    def score(users: npt.NDArray[np.int32]) -> Scores:
        shared = (bought[users] @ bought.T).toarray()
        similarity = shared / (size[users, None] ** asymmetry * size[None] ** (1 - asymmetry))
        similarity = similarity**sharpness
        similarity /= np.maximum(similarity.sum(axis=1, keepdims=True), 1e-12)
        return np.asarray(similarity.astype(np.float32) @ own + 1e-6 * past.popularity, np.float32)

    return score


def time_aware_knn(past: TrainingSlice, *, alpha: float = 0.8, n_neighbors: int = 100) -> Scorer:
    """Score by purchases weighted by learned kernels of elapsed time, mixed with those of the nearest users.

    Reference:
        Romanov, Lashinin, Ananyeva & Kolesnikov (2023), Time-Aware Item Weighting for the Next Basket Recommendations,
        RecSys. Deviation: the kernels are those of `recsys.models.temporal.kernels`.
    """
    config, catalog = RepeatConfig(), read_catalog(past.dataset.catalog)
    kernels = fit_kernels(past.dataset, catalog, config.decay_days, config.decay_power, config.kernels)
    age_s = past.now - past.events.timestamp
    vectors = past.matrix(kernels.rate(past.events.item_idx, age_s, past.baskets_since))
    return _with_neighbors(vectors, vectors, alpha, n_neighbors, past.popularity)


def user_knn(past: TrainingSlice, n_neighbors: int = 50) -> Scorer:
    """Score by what the nearest users bought, by cosine of the sets of items."""
    bought = past.counts.copy()
    bought.data[:] = 1
    return _with_neighbors(bought, bought, 0.0, n_neighbors, past.popularity)


def _with_neighbors(
    vectors: sparse.csr_matrix, values: sparse.csr_matrix, alpha: float, n_neighbors: int, fallback: Scores
) -> Scorer:
    length = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    unit = (sparse.diags_array((1 / np.maximum(length, 1e-12)).astype(np.float32)) @ vectors).tocsr()

    def score(users: npt.NDArray[np.int32]) -> Scores:
        similarity = (unit[users] @ unit.T).toarray()
        similarity[np.arange(len(users)), users] = -1
        k = min(n_neighbors, similarity.shape[1])
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        weight = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0)
        weight = np.ones_like(weight) if alpha else weight
        rows = np.repeat(np.arange(len(users)), k)
        chosen = sparse.csr_matrix((weight.ravel(), (rows, nearest.ravel())), shape=similarity.shape)
        mean = (chosen @ values).toarray() / k
        return np.asarray(alpha * values[users].toarray() + (1 - alpha) * mean + 1e-6 * fallback, np.float32)

    return score


def ease(past: TrainingSlice, *, n_items: int = 6000, regularization: float = 500.0) -> Scorer:
    """Score by EASE between the best-selling items, on `ln(1 + count)`, without truncation of the weights.

    Reference:
        Steck (2019), Embarrassingly Shallow Autoencoders for Sparse Data, WWW.
    """
    bought = past.counts.log1p()
    top_items = np.argsort(-np.bincount(past.counts.indices, minlength=past.shape[1]), kind="stable")[:n_items]
    x = bought[:, top_items]
    weights = solve_ease(np.asarray((x.T @ x).todense()), regularization)

    def score(users: npt.NDArray[np.int32]) -> Scores:
        scores = np.zeros((len(users), past.shape[1]), np.float32)
        scores[:, top_items] = x[users] @ weights
        return scores

    return score


def als(past: TrainingSlice, *, half_life_days: float = 30.0) -> Scorer:
    """Score by implicit's ALS on decayed counts."""
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(factors=256, regularization=10.0, alpha=1.0, iterations=15, random_state=0)
    return _by_factors(model, past.matrix(np.exp2(-past.age_days / half_life_days)))


def bpr(past: TrainingSlice) -> Scorer:
    """Score by implicit's BPR on counts."""
    model = BayesianPersonalizedRanking(
        factors=16, learning_rate=0.01, regularization=0.01, iterations=30, random_state=0, num_threads=1
    )
    return _by_factors(model, past.counts)


def _by_factors(model: Any, user_items: sparse.csr_matrix) -> Scorer:
    with threadpool_limits(1, "blas"):
        model.fit(user_items, show_progress=False)
    users, items = np.asarray(model.user_factors), np.asarray(model.item_factors)
    return lambda block: users[block] @ items.T


def item_bm25(past: TrainingSlice) -> Scorer:
    """Score by implicit's item-item neighbors with BM25 weights."""
    return _by_neighbors(BM25Recommender(K=20, K1=1.2, B=0.2), past.counts, past)


def item_cosine(past: TrainingSlice) -> Scorer:
    """Score by implicit's item-item neighbors, by cosine of the sets of users."""
    bought = past.counts.copy()
    bought.data[:] = 1
    return _by_neighbors(CosineRecommender(K=20), bought, past)


def _by_neighbors(model: Any, user_items: sparse.csr_matrix, past: TrainingSlice) -> Scorer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParameterWarning)  # implicit transposes to COO itself
        model.fit(user_items, show_progress=False)
    similarity = sparse.csr_matrix(model.similarity, dtype=np.float32)
    return lambda users: (past.counts[users] @ similarity).toarray()


PERSONAL: Final[Mapping[str, Callable[[TrainingSlice], Scorer]]] = MappingProxyType(
    {
        "popularity": popularity,
        "personal_frequency": personal_frequency,
        "gp_topfreq": gp_topfreq,
        "exponential_decay": exponential_decay,
        "tifu_knn": tifu_knn,
        "time_aware_knn": time_aware_knn,
        "up_cf": up_cf,
        "user_knn": user_knn,
        "als": als,
        "bpr": bpr,
        "item_bm25": item_bm25,
        "item_cosine": item_cosine,
        "ease": ease,
    }
)
