from __future__ import annotations

import numpy as np
import pytest

from recsys.fitting.engine import Engine
from recsys.live.catalog_overlay import CatalogOverlay
from recsys.live.cold_related_items import N_PROXY_BEST_SELLERS
from tests.recsys.live.test_cold_items import WALLET, overlay_with, settled


@pytest.fixture
def engine(shop_engine: Engine) -> Engine:
    """The shop's engine with one new wallet."""
    return overlay_with(shop_engine, WALLET).engine


def test_the_related_items_of_a_new_item_are_the_mean_of_its_types_best_sellers(
    shop_engine: Engine, engine: Engine
) -> None:
    new = len(shop_engine.items)
    members = np.flatnonzero(shop_engine.catalog.item_type == engine.catalog.item_type[new])
    share = shop_engine.popularity.share[members]
    best = members[np.lexsort((np.arange(len(members)), -share))][:N_PROXY_BEST_SELLERS]
    for name in ("bought_together", "complementary"):
        lists = getattr(shop_engine.copurchase, name)
        mean = np.zeros(new)
        for row in best:
            known = lists.item_idx[row] >= 0
            mean[lists.item_idx[row][known]] += lists.score[row][known] / len(best)
        width = lists.item_idx.shape[1]
        expected = [row for row in np.lexsort((np.arange(new), -mean))[:width].tolist() if mean[row] > 0]
        extended = getattr(engine.copurchase, name)
        found = np.asarray(extended.item_idx[new])
        assert found[found >= 0].tolist() == expected
        np.testing.assert_allclose(np.asarray(extended.score[new])[: len(expected)], mean[expected], rtol=1e-5)


def test_an_item_with_other_content_leaves_the_lists_that_it_joined(shop_engine: Engine) -> None:
    overlay: CatalogOverlay = overlay_with(shop_engine, WALLET)
    new, before = len(shop_engine.items), overlay.engine.copurchase.bought_together
    joined = [row for row in range(new) if new in np.asarray(before.item_idx[row])]
    assert joined
    overlay.apply("new 0", "item_put", {"title": "nothing like it"})
    after = settled(overlay).engine.copurchase.bought_together
    assert not any(new in np.asarray(after.item_idx[row]) for row in range(new))
