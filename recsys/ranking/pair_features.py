"""The order of related items: what a partner is to the item that it stands beside, and what past baskets teach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from recsys.data.dataset import Events
from recsys.fitting.engine import Engine
from recsys.fitting.ranker import Ranker, RankerConfig, TrainingGroups
from recsys.models.pairs.copurchase import CopurchaseModel, RelatedItems
from recsys.models.temporal.popularity import MOMENTUM_DAYS

N_ORDERED: Final = 60
"""Items of a list whose order is learned; those behind keep theirs."""

BLOCK: Final = 4096
"""Lists that are ordered at a time; bounds the memory."""

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
    """Partners of items, one after the other; arrays of one length.

    Attributes:
        seed: int32, the item that a list is for.
        item_idx: int32, its partner.
        chance: float32, the score that co-purchase gives the pair.
        n_together: int32, baskets that hold both.
        size: int64 (n_lists,), partners of each list, in order.
    """

    seed: npt.NDArray[np.int32]
    item_idx: npt.NDArray[np.int32]
    chance: npt.NDArray[np.float32]
    n_together: npt.NDArray[np.int32]
    size: npt.NDArray[np.int64]


def first_pairs(lists: RelatedItems, seeds: npt.NDArray[np.int32]) -> ItemPairs:
    """The first `N_ORDERED` of each seed's list."""
    near = lists.item_idx[seeds, :N_ORDERED]
    listed = near >= 0
    size = listed.sum(axis=1)
    return ItemPairs(
        seed=np.repeat(seeds, size).astype(np.int32),
        item_idx=near[listed],
        chance=lists.score[seeds, :N_ORDERED][listed],
        n_together=lists.n_together[seeds, :N_ORDERED][listed],
        size=size.astype(np.int64),
    )


def pair_features(engine: Engine, pairs: ItemPairs) -> npt.NDArray[np.float32]:
    """Describe each pair to a ranker; what is not known is NaN.

    Args:
        engine: the models.
        pairs: n of them.

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
        np.log(pairs.chance + 1e-9),
        np.log((pairs.chance + 1e-9) / share),
        pairs.n_together,
        pairs.n_together / np.maximum(n_seed, 1),
        pairs.n_together / np.maximum(n_item, 1),
        np.log1p(n_seed),
        np.log(share),
        *(np.log(momentum[item, place]) for place in range(len(MOMENTUM_DAYS))),
        (catalog.item_type[seed] == catalog.item_type[item]) & (catalog.item_type[seed] >= 0),
        (catalog.item_category[seed] == catalog.item_category[item]) & (catalog.item_category[seed] >= 0),
        np.einsum("ij,ij->i", embedding[seed], embedding[item]),
        np.einsum("ij,ij->i", vectors[seed], vectors[item]) / (length[seed] * length[item]),
        price[item] - price[seed],
        price[item],
    )
    table = np.empty((len(seed), len(PAIR_FEATURES)), np.float32)
    for place, column in enumerate(columns):
        table[:, place] = column
    return table


def past_pairs(engine: Engine, later: Events, config: RankerConfig, rng: np.random.Generator) -> TrainingGroups:
    """Of baskets of the past, one random item each, its partners as they were listed then, and which the basket held.

    Args:
        engine: models that knew nothing of these baskets.
        later: what was taken after them.
        config: settings.
        rng: source of what is drawn.
    """
    group = later.basket_idx if engine.copurchase.by_basket else later.user_idx
    n_items = len(engine.items)
    line = np.unique(group[group >= 0].astype(np.int64) * n_items + later.item_idx[group >= 0])
    basket, size = np.unique(line // n_items, return_counts=True)
    start = np.cumsum(size) - size
    chosen = np.flatnonzero(size >= 2)
    chosen = np.sort(rng.permutation(chosen)[: config.max_baskets])
    seed = line[start[chosen] + (rng.random(len(chosen)) * size[chosen]).astype(np.int64)] % n_items
    pairs = first_pairs(engine.copurchase.bought_together, seed.astype(np.int32))
    held = np.repeat(basket[chosen], pairs.size) * n_items + pairs.item_idx
    taken = np.isin(held, line)
    kept = taken | (rng.random(len(taken)) < config.negative_share)
    return TrainingGroups(
        features=pair_features(engine, pairs),
        taken=taken.astype(np.int8),
        blend=pairs.chance,
        log_lift=np.zeros(len(taken), np.float32),
        size=pairs.size,
    ).take(kept)


def order_pairs(engine: Engine, ranker: Ranker) -> CopurchaseModel:
    """Put the lists of related items into the order that was learned; without a ranker they stay as they are.

    The first `N_ORDERED` of each list are ordered by their chance to be in the seed's basket; those behind keep their
    order below them. Lists of items that were never bought stay too: nothing like them was learned from.
    """
    copurchase = engine.copurchase
    if not ranker.is_fitted:
        return copurchase
    return replace(
        copurchase,
        bought_together=_ordered(engine, ranker, copurchase.bought_together),
        complementary=_ordered(engine, ranker, copurchase.complementary),
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
        chance = np.full((len(seeds), N_ORDERED), -1.0)
        width = min(N_ORDERED, known.shape[1])
        chance[:, :width][known[:, :width]] = expit(ranker.log_odds(pair_features(engine, pairs)))
        merged = _behind(chance[:, :width], lists.score[seeds])
        order = np.argsort(-merged, axis=1, kind="stable")
        for column, source in ((item_idx, lists.item_idx), (n_together, lists.n_together)):
            column[seeds] = np.take_along_axis(source[seeds], order, axis=1)
        score[seeds] = np.where(item_idx[seeds] >= 0, np.take_along_axis(merged, order, axis=1), 0)
    return RelatedItems(item_idx, score, n_together)


def _behind(chance: npt.NDArray[np.float64], score: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Chances of the first items, and behind the least of them the others' scores, scaled to it; -1 past the end."""
    width = chance.shape[1]
    least = np.where(chance >= 0, chance, 1.0).min(axis=1, keepdims=True)
    rest = score[:, width:].astype(np.float64)
    scaled = rest / np.maximum(rest.max(axis=1, keepdims=True, initial=0.0), 1e-12) * least * (1 - 1e-6)
    return np.hstack([chance, np.where(rest > 0, scaled, -1.0)])
