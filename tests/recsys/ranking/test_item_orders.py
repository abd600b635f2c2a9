"""Orders of lists beside one item: questions by hand, and the best order serves, whatever it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.core.ids import NO_ITEM
from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.data.dataset import Dataset
from recsys.fitting.blend import NO_BLEND, Blend, BlendConfig, Blends
from recsys.fitting.engine import Engine
from recsys.fitting.fit import fit_models, with_similar_of
from recsys.models.pairs.related_items import RelatedItems
from recsys.pipeline.recommend import recommend
from recsys.ranking.holdout import Holdout
from recsys.ranking.item_orders import LISTS, ItemKind, NextItems, compare_item_lists, draw_next
from recsys.ranking.scoring import active_sources
from tests.recsys.small_shops import CATALOG
from tests.shop import at, dataset_of, moment, small_config

CONFIG = BlendConfig(min_questions=10)


def test_steps_are_pairs_of_neighbors_in_one_visit() -> None:
    """Items of one moment have no order; a step to an item that nobody knew asks nothing."""
    known = [{"visitor_id": "v0", "item_id": item, "timestamp": at(moment(1))} for item in ("a1", "a2", "b1", "c1")]
    visit = [("a1", 9.0), ("a1", 9.1), ("a2", 9.2), ("b1", 9.2), ("c1", 9.3), ("x", 9.4)]
    later = [{"visitor_id": "v1", "item_id": item, "timestamp": at(moment(5, hour))} for item, hour in visit]
    dataset = dataset_of(known + later, CATALOG)
    now = moment(3)
    cut = Holdout(dataset.until(now), now, dataset.events.take(dataset.events.timestamp >= now), 10**6, is_cutoff=True)
    steps = draw_next(cut, np.random.default_rng(0))
    ids = dataset.items.ids
    found = {(ids[seed], ids[answer]) for seed, answer in zip(steps.seed, steps.answer, strict=True)}
    assert found == {("a1", "a2"), ("b1", "c1")} or found == {("a1", "b1"), ("a2", "c1")}
    assert len(draw_next(cut, np.random.default_rng(0), n=1)) == 1


def steps_to(engine: Engine, best: np.ndarray) -> NextItems:
    """From each item with neighbors to the best of some items that is another one."""
    seeds = np.flatnonzero(engine.sequence.around.row_of >= 0).astype(np.int32)
    return NextItems(seeds, np.array([next(item for item in best if item != seed) for seed in seeds], np.int32))


def compare(engine: Engine, kind: ItemKind, steps: NextItems) -> Blend:
    return compare_item_lists(kind, engine, steps, engine.dataset_info.end, CONFIG)


def test_popularity_serves_where_it_is_best_but_never_as_similar(shop_engine: Engine) -> None:
    """All people go on to a best seller."""
    steps = steps_to(shop_engine, shop_engine.by_popularity[:2])
    for kind in LISTS:
        found = compare(shop_engine, kind, steps)
        value = dict(zip(found.orders, found.values, strict=True))
        assert value["popularity"] == 1.0
        assert (found.order == "popularity") == (kind == "viewed")


def test_the_best_source_alone_serves_where_it_is_best(shop_engine: Engine) -> None:
    """People go on to the most similar item, and the neighbors are made to say otherwise."""
    similar = shop_engine.hybrid.similar_idx
    seeds = np.flatnonzero(similar[:, 0] != NO_ITEM).astype(np.int32)
    around = shop_engine.sequence.around
    item_idx = np.sort(np.asarray(around.lists.item_idx), axis=1)[:, ::-1].copy()
    misled = replace(around, lists=RelatedItems(item_idx, around.lists.score[:], around.lists.n_together[:]))
    engine = replace(shop_engine, sequence=replace(shop_engine.sequence, around=misled, by_view=True))
    found = compare(engine, "alike", NextItems(seeds, similar[seeds, 0]))
    value = dict(zip(found.orders, found.values, strict=True))
    assert value["the source similar"] == 1.0
    assert value[found.order] == 1.0


@pytest.mark.parametrize("kind", list(LISTS))
def test_every_order_of_the_placement_is_compared(shop_engine: Engine, kind: ItemKind) -> None:
    found = compare(shop_engine, kind, steps_to(shop_engine, shop_engine.by_popularity))
    sources = set(PLACEMENTS[LISTS[kind]].sources) - {"popular"}
    assert set(found.orders) == {"placement weights", "popularity", *(f"the source {name}" for name in sources)}
    assert set(found.sources) == sources | {"popular"}
    assert not found.uses_ranker


def test_few_steps_compare_nothing(shop_engine: Engine) -> None:
    steps = NextItems(np.zeros(9, np.int32), np.ones(9, np.int32))
    assert not compare_item_lists("viewed", shop_engine, steps, shop_engine.dataset_info.end, CONFIG).is_fitted


def test_popularity_is_asked_only_where_it_was_learned(shop_engine: Engine) -> None:
    placement = PLACEMENTS["viewed_together"]
    assert active_sources(placement, Blends()) == ("viewed_together",)
    steps = NextItems(np.zeros(10, np.int32), np.ones(10, np.int32))
    learned = compare_item_lists("viewed", shop_engine, steps, shop_engine.dataset_info.end, CONFIG)
    popular = replace(learned, few=(0.0, 1.0), many=(0.0, 1.0))
    assert active_sources(placement, Blends(viewed=popular)) == ("viewed_together", "popular")


def test_lists_of_some_seeds_equal_those_of_the_whole_fit(shop_dataset: Dataset) -> None:
    config = small_config()
    some = with_similar_of(fit_models(shop_dataset, config, user_lists_only=True), np.array([3, 1, 3]))
    assert (some.hybrid.similar_idx[[1, 3]] != NO_ITEM).any(axis=1).all()
    assert (some.hybrid.similar_idx[[0, 2]] == NO_ITEM).all()


def test_a_list_of_an_item_by_popularity_alone_is_a_fallback(shop_engine: Engine) -> None:
    seed = int(np.flatnonzero(shop_engine.sequence.around.row_of >= 0)[0])
    request = Request("viewed_together", shop_engine.dataset_info.end, 5, item_ids=(shop_engine.items.ids[seed],))
    learned = compare(shop_engine, "viewed", steps_to(shop_engine, shop_engine.by_popularity[:2]))
    assert learned.order == "popularity"
    for blend, expected in ((learned, True), (NO_BLEND, False)):
        found = recommend(replace(shop_engine, blends=Blends(viewed=blend)), request)
        assert found.items
        assert found.fallback_used is expected
