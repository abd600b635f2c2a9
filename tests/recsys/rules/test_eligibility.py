"""Each rule by hand on an engine of eight items, and all of them against plain Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys.core.placements import Placement
from recsys.data.dataset import REFUND
from recsys.fitting.engine import Engine
from recsys.models.pairs.purchase_order import ReversedTypePairs
from recsys.models.temporal.rest import NEVER_DAYS, RestModel
from recsys.retrieval.user_state import UserState
from recsys.rules.eligibility import ELIGIBILITY_RULES, dedupe_variants, eligible_mask, rules_for
from tests.recsys.tiny_engine import N_ITEMS, VIEW, allowed, i32, state_of, tiny_engine

ENGINE = tiny_engine()
EVERY = np.arange(N_ITEMS, dtype=np.int32)


def with_reversed(engine: Engine) -> Engine:
    """Type 1 is bought before type 2: to the seeds of type 2, items of type 1 are what they are bought for."""
    pairs = sparse.csr_matrix(([True], ([2], [1])), shape=(3, 3))
    return replace(engine, copurchase=replace(engine.copurchase, reversed_pairs=ReversedTypePairs(pairs, 2.0)))


def with_rest(days: dict[int, float] | None = None, durable: tuple[int, ...] = ()) -> Engine:
    """Some items rest after a purchase, and some types are bought once."""
    rest = ENGINE.repeat.rest
    of_item, of_type = rest.days.copy(), rest.is_durable_type.copy()
    of_item[list(days or {})], of_type[list(durable)] = list((days or {}).values()), True
    return replace(ENGINE, repeat=replace(ENGINE.repeat, rest=RestModel(of_item, of_type)))


def placement(**fields: object) -> Placement:
    return Placement(**({"name": "mine", "anchor": "user", "sources": {}} | fields))  # type: ignore[arg-type]


def kept(placed: Placement, state: UserState, rule: str | None = None) -> list[int]:
    """The rows that one rule, or all of them, keep of the catalogue."""
    if rule is not None and rule not in rules_for(placed, state):
        return EVERY.tolist()
    keep = eligible_mask if rule is None else ELIGIBILITY_RULES[rule]
    mask = keep(placed, state, EVERY)
    assert mask.dtype == np.bool_
    assert mask.shape == EVERY.shape
    return EVERY[mask].tolist()


@pytest.mark.parametrize("rule", ELIGIBILITY_RULES)
def test_a_rule_of_which_nothing_is_asked_keeps_everything(rule: str) -> None:
    assert kept(placement(), state_of((0, 1), (3, 2, VIEW)), rule) == EVERY.tolist()
    assert kept(placement(own="drop", seen_days=9.0, only_complements=True), state_of(), rule) == EVERY.tolist()


def test_rules_that_can_take_nothing_out_do_not_apply() -> None:
    """Each needs something of the placement, of the request or of the history."""
    placed = placement(anchor="item", own="drop", seen_days=9.0, only_complements=True)
    full = state_of((0, 1), (1, 1, REFUND), seeds=i32(2), allowed=allowed(1))
    assert set(ELIGIBILITY_RULES) - set(rules_for(placed, full)) == {"not again so soon", "has one already"}
    resting = state_of((0, 1), (1, 1, REFUND), seeds=i32(2), allowed=allowed(1), engine=with_rest(durable=(2,)))
    assert tuple(rules_for(replace(placed, rests=True), resting)) == tuple(ELIGIBILITY_RULES)
    assert tuple(rules_for(placement(anchor="item"), full)) == ("unavailable", "seed", "returned")
    assert tuple(rules_for(placement(), full)) == ("unavailable", "returned"), "what is in a session may return"
    assert tuple(rules_for(placed, state_of(seeds=i32(2)))) == ("seed", "no complement")
    assert tuple(rules_for(placed, state_of((0, 1)))) == ("own", "seen")


@pytest.mark.parametrize("own", ["keep", "drop"])
def test_what_was_returned_is_not_offered_until_it_is_bought_again(own: str) -> None:
    asked = placement(own=own) if own == "keep" else placement(anchor="item", own=own)
    assert 1 not in kept(asked, state_of((1, 9, REFUND)))
    assert 1 not in kept(asked, state_of((1, 20), (1, 9, REFUND), (1, 3, VIEW)))
    assert kept(asked, state_of((1, 9, REFUND), (1, 3)), "returned") == EVERY.tolist()
    assert kept(asked, state_of((1, 9, VIEW), (1, 3)), "returned") == EVERY.tolist()


def test_what_may_not_be_listed_leaves() -> None:
    assert kept(placement(), state_of(allowed=allowed(1, 6)), "unavailable") == [1, 6]


@pytest.mark.parametrize(("seeds", "left"), [((0,), [2, 3, 4, 5, 6, 7]), ((6, 2), [0, 1, 3, 4, 5, 7]), ((), [*EVERY])])
def test_a_seed_leaves_with_its_variants(seeds: tuple[int, ...], left: list[int]) -> None:
    """Items 0 and 1 are variants of one product; items that stand alone share no product with each other."""
    assert kept(placement(anchor="item"), state_of(seeds=i32(*seeds)), "seed") == left


@pytest.mark.parametrize(("days", "is_kept"), [(0, False), (4.9, False), (5, True), (60, True)])
def test_what_was_bought_is_due_again_after_half_its_interval(days: float, is_kept: bool) -> None:
    assert (2 in kept(placement(own="not_yet_due"), state_of((2, days)), "own")) is is_kept


def test_what_was_bought_is_dropped_or_kept_as_the_placement_says() -> None:
    state = state_of((2, 60), (4, 1), (5, 1, VIEW))
    assert kept(placement(own="drop"), state, "own") == [0, 1, 3, 6, 7], "neither bought nor seen"
    assert kept(placement(own="not_yet_due"), state, "own") == [0, 1, 2, 3, 5, 6, 7]
    assert kept(placement(own="keep"), state, "own") == EVERY.tolist()


def test_a_complement_is_of_another_type() -> None:
    placed = placement(only_complements=True)
    assert kept(placed, state_of(seeds=i32(0)), "no complement") == [2, 3, 4, 5, 6, 7]
    assert kept(placed, state_of(seeds=i32(0, 2)), "no complement") == [4, 5, 6, 7]
    assert kept(placed, state_of(seeds=i32(6)), "no complement") == EVERY.tolist(), "a seed of no type replaces nothing"


def test_a_complement_is_not_what_the_seed_is_bought_for() -> None:
    """Of type 1, both items cost at least twice as much as seed 4, which costs 15."""
    engine = with_reversed(ENGINE)
    placed = placement(only_complements=True)
    assert kept(placed, state_of(engine=engine, seeds=i32(4)), "no complement") == [0, 1, 6, 7]
    cheap = replace(engine.catalog, price=np.where(EVERY == 3, 29, engine.catalog.price).astype(np.float32))
    with_a_cheap_one = replace(engine, catalog=cheap)
    assert kept(placed, state_of(engine=with_a_cheap_one, seeds=i32(4)), "no complement") == [0, 1, 3, 6, 7]
    assert kept(placed, state_of(engine=engine, seeds=i32(2)), "no complement") == [0, 1, 4, 5, 6, 7]


def test_what_was_looked_at_of_late_leaves_but_not_what_was_bought() -> None:
    state = state_of((1, 1), (2, 2.9, VIEW), (3, 3, VIEW), (4, 9, VIEW))
    assert kept(placement(seen_days=3.0), state, "seen") == [0, 1, 3, 4, 5, 6, 7]
    assert kept(placement(seen_days=30.0), state, "seen") == [0, 1, 5, 6, 7]


@pytest.mark.parametrize(("days", "is_kept"), [(1.0, False), (3.9, False), (4.0, True), (30.0, True)])
def test_what_was_bought_rests_for_as_long_as_almost_nobody_buys_it_again(days: float, is_kept: bool) -> None:
    state = state_of((4, days), (5, 1), engine=with_rest({4: 4.0, 7: 9.0}))
    left = [row for row in EVERY.tolist() if is_kept or row != 4]
    assert kept(placement(rests=True), state, "not again so soon") == left
    assert kept(placement(), state, "not again so soon") == EVERY.tolist()


def test_who_buys_a_durable_again_and_again_is_offered_it_when_due() -> None:
    """Two purchases ten days apart: half of the own interval is enough."""
    engine = with_rest({4: NEVER_DAYS})
    for days, is_kept in ((4.9, False), (5.1, True)):
        rows = kept(placement(rests=True), state_of((4, days), (4, days + 10), engine=engine), "not again so soon")
        assert (4 in rows) == is_kept


def test_a_variant_rests_with_the_item() -> None:
    rows = kept(placement(rests=True), state_of((0, 1), engine=with_rest({0: 5.0})), "not again so soon")
    assert rows == [2, 3, 4, 5, 6, 7]


def test_who_has_one_is_offered_no_other_of_a_type_that_is_bought_once() -> None:
    state = state_of((2, 300), (4, 1), (6, 1), engine=with_rest(durable=(1,)))
    assert kept(placement(rests=True), state, "has one already") == [0, 1, 2, 4, 5, 6, 7]


def test_all_rules_together_take_out_what_any_of_them_does() -> None:
    placed = placement(own="drop", seen_days=3.0, only_complements=True)
    state = state_of(
        (4, 1), (6, 1, VIEW), engine=with_reversed(ENGINE), seeds=i32(0), allowed=allowed(0, 1, 2, 4, 6, 7)
    )
    assert kept(placed, state) == [2, 7]


ROWS = st.integers(0, N_ITEMS - 1)


@given(
    events=st.lists(st.tuples(ROWS, st.integers(0, 20), st.sampled_from([VIEW, 7])), max_size=6),
    seeds=st.lists(ROWS, max_size=3),
    own=st.sampled_from(["keep", "drop", "not_yet_due"]),
    seen_days=st.sampled_from([0.0, 5.5]),
    only_complements=st.booleans(),
    rows=st.lists(ROWS, max_size=8),
)
def test_the_rules_are_those_of_plain_python(
    events: list[tuple[int, int, int]],
    seeds: list[int],
    own: str,
    seen_days: float,
    only_complements: bool,
    rows: list[int],
) -> None:
    """Items bought on several days have intervals of their own, so those are read off the state."""
    types, group = ENGINE.catalog.item_type.tolist(), ENGINE.catalog.group.tolist()
    state = state_of(*events, engine=ENGINE, seeds=i32(*seeds))
    bought = dict(zip(state.own.item_idx.tolist(), state.own.elapsed(state.query.now).tolist(), strict=True))
    seen = {row for row, days, kind in events if kind == VIEW and days < seen_days}

    def stays(row: int) -> bool:
        is_variant = any(row == seed or (group[row] == group[seed] >= 0) for seed in seeds)
        is_substitute = only_complements and any(types[row] == types[seed] >= 0 for seed in seeds)
        is_acquainted = own == "drop" and any(row == item for item, _, _ in events)
        is_owned = is_acquainted or (own == "not_yet_due" and bought.get(row, 1.0) < 0.5)
        return not (is_variant or is_substitute or is_owned or row in seen)

    placed = placement(anchor="item", own=own, seen_days=seen_days, only_complements=only_complements)
    assert eligible_mask(placed, state, i32(*rows)).tolist() == [stays(row) for row in rows]


@given(st.lists(ROWS, max_size=10, unique=True))
def test_of_a_product_s_variants_the_first_stays(rows: list[int]) -> None:
    mask = dedupe_variants(ENGINE, i32(*rows)).tolist()
    first = next((row for row in rows if row in (0, 1)), None)
    assert mask == [row not in (0, 1) or row == first for row in rows]


def test_without_variants_every_row_stays() -> None:
    alone = replace(ENGINE, catalog=replace(ENGINE.catalog, group=np.full(N_ITEMS, -1, np.int32)))
    assert dedupe_variants(alone, EVERY).all()
