from __future__ import annotations

from collections import Counter
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.rules.diversity import (
    MIN_PROPENSITY,
    apply_pins,
    apply_promotions,
    apply_tail_quota,
    cap_per_category,
    gumbel_keys,
    mmr,
    propensities,
    seeded_uniform,
)

LENGTHS = st.integers(0, 40)


def _is_an_order(order: np.ndarray, n: int) -> bool:
    return sorted(order.tolist()) == list(range(n))


def test_unlikeness_counts_against_the_score() -> None:
    """Two that are the same, one that is unlike them: at .5 the third, worth .6 / 2, beats 0.45 − 0.5."""
    key = np.array([1.0, 0.9, 0.6])
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert mmr(key, vectors, 0.5, 3).tolist() == [0, 2, 1]
    assert mmr(key, vectors, 0.1, 3).tolist() == [0, 1, 2]


@given(st.lists(st.floats(0.01, 1), max_size=30), st.floats(0, 1), st.integers(0, 40))
def test_diversity_is_an_order_and_none_of_it_is_the_plain_one(
    scores: list[float], diversity: float, n_chosen: int
) -> None:
    key = np.sort(np.array(scores))[::-1]
    vectors = np.random.default_rng(0).standard_normal((len(key), 4)).astype(np.float32)
    assert _is_an_order(mmr(key, vectors, diversity, n_chosen), len(key))
    assert mmr(key, vectors, 0.0, n_chosen).tolist() == list(range(len(key)))


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=12), st.floats(0, 1))
def test_diversity_is_what_a_plain_reading_of_the_formula_gives(scores: list[float], diversity: float) -> None:
    key = np.sort(np.array(scores))[::-1]
    raw = np.random.default_rng(1).standard_normal((len(key), 3))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    chosen: list[int] = []
    for _ in key:
        left = [place for place in range(len(key)) if place not in chosen]
        likeness = {each: max([0.0, *(float(vectors[each] @ vectors[other]) for other in chosen)]) for each in left}
        worth = {each: (1 - diversity) * key[each] / key[0] - diversity * likeness[each] for each in left}
        chosen.append(max(left, key=lambda each: (round(worth[each], 6), -each)))
    found = mmr(key, vectors, diversity, len(key)).tolist()
    assert found == chosen or np.allclose(key[found], key[chosen])


def test_a_category_has_its_bound_until_all_had_their_part() -> None:
    category = np.array([7, 7, 7, 8, -1, 7, 8, -1, -1])
    assert cap_per_category(category, 2).tolist() == [0, 1, 3, 4, 6, 7, 8, 2, 5]
    assert cap_per_category(category[:0], 2).tolist() == []


@given(st.lists(st.integers(-1, 4), max_size=40), st.integers(1, 4))
def test_rounds_are_an_order_and_hold_their_bound(categories: list[int], n_each: int) -> None:
    category = np.array(categories, np.int64)
    order = cap_per_category(category, n_each)
    assert _is_an_order(order, len(category))
    counts = np.bincount(category[category >= 0], minlength=5)
    n_first = int(np.minimum(counts, n_each).sum() + (category < 0).sum())
    first = category[order[:n_first]]
    assert (np.bincount(first[first >= 0], minlength=5) <= n_each).all()


def test_a_share_takes_the_last_place_that_keeps_its_promise() -> None:
    promoted = np.array([False] * 6 + [True] * 4)
    assert apply_promotions([promoted], [0.2], 10).tolist() == [0, 1, 2, 3, 6, 4, 5, 7, 8, 9]
    assert apply_promotions([promoted[::-1]], [0.2], 10).tolist() == list(range(10))


@given(st.lists(st.integers(0, 2), max_size=40), st.floats(0, 0.6), st.floats(0, 0.4))
def test_every_share_is_kept_while_there_are_enough(kinds: list[int], one: float, other: float) -> None:
    kind = np.array(kinds, np.int64)
    matches, shares = [kind == 1, kind == 2], [one, other]
    order = apply_promotions(matches, shares, len(kind))
    assert _is_an_order(order, len(kind))
    for match, share in zip(matches, shares, strict=True):
        had = np.cumsum(match[order])
        due = (share * np.arange(1, len(kind) + 1) + 1e-9).astype(int)
        assert (had >= np.minimum(due, match.sum())).all()
        assert (np.diff(order[match[order]]) > 0).all()


@given(LENGTHS, st.data())
def test_pins_are_at_their_ranks(n: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, max(n - 1, 0)), unique=True, max_size=min(n, 5)))
    ranks = sorted(data.draw(st.lists(st.integers(1, 50), unique=True, min_size=len(places), max_size=len(places))))
    order = apply_pins(n, list(zip(places, ranks, strict=True)))
    assert _is_an_order(order, n)
    for place, rank in zip(places, ranks, strict=True):
        if rank <= n - len(places):
            assert order[rank - 1] == place
    others = [each for each in order.tolist() if each not in places]
    assert others == sorted(others)


@pytest.mark.parametrize("rotation", [0.0, 0.3, 1.0])
def test_chance_is_the_same_for_the_same_seed_and_item(rotation: float) -> None:
    ids = [f"商品{n}" for n in range(200)]
    chance = seeded_uniform(ids, "u1\nhome\n738000")
    assert ((chance > 0) & (chance < 1)).all()
    assert (chance == seeded_uniform(ids, "u1\nhome\n738000")).all()
    assert chance[50:60].tolist() == seeded_uniform(ids[50:60], "u1\nhome\n738000").tolist()
    keys = gumbel_keys(200, chance, rotation)
    assert (keys > 0).all()
    if rotation == 0:
        assert keys.tolist() == (1 / np.arange(1, 201)).tolist()


def test_chance_is_even_and_another_each_day() -> None:
    ids = [str(n) for n in range(2000)]
    chance = seeded_uniform(ids, "u1\nhome\n1")
    assert abs(chance.mean() - 0.5) < 0.03
    assert abs(np.corrcoef(chance, seeded_uniform(ids, "u1\nhome\n2"))[0, 1]) < 0.06


def test_at_full_rotation_the_first_place_goes_by_its_weight() -> None:
    """Of two items, the weights 1 and 1/2 make the first win two draws in three."""
    wins = [np.argmax(gumbel_keys(2, seeded_uniform(["a", "b"], f"u{n}"), 1.0)) == 0 for n in range(4000)]
    assert abs(np.mean(wins) - 2 / 3) < 0.03


@pytest.mark.parametrize("rotation", [0.25, 0.5, 1.0])
def test_propensities_are_how_often_it_comes_so(rotation: float) -> None:
    """Of 20,000 draws; a share is known to 4 standard errors of a binomial one, a rare one to 4 draws."""
    n_draws, ids = 20_000, ["茶", "b", "c", "d"]
    draws = [np.argsort(-gumbel_keys(4, seeded_uniform(ids, f"u{n}"), rotation)) for n in range(n_draws)]
    told = np.array([propensities(draw, rotation) for draw in draws])
    lists = Counter(tuple(draw.tolist()) for draw in draws)
    for drawn in lists:
        for n_first in range(1, 5):
            expected = float(propensities(np.array(drawn), rotation)[:n_first].prod())
            found = sum(n for other, n in lists.items() if other[:n_first] == drawn[:n_first]) / n_draws
            assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / n_draws) + 4 / n_draws
    # Weighing by the inverse makes every item that is left as frequent at a place as every other.
    place, drawn_at = 1, np.array(draws)
    for item in range(4):
        weight = (1 / told[:, place])[drawn_at[:, place] == item].sum() / n_draws
        left = (drawn_at[:, 0] != item).mean()
        assert weight == pytest.approx(left, rel=0.15)


def test_propensities_are_chances_however_long_the_list_and_small_the_rotation() -> None:
    rng = np.random.default_rng(3)
    for rotation in (0.001, 0.05, 1.0):
        found = propensities(rng.permutation(3000), rotation)
        assert ((found >= MIN_PROPENSITY) & (found <= 1)).all()
        assert found[-1] == 1
    assert propensities(np.arange(50), 1e-3) == pytest.approx(np.ones(50))
    assert propensities(np.arange(0), 0.5).tolist() == []


def test_the_tail_takes_the_last_places() -> None:
    is_tail = np.array([False, False, False, False, True, True])
    assert apply_tail_quota(np.arange(6), is_tail, 2, 4).tolist() == [0, 1, 4, 5]
    assert apply_tail_quota(np.arange(6), is_tail, 1, 5).tolist() == [0, 1, 2, 3, 4], "one is there already"
    assert apply_tail_quota(np.arange(6), is_tail, 3, 4).tolist() == [0, 1, 4, 5], "there are no more than two"
    assert apply_tail_quota(np.array([9, 8, 7, 6, 5, 4]), is_tail, 1, 2).tolist() == [9, 5]


@given(st.lists(st.booleans(), max_size=15), st.integers(0, 8), st.integers(0, 20))
def test_the_tail_s_places_are_those_of_plain_python(tail: list[bool], n_tail: int, limit: int) -> None:
    order = np.random.default_rng(len(tail)).permutation(len(tail))
    inside, outside = list(range(min(limit, len(tail)))), [n for n in range(limit, len(tail)) if tail[n]]
    while sum(tail[n] for n in inside) < n_tail and outside and not all(tail[n] for n in inside):
        inside.remove(max(n for n in inside if not tail[n] and n < limit))
        inside.append(outside.pop(0))
    found = apply_tail_quota(order, np.array(tail, np.bool_), min(n_tail, limit), limit)
    if n_tail <= limit:
        assert found.tolist() == order[sorted(inside)].tolist()


def test_a_few_are_chosen_and_the_others_follow_as_they_were() -> None:
    """The second is like the first; the third half as much; the fourth not at all."""
    key = np.array([2.0, 1.6, 1.2, 0.8])
    vectors = np.array([[1, 0], [1, 0], [0.5, np.sqrt(0.75)], [0, 0]], np.float32)
    assert mmr(key, vectors, 0.5, 0).tolist() == [0, 1, 2, 3]
    assert mmr(key, vectors, 0.5, 1).tolist() == [0, 1, 2, 3]
    # .5·.8 − .5·1 = −.1, .5·.6 − .5·.5 = .05, .5·.4 − 0 = .2
    assert mmr(key, vectors, 0.5, 2).tolist() == [0, 3, 1, 2]
    assert mmr(key, vectors, 0.5, 3).tolist() == [0, 3, 2, 1]
    assert mmr(key, vectors, 1.0, 4).tolist() == [0, 3, 2, 1]
    assert mmr(key, vectors, 0.5, 9).dtype == np.int64


def test_likeness_never_counts_for_an_item() -> None:
    """The opposite of what was chosen is no better than what has nothing to do with it."""
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    assert mmr(np.array([1.0, 0.5, 0.5]), vectors, 0.9, 3).tolist() == [0, 1, 2]


def test_uniform_numbers_are_splitmix64_of_two_checksums() -> None:
    """The reference mixes plain integers."""

    def mixed(id_: str, seed: str) -> float:
        x = (crc32(seed.encode()) << 32) + crc32(id_.encode())
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ x >> shift) * factor % 2**64
        return (((x ^ x >> 31) >> 11) + 0.5) / 2**53

    ids = ["a", "商品", "", "🎧"]
    found = seeded_uniform(ids, "u1\n茶\n7")
    assert found.tolist() == [mixed(id_, "u1\n茶\n7") for id_ in ids]
    assert seeded_uniform([], "u1").tolist() == []


def test_keys_by_hand() -> None:
    """`−ln(1/e) = 1` and `−ln(1/e⁴) = 4`."""
    uniform = np.exp([-1.0, -4.0, -4.0])
    assert gumbel_keys(3, uniform, 1.0).tolist() == pytest.approx([1, 1 / 8, 1 / 12])
    assert gumbel_keys(3, uniform, 0.5).tolist() == pytest.approx([1, 1 / 4, 1 / 6])


def test_propensities_by_hand() -> None:
    """Weights are 1, ½, ⅓ at full rotation, and 1, ¼, ⅑ at half of it."""
    assert propensities(np.array([0, 1, 2]), 1.0).tolist() == pytest.approx([6 / 11, 3 / 5, 1])
    assert propensities(np.array([2, 0, 1]), 1.0).tolist() == pytest.approx([2 / 11, 2 / 3, 1])
    assert propensities(np.array([1, 0]), 0.5).tolist() == pytest.approx([1 / 5, 1])
    assert propensities(np.array([50, 0]), 0.01).tolist() == [MIN_PROPENSITY, 1]


def test_rounds_without_bounded_items_and_of_one() -> None:
    assert cap_per_category(np.array([-1, -1]), 1).tolist() == [0, 1]
    assert cap_per_category(np.array([3, 3, 3, 5]), 1).tolist() == [0, 3, 1, 2]
    assert cap_per_category(np.array([5, 3, 3, 3, 5, 5]), 2).tolist() == [0, 1, 2, 4, 3, 5]


def test_two_shares_by_hand() -> None:
    """Of twelve places a fifth and a third: due at 5 and 10, and at 3, 6, 9 and 12, when no more are left."""
    one, other = np.arange(12) >= 10, (np.arange(12) >= 7) & (np.arange(12) < 10)
    assert apply_promotions([one, other], [0.2, 1 / 3], 12).tolist() == [0, 1, 7, 2, 10, 8, 3, 4, 9, 11, 5, 6]
    assert apply_promotions([one], [0.0], 12).tolist() == list(range(12))
    assert apply_promotions([one[:0]], [0.5], 0).tolist() == []
    assert apply_promotions([np.array([False, False, True])], [1.0], 3).tolist() == [2, 0, 1]
    # Two due at once share the place before and the last one that is free.
    assert apply_promotions([np.arange(6) == 4, np.arange(6) == 5], [0.25, 0.25], 6).tolist() == [0, 1, 4, 5, 2, 3]


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 100))
def test_decimal_shares_are_meant_as_written(promoted: list[bool], percent: int) -> None:
    """In whole numbers: of m places `⌊percent·m / 100⌋`, and no item comes before it has to."""
    match, n = np.array(promoted, np.bool_), len(promoted)
    order = apply_promotions([match], [percent / 100], n).tolist()
    had, n_waiting = 0, sum(promoted)
    for place, item in enumerate(order, 1):
        due = min(percent * place // 100, n_waiting)
        is_first_of_others = item == min(set(range(n)) - set(order[: place - 1]))
        assert is_first_of_others or (promoted[item] and had < due)
        had += promoted[item]
        assert had >= due


def test_pins_by_hand() -> None:
    assert apply_pins(4, [(3, 1), (0, 3)]).tolist() == [3, 1, 0, 2]
    assert apply_pins(3, [(0, 9)]).tolist() == [1, 2, 0]
    assert apply_pins(2, []).tolist() == [0, 1]
    assert apply_pins(0, []).dtype == np.int64
