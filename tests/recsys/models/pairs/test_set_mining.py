"""Mined sets: planted ones are found, chance is not, and every number equals a loop over the baskets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.models.pairs import set_mining
from recsys.models.pairs.set_mining import MinedSets, MiningLimits, Rows, mine_sets
from tests.recsys.basket_shops import BasketShop, baskets_of, with_sets

LIMITS = MiningLimits(max_size=4, min_support=4, min_lift=1.5, false_share=0.05, per_item=50, n_sets=10_000)


def any_pair(first: Rows, second: Rows) -> npt.NDArray[np.bool_]:
    return np.ones(len(first), np.bool_)


def found_in(mined: list[MinedSets]) -> dict[tuple[int, ...], int]:
    """The sets and their support."""
    return {
        tuple(items): support
        for sets in mined
        for items, support in zip(sets.items.tolist(), sets.support.tolist(), strict=True)
    }


@pytest.mark.parametrize(
    "shop",
    [
        BasketShop(),
        BasketShop(skew=0.5),
        BasketShop(size_spread=1.2),
        BasketShop(seasons=2.0),
        BasketShop(n_users=40),
        BasketShop(n_items=8, skew=0.5),
    ],
    ids=["skewed", "even", "large baskets", "seasons", "few users", "few items"],
)
def test_independent_baskets_have_no_sets(shop: BasketShop) -> None:
    """Without a bound on the lift, at most one shop in twenty may have a pair; none of four has one."""
    limits = MiningLimits(4, 2, 1.0, 0.05, 50, 10_000)
    assert [found_in(mine_sets(shop.baskets(seed), any_pair, limits)) for seed in range(4)] == [{}] * 4


def test_the_share_of_false_pairs_is_as_stated() -> None:
    """Half of the pairs may be chance here, so some shops have such pairs; most pairs are the planted ones."""
    planted = [(n, 30 + n) for n in range(10, 30)]
    limits = MiningLimits(2, 2, 1.0, 0.5, 50, 10_000)
    shop = BasketShop(n_items=60, n_baskets=1500, n_users=100_000)
    n_false = n_found = 0
    for seed in range(8):
        found = found_in(mine_sets(with_sets(shop.baskets(seed), planted, 30, seed), any_pair, limits))
        n_found += len(found)
        n_false += len(found.keys() - planted)
    assert n_found - n_false == 8 * len(planted)
    assert 0 < n_false / n_found < 0.5, "a test that never rejects would be no test"


@pytest.mark.parametrize("seed", range(3))
def test_planted_sets_are_found_and_nothing_else(seed: int) -> None:
    planted = [(20, 90), (5, 60), (30, 70, 110), (41, 71, 111), (10, 100, 120, 140)]
    baskets = with_sets(BasketShop().baskets(seed), planted, 40, seed)
    found = found_in(mine_sets(baskets, any_pair, LIMITS))
    parts = {part for items in planted for size in range(2, 5) for part in combinations(items, size)}
    assert set(planted) <= set(found)
    assert set(found) <= parts


def test_an_independent_item_makes_no_triple() -> None:
    """A bestseller is in many baskets of a pair, and says nothing about it."""
    shop = BasketShop()
    found = found_in(mine_sets(with_sets(shop.baskets(0), [(20, 90)], 400, 0), any_pair, LIMITS))
    assert list(found) == [(20, 90)]


def test_the_habit_of_one_user_is_no_set() -> None:
    """The same baskets are a set if they are of many people."""
    rng = np.random.default_rng(0)
    baskets = [[45, 46] if n % 60 == 0 else rng.choice(45, 2 + n % 3, replace=False).tolist() for n in range(900)]
    people = np.arange(900)
    assert found_in(mine_sets(baskets_of(baskets, 50, people), any_pair, LIMITS)) == {(45, 46): 15}
    of_one = np.where(people % 60 == 0, 7, people)
    assert found_in(mine_sets(baskets_of(baskets, 50, of_one), any_pair, LIMITS)) == {}


def test_support_and_lift_equal_a_loop_over_the_baskets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_mining, "BASKETS_PER_STRATUM", 10_000)
    planted = [(3, 9), (1, 5, 8)]
    shop = with_sets(BasketShop(n_items=80, n_baskets=600, skew=0.3).baskets(1), planted, 60, 1)
    contents = [set(row.indices.tolist()) for row in shop.matrix]
    mined = mine_sets(shop, any_pair, LIMITS)
    support = {items: sum(set(items) <= basket for basket in contents) for items in found_in(mined)}
    assert found_in(mined) == support
    assert {(3, 9), (1, 5, 8)} <= set(support)
    several = [basket for basket in contents if len(basket) > 1]
    places = sum(map(len, several))
    share = {item: sum(item in basket for basket in several) / places for item in range(80)}
    for sets in mined:
        ways = sum(np.prod([len(basket) - n for n in range(sets.items.shape[1])]) for basket in several)
        for items, lift, n in zip(sets.items.tolist(), sets.lift.tolist(), sets.support.tolist(), strict=True):
            assert lift == pytest.approx(n / (ways * np.prod([share[item] for item in items])), rel=1e-6)
        assert (sets.cautious_lift < sets.lift).all()


@given(st.integers(1, 6), st.integers(0, 10_000))
def test_only_pairs_that_may_join_are_in_a_set(n_types: int, seed: int) -> None:
    shop = with_sets(BasketShop(n_items=20, n_baskets=300).baskets(seed), [(2, 5, 9), (3, 4, 10), (6, 7)], 40, seed)
    mined = mine_sets(shop, lambda first, second: first % n_types != second % n_types, LIMITS)
    for items in found_in(mined):
        assert len({item % n_types for item in items}) == len(items)
        assert sorted(set(items)) == list(items)


def test_the_best_sets_are_kept_per_item_and_in_all() -> None:
    """The first item has five partners; each partner keeps its only set, the first item two."""
    baskets = with_sets(BasketShop().baskets(0), [(5, 50 + n) for n in range(5)], 40, 0)
    whole = mine_sets(baskets, any_pair, LIMITS)
    assert set(found_in(whole)) == {(5, 50 + n) for n in range(5)}
    for per_item, n_sets, expected in ((1, 100, 5), (50, 2, 2)):
        some = mine_sets(baskets, any_pair, MiningLimits(4, 4, 1.5, 0.05, per_item, n_sets))
        assert list(found_in(some)) == list(found_in(whole))[:expected]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    baskets = with_sets(BasketShop().baskets(0), [(30, 70, 110), (20, 90)], 40, 0)
    whole = mine_sets(baskets, any_pair, LIMITS)
    monkeypatch.setattr(set_mining, "BLOCK_ENTRIES", 500)
    parts = mine_sets(baskets, any_pair, LIMITS)
    assert found_in(parts) == found_in(whole)
    assert all((one.lift == other.lift).all() for one, other in zip(whole, parts, strict=True))


@pytest.mark.parametrize("contents", [[], [[0]], [[0, 1]], [[0, 1]] * 30])
def test_shops_without_evidence_have_no_sets(contents: list[list[int]]) -> None:
    """Two items that are in every basket have nothing to be compared with."""
    assert mine_sets(baskets_of(contents, 3), any_pair, LIMITS) == []
