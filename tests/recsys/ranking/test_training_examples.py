"""What rankers learn from, on a small random shop: the answers by loops, and the proof that they are not leaked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.dataset import DAY_S, Dataset
from recsys.fitting.engine import EngineConfig
from recsys.fitting.ranker import RankerConfig
from recsys.fitting.ranker_fit import TrainingGroups
from recsys.ranking.features import FEATURES
from recsys.ranking.pair_features import PAIR_FEATURES
from recsys.ranking.training_examples import TrainingRequests, cutoffs, training_requests
from tests.recsys.small_shops import CATALOG
from tests.shop import at, dataset_of, moment, small_config

CUTOFF = moment(40)
HORIZON_DAYS = 10
N_USERS = 12
RANKER = replace(small_config().ranker, horizon_days=HORIZON_DAYS, negative_share=1.0, short_share=0.0)
CONFIG = replace(small_config(), ranker=RANKER)


def shop(seed: int = 0, until_day: int = 60) -> Dataset:
    """Shoppers who each buy two items on some days; one is first seen after the cut-off."""
    rng = np.random.default_rng(seed)
    rows = [
        {"user_id": f"u{user:02d}", "item_id": CATALOG[item]["item_id"], "timestamp": at(moment(day, 9 + user) + 60)}
        for user in range(N_USERS)
        for day in range(41 if user == 0 else user % 3, until_day, 4)
        for item in rng.choice(len(CATALOG), 2, replace=False)
    ]
    return dataset_of(rows, CATALOG)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return shop()


def asked(dataset: Dataset, config: EngineConfig = CONFIG, seed: int = 0) -> TrainingRequests:
    found = training_requests(dataset, config, CUTOFF, np.random.default_rng(seed))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def requests(dataset: Dataset) -> TrainingRequests:
    return asked(dataset)


def answers(dataset: Dataset) -> dict[int, list[tuple[int, int]]]:
    """By shopper who was known at the cut-off, the baskets and items bought within the horizon, in order."""
    events, known, found = dataset.target_events, set[int](), dict[int, list[tuple[int, int]]]()
    for user, item, basket, when in zip(
        events.user_idx.tolist(), events.item_idx.tolist(), events.basket_idx.tolist(), events.timestamp, strict=True
    ):
        if when < CUTOFF:
            known.add(user)
        elif when < CUTOFF + HORIZON_DAYS * DAY_S and user in known:
            found.setdefault(user, []).append((basket, item))
    return found


@pytest.mark.parametrize(
    ("n_cutoffs", "days_known", "expected"),
    [(3, 100, [90, 83, 76]), (3, 20, [10]), (3, 26.9, [16.9]), (3, 27, [17, 10]), (2, 100, [90, 83]), (3, 19, [])],
)
def test_cutoffs_have_a_horizon_before_and_after_them(n_cutoffs: int, days_known: float, expected: list[float]) -> None:
    config = RankerConfig(n_cutoffs=n_cutoffs, step_days=7, horizon_days=10)
    first = dataset_of([{"user_id": "u", "item_id": "a1", "timestamp": at(moment(0))}])
    found = cutoffs(first, moment(days_known), config)
    assert [(each - moment(0)) / DAY_S for each in found] == pytest.approx(expected)


def test_a_shop_without_events_has_no_cutoffs() -> None:
    assert cutoffs(dataset_of(), 0, RankerConfig()) == ()


def test_each_known_shopper_is_asked_once(dataset: Dataset, requests: TrainingRequests) -> None:
    """The one who came after the cut-off is not: nothing was known to ask with."""
    assert len(requests.next.size) == len(requests.new.size) == len(answers(dataset)) == N_USERS - 1


def test_the_right_answers_are_the_next_basket(dataset: Dataset, requests: TrainingRequests) -> None:
    """Every item of so small a shop is a candidate, in the order of rows."""
    assert requests.next.size.tolist() == [len(CATALOG)] * (N_USERS - 1)
    taken = requests.next.taken.reshape(N_USERS - 1, len(CATALOG))
    for row, (_, bought) in zip(taken, sorted(answers(dataset).items()), strict=True):
        first = {item for basket, item in bought if basket == bought[0][0]}
        assert set(np.flatnonzero(row).tolist()) == first


def test_what_is_new_is_answered_by_all_that_was_bought_within_the_horizon(dataset: Dataset) -> None:
    """Shoppers with a past of one day leave items that are new to them; of what they own, none is a candidate."""
    few = dataset.events
    dataset = replace(dataset, events=few.take((few.timestamp >= CUTOFF - 3 * DAY_S) | (few.user_idx < 0)))
    events, found = dataset.target_events, asked(dataset).new
    start = 0
    for (user, bought), size in zip(sorted(answers(dataset).items()), found.size.tolist(), strict=True):
        before = events.take((events.user_idx == user) & (events.timestamp < CUTOFF))
        new = [row for row in range(len(CATALOG)) if row not in before.item_idx]
        ever = {item for _, item in bought}
        taken = found.taken[start : start + size].tolist()
        assert size <= len(new)
        assert sum(taken) <= len(ever.intersection(new))
        assert size < len(new) or taken == [row in ever for row in new]
        start += size


def test_every_table_has_its_columns(requests: TrainingRequests) -> None:
    for groups, names in ((requests.next, FEATURES), (requests.new, FEATURES), (requests.pairs, PAIR_FEATURES)):
        n = int(groups.size.sum())
        assert groups.features.shape == (n, len(names))
        assert (len(groups.taken), len(groups.blend), len(groups.log_lift)) == (n, n, n)
        assert set(groups.taken.tolist()) <= {0, 1}
        assert np.isfinite(groups.blend).all()
        assert np.isfinite(groups.log_lift).all()


def test_candidates_are_described_as_of_the_cutoff(dataset: Dataset, requests: TrainingRequests) -> None:
    idle = requests.next.features[:, FEATURES.index("shopper_idle_days")]
    last = [
        dataset.target_events.timestamp[
            (dataset.target_events.user_idx == user) & (dataset.target_events.timestamp < CUTOFF)
        ].max()
        for user in sorted(answers(dataset))
    ]
    expected = np.repeat([(CUTOFF - 1 - when) / DAY_S for when in last], len(CATALOG))
    np.testing.assert_allclose(idle, expected, rtol=1e-5)


def same(one: TrainingGroups, other: TrainingGroups) -> bool:
    return all(np.array_equal(value, getattr(other, name), equal_nan=True) for name, value in vars(one).items())


def test_features_do_not_see_the_answers(dataset: Dataset, requests: TrainingRequests) -> None:
    """Other items bought after the cut-off change what was taken, and nothing else."""
    events = dataset.events
    later = events.timestamp >= CUTOFF
    shifted = np.where(later, (events.item_idx + 1) % len(CATALOG), events.item_idx).astype(np.int32)
    other = asked(replace(dataset, events=replace(events, item_idx=shifted)))
    for name in ("features", "blend", "log_lift", "size"):
        assert np.array_equal(getattr(requests.next, name), getattr(other.next, name), equal_nan=True), name
    assert not np.array_equal(requests.next.taken, other.next.taken)


def test_what_lies_beyond_the_horizon_is_no_answer(dataset: Dataset, requests: TrainingRequests) -> None:
    within = dataset.until(CUTOFF + HORIZON_DAYS * DAY_S)
    found = asked(within)
    assert all(same(getattr(requests, name), getattr(found, name)) for name in ("next", "new", "pairs"))


def test_where_nothing_was_bought_after_it_a_cutoff_teaches_nothing(dataset: Dataset) -> None:
    assert training_requests(dataset.until(CUTOFF), CONFIG, CUTOFF, np.random.default_rng(0)) is None


def test_where_nobody_was_known_before_there_are_pairs_alone() -> None:
    rows = [
        {"user_id": user, "item_id": item, "timestamp": at(moment(day, 9) + 60)}
        for user, day in (("old", 1), ("new", 41))
        for item in ("a1", "b1")
    ]
    found = asked(dataset_of(rows, CATALOG))
    assert len(found.next.size) == len(found.new.size) == 0
    assert found.next.features.shape == (0, len(FEATURES))


def test_few_shoppers_are_drawn_and_few_candidates_that_were_not_taken(dataset: Dataset) -> None:
    few = replace(CONFIG, ranker=replace(RANKER, max_shoppers=4, negative_share=0.25))
    found = asked(dataset, few)
    assert len(found.next.size) == 4
    n_taken = np.bincount(np.repeat(np.arange(4), found.next.size), found.next.taken, 4)
    assert (n_taken > 0).all(), "what was taken is never thinned out"
    assert found.next.size.sum() < 4 * len(CATALOG)


def test_a_second_example_has_forgotten_all_but_a_few_items(dataset: Dataset) -> None:
    forgetful = replace(CONFIG, ranker=replace(RANKER, short_share=1.0, max_short=2))
    found = asked(dataset, forgetful).next
    assert len(found.size) == 2 * (N_USERS - 1)
    n_items = found.features[:, FEATURES.index("shopper_distinct_items")]
    per_request = [set(part.tolist()) for part in np.split(n_items, np.cumsum(found.size)[:-1])]
    assert all(len(part) == 1 for part in per_request)
    assert all(max(part) <= 2 for part in per_request[1::2])
    assert any(max(part) > 2 for part in per_request[::2])


def test_the_same_seed_draws_the_same(dataset: Dataset) -> None:
    few = replace(CONFIG, ranker=replace(RANKER, max_shoppers=4, negative_share=0.5))
    one, two, other = asked(dataset, few), asked(dataset, few), asked(dataset, few, seed=1)
    assert same(one.next, two.next)
    assert not same(one.next, other.next)
