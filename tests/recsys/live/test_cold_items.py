"""Cold items against brute-force references, on the shop's engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from recsys.fitting.engine import Engine
from recsys.live.catalog_overlay import CatalogOverlay
from recsys.live.cold_items import N_PROXY_ITEMS, ColdItems
from recsys.live.cold_related_items import PROXY_DISCOUNT
from recsys.models.content.similarity import Similarity, list_similar, reweighted
from tests.shop import SHELVES

WALLET: dict[str, Any] = {
    "title": "手工皮具 钱包 新款味",
    "category": ["手工", "皮具", "钱包"],
    "tags": ["手工", "真皮", "小众"],
    "brand": "匠心",
}


def overlay_with(engine: Engine, *items: dict[str, Any]) -> CatalogOverlay:
    overlay = CatalogOverlay(engine)
    for number, item in enumerate(items):
        overlay.apply(f"new {number}", "item_put", item)
    return settled(overlay)


def settled(overlay: CatalogOverlay) -> CatalogOverlay:
    """The overlay after its changed items got their content."""
    while (found := overlay.unsettled()) is not None:
        overlay.settle(found.settled())
    return overlay


@pytest.fixture
def engine(shop_engine: Engine) -> Engine:
    """The shop's engine with one new wallet."""
    return overlay_with(shop_engine, WALLET).engine


def test_nothing_changes_without_new_items(shop_engine: Engine) -> None:
    cold = ColdItems(shop_engine)
    cold.grow(shop_engine.catalog)
    found = cold.compute(np.empty(0, np.int64), shop_engine.items_table.head(0))
    cold.link(found)
    cold.place(found)
    idx, score = cold.similar()
    np.testing.assert_array_equal(np.asarray(idx), shop_engine.hybrid.similar_idx)
    np.testing.assert_array_equal(np.asarray(score), shop_engine.hybrid.similar_score)
    assert len(cold.own_vectors) == 0


def test_a_new_item_lists_the_items_with_the_most_similar_content(shop_engine: Engine, engine: Engine) -> None:
    new = len(shop_engine.items)
    listed = [row for row in np.asarray(engine.hybrid.similar_idx[new]).tolist() if row >= 0]
    wallets = set(shop_engine.items.rows(SHELVES["wallets"].ids).tolist()) if "wallets" in SHELVES else set()
    same_type = set(np.flatnonzero(shop_engine.catalog.item_type == engine.catalog.item_type[new]).tolist())
    assert wallets <= same_type
    assert set(listed[: len(same_type)]) & same_type
    assert new not in listed
    score = np.asarray(engine.hybrid.similar_score[new])[: len(listed)]
    assert (np.diff(score) <= 0).all()
    assert (score > 0).all()


def test_a_new_item_has_the_lists_that_it_would_have_if_it_had_been_in_the_catalog(
    shop_engine: Engine, engine: Engine
) -> None:
    """Of the same features: its own list, and its place and score in the lists of others.

    Scores are stored as integers, so items whose scores are equal in four digits may change places.
    """
    new, content = len(shop_engine.items), shop_engine.content
    features = sparse.vstack([content.features, content.encode(engine.items_table[new:])]).tocsr()
    bought = shop_engine.history.incidence(shop_engine.dataset_info.target_event, new + 1)
    weighted = reweighted(features, shop_engine.hybrid.feature_weights.weight)
    similarity = Similarity(weighted, bought, engine.catalog.item_type, shop_engine.config.hybrid)
    idx, score = list_similar(similarity, content.project(features), engine.catalog)
    assert (idx == new).sum() > 1
    for row in [new, *np.flatnonzero((idx == new).any(axis=1)).tolist()]:
        listed, values = np.asarray(engine.hybrid.similar_idx[row]), np.asarray(engine.hybrid.similar_score[row])
        expected = dict(zip(idx[row].tolist(), score[row].tolist(), strict=True))
        assert dict(zip(listed.tolist(), values.tolist(), strict=True)) == pytest.approx(expected, abs=2e-5)
        np.testing.assert_allclose(values, score[row], atol=2e-5)


def test_lists_without_new_items_are_those_of_the_bundle(shop_engine: Engine, engine: Engine) -> None:
    new = len(shop_engine.items)
    for row in range(new):
        listed = np.asarray(engine.hybrid.similar_idx[row])
        if new not in listed:
            np.testing.assert_array_equal(listed, shop_engine.hybrid.similar_idx[row])


def test_a_new_item_joins_the_lists_of_its_proxies_at_a_discount(shop_engine: Engine, engine: Engine) -> None:
    new = len(shop_engine.items)
    idx, score = np.asarray(engine.hybrid.similar_idx[new]), np.asarray(engine.hybrid.similar_score[new])
    proxies = dict(list(zip(idx[idx >= 0].tolist(), score[idx >= 0].tolist(), strict=True))[:N_PROXY_ITEMS])
    before, after = shop_engine.copurchase.bought_together, engine.copurchase.bought_together
    n_joined = 0
    for row in range(new):
        listed = dict(zip(before.item_idx[row].tolist(), before.score[row].tolist(), strict=True))
        expected = max((PROXY_DISCOUNT * s * listed[p] for p, s in proxies.items() if p in listed), default=0.0)
        found = dict(zip(np.asarray(after.item_idx[row]).tolist(), np.asarray(after.score[row]).tolist(), strict=True))
        if new in found:
            n_joined += 1
            assert found[new] == pytest.approx(expected, rel=1e-5)
        else:
            assert expected <= min(found.values()) + 1e-6
    assert n_joined


def test_expected_values_of_a_new_item_are_those_of_its_type(shop_engine: Engine, engine: Engine) -> None:
    new = len(shop_engine.items)
    members = shop_engine.catalog.item_type == engine.catalog.item_type[new]
    mean = shop_engine.repeat.repeat_rate[members].mean()
    assert engine.repeat.repeat_rate[new] == pytest.approx(mean, rel=1e-5)
    share = np.sort(shop_engine.popularity.share[members])
    expected = float(share[len(share) // 2])
    rows, scores = engine.affinity.score(np.flatnonzero(members)[:1].astype(np.int32), np.ones(1, np.float32))
    assert dict(zip(rows.tolist(), scores.tolist(), strict=True))[new] == pytest.approx(
        expected / (share.sum() + expected), rel=1e-5
    )


def test_an_item_without_a_type_has_the_default(shop_engine: Engine) -> None:
    engine = overlay_with(shop_engine, {"title": "untyped"}).engine
    new = len(shop_engine.items)
    assert engine.catalog.item_type[new] == -1
    assert engine.repeat.repeat_rate[new] == pytest.approx(shop_engine.repeat.repeat_rate.mean(), rel=1e-5)
    np.testing.assert_array_equal(np.asarray(engine.timeofday.lift[new]), 1.0)
    assert (np.asarray(engine.copurchase.complementary.item_idx[new]) == -1).all()


def test_new_items_one_by_one_equal_new_items_at_once(shop_engine: Engine) -> None:
    other = WALLET | {"title": "皮具 卡包", "tags": ["真皮"]}
    at_once = overlay_with(shop_engine, WALLET, other).engine
    overlay = overlay_with(shop_engine, WALLET)
    assert len(overlay.engine.items) == len(shop_engine.items) + 1
    overlay.apply("new 1", "item_put", other)
    one_by_one = settled(overlay).engine
    np.testing.assert_array_equal(np.asarray(one_by_one.hybrid.similar_idx), np.asarray(at_once.hybrid.similar_idx))
    np.testing.assert_allclose(
        np.asarray(one_by_one.hybrid.similar_score), np.asarray(at_once.hybrid.similar_score), atol=1e-6
    )
    np.testing.assert_allclose(np.asarray(one_by_one.hybrid.vectors), np.asarray(at_once.hybrid.vectors), atol=1e-6)


def test_a_changed_item_gets_new_similar_items_and_keeps_its_vector(shop_engine: Engine) -> None:
    overlay = CatalogOverlay(shop_engine)
    moved = shop_engine.items.ids[0]
    overlay.apply(moved, "item_patch", {k: v for k, v in WALLET.items() if k != "category"})
    engine = settled(overlay).engine
    np.testing.assert_array_equal(np.asarray(engine.hybrid.vectors[0]), shop_engine.hybrid.vectors[0])
    assert not np.array_equal(np.asarray(engine.hybrid.similar_score[0]), shop_engine.hybrid.similar_score[0])
