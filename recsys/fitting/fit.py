"""The fit of every model of one shop, without the rankers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.ids import NO_ITEM
from recsys.core.progress import Progress, silent
from recsys.data.catalog import Catalog
from recsys.data.dataset import Dataset
from recsys.data.history import build_history
from recsys.data.offers import Offers
from recsys.fitting.engine import Engine, EngineConfig, FittedDataInfo
from recsys.fitting.fit_cache import FitCache
from recsys.models.collaborative.affinity import fit_affinity
from recsys.models.content.content import ContentModel
from recsys.models.content.feature_search import search_feature_weights
from recsys.models.content.hybrid import FeatureWeights, HybridConfig, HybridModel, complete_factors
from recsys.models.content.similarity import Similarity, list_similar, reweighted
from recsys.models.moments.festival_lifts import NO_FESTIVAL_LIFTS
from recsys.models.moments.first_orders import NO_FIRST_ORDERS
from recsys.models.moments.replenishment import NO_REPLENISHMENT, fit_replenishment
from recsys.models.pairs.basket_pairs import group_baskets
from recsys.models.pairs.copurchase import CopurchaseCounts, copurchase_of
from recsys.models.pairs.item_sets import NO_ITEM_SETS, ItemSetModel, fit_item_sets
from recsys.search.vector_index import FlatIndex
from recsys.segments.table import NO_SEGMENTS, fit_segments


def fit_models(
    dataset: Dataset,
    config: EngineConfig,
    now: int | None = None,
    progress: Progress = silent,
    *,
    user_lists_only: bool = False,
    cache: FitCache | None = None,
) -> Engine:
    """Fit every model; the blend of the sources orders the lists of the result.

    Args:
        dataset: the shop, or a sample of its users whose others `cache` has; cut it with `Dataset.until` to fit on the
            past.
        config: settings.
        now: moment from which ages count, seconds since 1970; the end of the data if None.
        progress: called with the name of each stage.
        user_lists_only: leave out precomputed lists that no list of a user needs, to save time.
        cache: models of the same shop and moment that another step has fitted already.

    Returns:
        The engine, without rankers.
    """
    now = dataset.end if now is None else now
    cache = FitCache(dataset, now) if cache is None else cache
    progress("catalog")
    catalog = cache.catalog
    progress("popularity")
    popularity = cache.popularity(config)
    progress("repeat purchases")
    repeat = cache.repeat(config)
    progress("time of day")
    timeofday = cache.timeofday(config)
    if not cache.has_content(config):
        progress("content")
    content = cache.content(config)
    progress("collaborative filtering")
    als = cache.als(config)
    progress("hybrid embedding")
    history = build_history(dataset, config.history)
    vectors = complete_factors(als.item_factors, content.embedding, popularity.n_buyers, config.hybrid)
    if user_lists_only:
        hybrid = _no_similar(vectors, content, config.hybrid)
    else:
        bought = history.incidence(dataset.target_event, len(dataset.items))
        hybrid = _with_similar(vectors, content, bought, catalog, config)
    progress("co-purchase")
    counts = cache.copurchase_counts(config)
    copurchase = copurchase_of(
        counts,
        popularity.weekly_momentum,
        catalog,
        config.copurchase,
        _replaceable_by(content, config.replaceable_cosine),
        bought_only=user_lists_only,
    )
    info = FittedDataInfo.of(dataset, config.service_items)
    if user_lists_only:
        item_sets = NO_ITEM_SETS
    else:
        progress("item sets")
        item_sets = _item_sets(dataset, catalog, content, counts, info, config)
    progress("sequences")
    sequence = cache.sequence(config)
    segments = NO_SEGMENTS
    if not user_lists_only:
        progress("segments")
        segments = fit_segments(dataset, catalog, config.segments, np.random.default_rng(config.seed))
    replenishment, lifts, first_orders = NO_REPLENISHMENT, NO_FESTIVAL_LIFTS, NO_FIRST_ORDERS
    if not user_lists_only:
        progress("moments")
        replenishment = fit_replenishment(history, repeat, dataset.target_event, now, config.moments.replenishment)
        lifts, first_orders = cache.festival_lifts(), cache.first_orders()
    progress("history and index")
    return Engine(
        config=config,
        dataset_info=info,
        items_table=dataset.catalog,
        users_table=dataset.profiles,
        catalog=catalog,
        history=history,
        popularity=popularity,
        repeat=repeat,
        als=als,
        content=content,
        hybrid=hybrid,
        affinity=fit_affinity(catalog, popularity.share, config.affinity),
        ease=cache.ease(config),
        copurchase=copurchase,
        sequence=sequence,
        timeofday=timeofday,
        index=FlatIndex.build(hybrid.vectors),
        segments=segments,
        offers=Offers(dataset.offers),
        item_sets=item_sets,
        replenishment=replenishment,
        festival_lifts=lifts,
        first_orders=first_orders,
        is_visitor=dataset.is_visitor,
    )


def _item_sets(
    dataset: Dataset,
    catalog: Catalog,
    content: ContentModel,
    counts: CopurchaseCounts,
    info: FittedDataInfo,
    config: EngineConfig,
) -> ItemSetModel:
    baskets = group_baskets(dataset, config.copurchase.max_basket, by_user=not counts.by_basket)
    services = dataset.items.rows(info.service_items)
    replaceable = _replaceable_by(content, config.replaceable_cosine)
    return fit_item_sets(baskets, catalog, config.item_sets, replaceable, services[services >= 0])


def _with_similar(
    vectors: npt.NDArray[np.float32],
    content: ContentModel,
    user_items: sparse.csr_matrix,
    catalog: Catalog,
    config: EngineConfig,
) -> HybridModel:
    similarity = Similarity(content.features, user_items, catalog.item_type, config.hybrid)
    weights = search_feature_weights(similarity, content.vocabulary, np.random.default_rng(config.seed))
    similarity = replace(similarity, features=reweighted(content.features, weights.weight))
    return HybridModel(vectors, *list_similar(similarity, content.embedding, catalog), weights)


def with_similar_of(engine: Engine, rows: npt.NDArray[np.integer]) -> Engine:
    """Add the similar items of some items to an engine that was fitted without.

    Args:
        engine: the models; the features have the weights of their prior.
        rows: of the items.
    """
    bought = engine.history.incidence(engine.dataset_info.target_event, len(engine.items))
    similarity = Similarity(engine.content.features, bought, engine.catalog.item_type, engine.config.hybrid)
    idx, score = list_similar(similarity, engine.content.embedding, engine.catalog, np.unique(rows).astype(np.int64))
    return replace(engine, hybrid=replace(engine.hybrid, similar_idx=idx, similar_score=score))


def _no_similar(vectors: npt.NDArray[np.float32], content: ContentModel, config: HybridConfig) -> HybridModel:
    shape = (len(vectors), config.n_similar)
    nothing = np.broadcast_to(np.int32(NO_ITEM), shape), np.broadcast_to(np.float32(0), shape)
    return HybridModel(vectors, *nothing, FeatureWeights.prior(len(content.vocabulary)))


def _replaceable_by(
    content: ContentModel, min_cosine: float
) -> Callable[[int, npt.NDArray[np.int32]], npt.NDArray[np.bool_]]:
    return lambda item, candidates: content.similarity(item, candidates) >= min_cosine
