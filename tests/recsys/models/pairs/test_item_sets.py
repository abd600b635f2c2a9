"""Item sets: different product types, best first, found by their members."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from recsys.core.ids import NO_ITEM
from recsys.data.catalog import Catalog
from recsys.models.pairs.basket_pairs import Baskets
from recsys.models.pairs.item_sets import MAX_SIZE, NO_ITEM_SETS, ItemSetConfig, ItemSetModel, fit_item_sets
from tests.recsys.basket_shops import BasketShop, with_sets

N_ITEMS = 150
PLANTED = ((20, 90), (30, 70, 110), (10, 100, 120, 140))
CONFIG = ItemSetConfig()


def catalog(**changes: npt.NDArray[np.generic]) -> Catalog:
    """Every item is of a type of its own."""
    types = np.arange(N_ITEMS, dtype=np.int32)
    columns = {
        "item_type": types,
        "type_category": np.full(N_ITEMS, -1, np.int32),
        "type_names": tuple(map(str, types)),
        "group": np.full(N_ITEMS, -1, np.int32),
        "price": np.ones(N_ITEMS, np.float32),
        "available": np.ones(N_ITEMS, np.bool_),
    }
    return Catalog(**{**columns, **changes})


@pytest.fixture(scope="module")
def baskets() -> Baskets:
    return with_sets(BasketShop().baskets(0), PLANTED, 40, 0)


def sets_of(model: ItemSetModel) -> list[tuple[int, ...]]:
    return [tuple(item for item in row if item != NO_ITEM) for row in model.item_idx.tolist()]


def test_planted_sets_are_found_best_first(baskets: Baskets) -> None:
    model = fit_item_sets(baskets, catalog(), CONFIG)
    assert set(PLANTED) <= set(sets_of(model))
    assert model.item_idx.shape == (len(model), MAX_SIZE)
    assert (np.diff(model.support * model.surprise) <= 1e-3).all()
    assert (np.exp(model.surprise) > CONFIG.min_lift).all()
    assert np.exp(model.surprise) == pytest.approx(model.lift, rel=1e-5)
    assert (model.lift < model.support + 1).all(), "few baskets are no evidence of a large lift"


def test_sets_are_found_by_any_of_their_items(baskets: Baskets) -> None:
    model = fit_item_sets(baskets, catalog(), CONFIG)
    sets = sets_of(model)
    for items in ([20], [30, 10], [], [3]):
        found = model.with_any(np.array(items, np.int64))
        assert found.dtype == np.int32
        assert found.tolist() == [n for n, each in enumerate(sets) if set(items) & set(each)]


def test_items_that_replace_each_other_are_in_no_set(baskets: Baskets) -> None:
    same_type = np.arange(N_ITEMS, dtype=np.int32)
    same_type[90] = same_type[20]
    assert (20, 90) not in sets_of(fit_item_sets(baskets, catalog(item_type=same_type), CONFIG))
    variants = np.full(N_ITEMS, -1, np.int32)
    variants[[30, 110]] = 0
    found = sets_of(fit_item_sets(baskets, catalog(group=variants), CONFIG))
    assert (30, 70) in found
    assert not any({30, 110} <= set(items) for items in found)


def test_content_decides_where_a_type_is_unknown(baskets: Baskets) -> None:
    unknown = np.arange(N_ITEMS, dtype=np.int32)
    unknown[[20, 30]] = -1
    found = sets_of(
        fit_item_sets(baskets, catalog(item_type=unknown), CONFIG, lambda item, others: np.isin(others, [item, 90]))
    )
    assert (20, 90) not in found, "90 could replace it"
    assert (30, 70, 110) in found


@pytest.mark.parametrize(
    ("path", "is_kept"), [("Food > Milk > {}", False), ("Food > {}", True), ("{} > Milk > {}", True)]
)
def test_siblings_are_in_one_set_only_if_their_shoppers_do_not_explain_it(path: str, is_kept: bool) -> None:
    """Of 200 shoppers 20 buy each of two items on a third of their trips, at random; the others buy neither."""
    rng = np.random.default_rng(0)
    user = np.tile(np.arange(200), 20).astype(np.int32)
    lines = rng.random((4000, N_ITEMS)) < 0.03
    lines[:, [20, 90]] = (rng.random((4000, 2)) < 0.35) & (user < 20)[:, None]
    lines[:, [30, 70]] = rng.random((4000, 1)) < 0.02
    habits = Baskets(sparse.csr_matrix(lines.astype(np.float32)), np.arange(4000), user)
    names = tuple(path.format(n, n) for n in range(N_ITEMS))
    found = sets_of(fit_item_sets(habits, catalog(type_names=names), CONFIG))
    assert ((20, 90) in found) == is_kept
    assert (30, 70) in found, "they are needed on the same trip"


def test_items_that_are_no_products_are_in_no_set(baskets: Baskets) -> None:
    found = sets_of(fit_item_sets(baskets, catalog(), CONFIG, left_out=np.array([20, 100])))
    assert (10, 120, 140) in found
    assert not any({20, 100} & set(items) for items in found)


def test_settings_bound_the_sets(baskets: Baskets) -> None:
    pairs = fit_item_sets(baskets, catalog(), ItemSetConfig(max_size=2))
    assert {len(items) for items in sets_of(pairs)} == {2}
    strong = fit_item_sets(baskets, catalog(), ItemSetConfig(min_lift=20.0))
    assert (np.exp(strong.surprise) > 20).all()
    often = fit_item_sets(baskets, catalog(), ItemSetConfig(min_support=41))
    assert (often.support >= 41).all()
    assert 0 < len(often) < len(fit_item_sets(baskets, catalog(), CONFIG))
    assert len(fit_item_sets(baskets, catalog(), ItemSetConfig(n_sets=1))) == 1


def test_a_shop_without_baskets_has_no_sets() -> None:
    empty = BasketShop().baskets(0)
    nothing = Baskets(empty.matrix[:0], empty.timestamp[:0], empty.user_idx[:0])
    assert fit_item_sets(nothing, catalog(), CONFIG) is NO_ITEM_SETS
    assert len(NO_ITEM_SETS.with_any(np.array([1, 2]))) == 0
