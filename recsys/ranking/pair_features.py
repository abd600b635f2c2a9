"""Order of items bought together: features of a pair, training examples from past baskets, and the learned order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from recsys.fitting.engine import Engine
from recsys.fitting.ranker import Ranker
from recsys.fitting.ranker_fit import TrainingGroups
from recsys.models.pairs.copurchase import CopurchaseModel
from recsys.models.pairs.related_items import RelatedItems
from recsys.models.temporal.popularity import MOMENTUM_DAYS
from recsys.ranking.basket_questions import BasketQuestions

N_ORDERED: Final = 60
"""Items of a list whose order is learned; the remaining ones keep theirs."""

BLOCK: Final = 4096
"""Lists ordered at a time; bounds the memory."""

PAIR_FEATURES: Final = (
    "log_chance",
    "log_lift",
    "together",
    "share_of_seed",
    "share_of_item",
    "log_seed_baskets",
    "log_item_share",
    *(f"momentum_{days:.0f}d" for days in MOMENTUM_DAYS),
    "same_type",
    "same_category",
    "likeness",
    "taste",
    "price_ratio",
    "price",
)
"""Names of the columns, in order."""


@dataclass(frozen=True)
class ItemPairs:
    """Pairs of a seed and a partner, one list after the other; all arrays but `size` have n entries.

    Attributes:
        seed: int32, the item that the list is for.
        item_idx: int32, its partner.
        probability: float32, the co-purchase score of the pair.
        n_together: int32, baskets that contain both.
        size: int64 (n_lists,), number of partners in each list.
    """

    seed: npt.NDArray[np.int32]
    item_idx: npt.NDArray[np.int32]
    probability: npt.NDArray[np.float32]
    n_together: npt.NDArray[np.int32]
    size: npt.NDArray[np.int64]


def first_pairs(lists: RelatedItems, seeds: npt.NDArray[np.int32]) -> ItemPairs:
    """Return the first `N_ORDERED` partners in the list of each seed."""
    partners = lists.item_idx[seeds, :N_ORDERED]
    listed = partners >= 0
    size = listed.sum(axis=1)
    return ItemPairs(
        seed=np.repeat(seeds, size).astype(np.int32),
        item_idx=partners[listed],
        probability=lists.score[seeds, :N_ORDERED][listed],
        n_together=np.maximum(lists.n_together[seeds, :N_ORDERED][listed], 0),
        size=size.astype(np.int64),
    )


def pair_features(engine: Engine, pairs: ItemPairs) -> npt.NDArray[np.float32]:
    """Describe each pair to a ranker; unknown values are NaN.

    Args:
        engine: the models.
        pairs: n pairs.

    Returns:
        float32 (n, len(PAIR_FEATURES)).
    """
    seed, item = pairs.seed, pairs.item_idx
    catalog, copurchase, momentum = engine.catalog, engine.copurchase, engine.popularity.momentum
    n_seed, n_item = copurchase.n_baskets[seed], copurchase.n_baskets[item]
    share = (n_item + 1) / (copurchase.n_all + 1)
    price = np.log(np.where(catalog.price > 0, catalog.price, np.nan))
    embedding, vectors = engine.content.embedding, engine.hybrid.vectors
    length = np.maximum(np.linalg.norm(vectors, axis=1), 1e-6)
    columns = (
        np.log(pairs.probability + 1e-9),
        np.log((pairs.probability + 1e-9) / share),
        pairs.n_together,
        pairs.n_together / np.maximum(n_seed, 1),
        pairs.n_together / np.maximum(n_item, 1),
        np.log1p(n_seed),
        np.log(share),
        *(np.log(momentum[item, column_idx]) for column_idx in range(len(MOMENTUM_DAYS))),
        (catalog.item_type[seed] == catalog.item_type[item]) & (catalog.item_type[seed] >= 0),
        (catalog.item_category[seed] == catalog.item_category[item]) & (catalog.item_category[seed] >= 0),
        np.einsum("ij,ij->i", embedding[seed], embedding[item]),
        np.einsum("ij,ij->i", vectors[seed], vectors[item]) / (length[seed] * length[item]),
        price[item] - price[seed],
        price[item],
    )
    table = np.empty((len(seed), len(PAIR_FEATURES)), np.float32)
    for column_idx, column in enumerate(columns):
        table[:, column_idx] = column
    return table


def past_pairs(engine: Engine, questions: BasketQuestions) -> TrainingGroups:
    """List the first partners of the item of each past basket, with labels for those in the basket.

    Args:
        engine: models that were fitted before these baskets.
        questions: the baskets.

    Returns:
        One group per basket; the group of an item without partners is empty.
    """
    pairs = first_pairs(engine.copurchase.bought_together, questions.seed)
    taken = questions.is_taken(np.repeat(questions.basket, pairs.size), pairs.item_idx)
    return TrainingGroups(
        features=pair_features(engine, pairs),
        taken=taken.astype(np.int8),
        blend=pairs.probability,
        log_lift=np.zeros(len(taken), np.float32),
        size=pairs.size,
    )


def order_pairs(engine: Engine, ranker: Ranker) -> CopurchaseModel:
    """Order the lists of `bought_together` by the ranker; without a ranker they stay as they are.

    The first `N_ORDERED` of each list are ordered by their probability of being in the seed's basket; the remaining
    ones
    keep their order below them. Lists of items that were never bought stay too, as the ranker has no examples of such
    items.

    Args:
        engine: the models.
        ranker: the ranker of pairs.

    Returns:
        The model with new lists.
    """
    copurchase = engine.copurchase
    if not ranker.is_fitted:
        return copurchase
    return replace(
        copurchase,
        bought_together=_ordered(engine, ranker, copurchase.bought_together),
    )


def _ordered(engine: Engine, ranker: Ranker, lists: RelatedItems) -> RelatedItems:
    item_idx, score, n_together = lists.item_idx.copy(), lists.score.copy(), lists.n_together.copy()
    sold = np.flatnonzero(engine.copurchase.n_baskets > 0).astype(np.int32)
    for start in range(0, len(sold), BLOCK):
        seeds = sold[start : start + BLOCK]
        pairs = first_pairs(lists, seeds)
        if not len(pairs.seed):
            continue
        known = lists.item_idx[seeds] >= 0
        probability = np.full((len(seeds), N_ORDERED), -1.0)
        width = min(N_ORDERED, known.shape[1])
        probability[:, :width][known[:, :width]] = expit(ranker.log_odds(pair_features(engine, pairs)))
        merged = _with_remaining(probability[:, :width], lists.score[seeds])
        order = np.argsort(-merged, axis=1, kind="stable")
        for column, source in ((item_idx, lists.item_idx), (n_together, lists.n_together)):
            column[seeds] = np.take_along_axis(source[seeds], order, axis=1)
        score[seeds] = np.where(item_idx[seeds] >= 0, np.take_along_axis(merged, order, axis=1), 0)
    return RelatedItems(item_idx, score, n_together)


def _with_remaining(probability: npt.NDArray[np.float64], score: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Append the remaining scores, scaled to lie below the lowest probability; -1 past the end."""
    width = probability.shape[1]
    lowest = np.where(probability >= 0, probability, 1.0).min(axis=1, keepdims=True)
    rest = score[:, width:].astype(np.float64)
    scaled = rest / np.maximum(rest.max(axis=1, keepdims=True, initial=0.0), 1e-12) * lowest * (1 - 1e-6)
    return np.hstack([probability, np.where(rest > 0, scaled, -1.0)])
