"""Floors on real data: every model is worth more than popularity on weeks that it was not fitted on.

One slice of the demo, small enough to fit in half a minute: the figures are floors, no report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.core.topk import top_k
from recsys.data.dataset import Dataset
from recsys.fitting.engine import Engine
from recsys.models.collaborative.ease import EASEConfig
from recsys.models.content.hybrid import complete_factors
from recsys.pipeline.recommend import recommend
from recsys.pipeline.resolve import resolve
from recsys.ranking.fit import fit_engine
from recsys.retrieval.sources import CANDIDATE_SOURCES
from tests.shop import DAY_S, small_config

K = 10
HELD_OUT_DAYS = 28

Ranked = Callable[[str], npt.NDArray[np.int32]]


@dataclass(frozen=True)
class Split:
    """The slice before the held-out weeks, fitted, and what was bought in them."""

    past: Dataset
    future: Dataset
    engine: Engine
    cutoff: int

    def bought(self, user_id: str) -> set[int]:
        events = self.future.target_events
        return set(events.item_idx[events.user_idx == self.past.users.row(user_id)].tolist())

    def owned(self, user_id: str) -> set[int]:
        events = self.past.target_events
        return set(events.item_idx[events.user_idx == self.past.users.row(user_id)].tolist())

    def recall(self, ranked: Ranked, *, new_only: bool = False) -> float:
        """Mean over shoppers of the share of what they bought that is among the first ten."""
        shares = []
        for user_id in self.past.users.ids:
            relevant = self.bought(user_id) - (self.owned(user_id) if new_only else set())
            if relevant:
                shares.append(len(relevant & set(ranked(user_id)[:K].tolist())) / len(relevant))
        assert len(shares) > 200
        return float(np.mean(shares))

    def served(self, placement: str) -> Ranked:
        """Rows of a list as it is served."""

        @cache
        def ranked(user_id: str) -> npt.NDArray[np.int32]:
            answer = recommend(self.engine, Request(placement, self.cutoff, K, user_id))
            return self.engine.items.rows(item.item_id for item in answer.items)

        return ranked

    def found_by(self, source: str) -> Ranked:
        """Rows of one source alone, best first."""

        def ranked(user_id: str) -> npt.NDArray[np.int32]:
            placement = PLACEMENTS["for_you"]
            state = resolve(self.engine, Request("for_you", self.cutoff, K, user_id), placement)
            rows, score = CANDIDATE_SOURCES[source](state)
            return rows[top_k(score, K, rows)]

        return ranked

    def popular(self, _: str) -> npt.NDArray[np.int32]:
        return self.engine.by_popularity[:K]

    def popular_unseen(self, user_id: str) -> npt.NDArray[np.int32]:
        owned = self.owned(user_id)
        return np.array([row for row in self.engine.by_popularity[:500] if row not in owned][:K])


@pytest.fixture(scope="module")
def split(demo_slice: Dataset) -> Split:
    cutoff = demo_slice.end - HELD_OUT_DAYS * DAY_S
    past = demo_slice.until(cutoff)
    kept = demo_slice.events.timestamp >= cutoff
    config = small_config()
    config = replace(config, als=replace(config.als, n_factors=32), ease=EASEConfig(n_items=500))
    return Split(past, replace(demo_slice, events=demo_slice.events.take(kept)), fit_engine(past, config), cutoff)


def test_the_slice_is_real(split: Split) -> None:
    assert len(split.past.users) == 250
    assert len(split.past.events) > 100_000
    assert split.past.has_hours


@pytest.mark.parametrize(("source", "times"), [("repeat", 2.0), ("als", 1.2), ("together", 1.2), ("affinity", 1.2)])
def test_a_source_alone_finds_more_of_what_is_bought_than_popularity(source: str, times: float, split: Split) -> None:
    assert split.recall(split.found_by(source)) > times * split.recall(split.popular)


@pytest.mark.parametrize("placement", ["for_you", "time_of_day"])
def test_a_list_for_a_shopper_beats_popularity(placement: str, split: Split) -> None:
    assert split.recall(split.served(placement)) > 2 * split.recall(split.popular)


def test_discoveries_range_wider_than_popularity_and_find_about_as_much(split: Split) -> None:
    """Of what is new to them, so few shoppers buy too little to tell the two apart in a month."""
    discover, users = split.served("discover"), split.past.users.ids

    def n_listed(ranked: Ranked) -> int:
        return len(np.unique(np.concatenate([ranked(user_id) for user_id in users])))

    assert n_listed(discover) > 5 * n_listed(split.popular_unseen)
    assert split.recall(discover, new_only=True) > 0.6 * split.recall(split.popular_unseen, new_only=True)


def _found(split: Split, placement: str) -> tuple[float, float]:
    """Of baskets of the future, one item given: how far the first ten find the others, and how far best sellers do.

    For `bought_together` a hit counts once per basket. For `complementary` every hit counts by the rarity of the item,
    and neither side may count, nor list, an item of the given one's type.
    """
    past = split.past.target_events
    line = np.unique(past.basket_idx.astype(np.int64) * len(split.engine.items) + past.item_idx)
    rarity = 1 / np.maximum(np.bincount(line % len(split.engine.items), minlength=len(split.engine.items)), 1)
    rng, engine, events = np.random.default_rng(0), split.engine, split.future.target_events
    hits = []
    for basket in rng.choice(np.unique(events.basket_idx), 800, replace=False):
        held = np.unique(events.item_idx[events.basket_idx == basket])
        seed = int(rng.choice(held))
        answer = recommend(engine, Request(placement, split.cutoff, K, None, (engine.items.ids[seed],)))
        found = engine.items.rows(item.item_id for item in answer.items)
        types = engine.catalog.item_type
        allowed = np.arange(len(types)) != seed
        if placement == "complementary":
            allowed &= types != types[seed]
        others = held[allowed[held]]
        if len(others):
            best = engine.by_popularity[allowed[engine.by_popularity]][:K]
            if placement == "complementary":
                total = rarity[others].sum()
                hits.append([rarity[np.intersect1d(listed, others)].sum() / total for listed in (found, best)])
            else:
                hits.append([np.isin(listed, others).any() for listed in (found, best)])
    assert len(hits) > 400
    mine, theirs = np.mean(hits, axis=0)
    return float(mine), float(theirs)


@pytest.mark.parametrize("placement", ["complementary", "bought_together"])
def test_what_goes_with_an_item_beats_the_best_sellers(placement: str, split: Split) -> None:
    mine, theirs = _found(split, placement)
    assert mine > 1.1 * theirs


def test_lifts_foretell_the_hour_at_which_items_sell(split: Split) -> None:
    """Mean `ln lift` of the future's purchases at their own hour; knowing nothing of the item gives 0."""
    model, events = split.engine.timeofday, split.future.target_events
    lift = model.lift[events.item_idx, model.bucket_of_hour[events.hour]]
    assert np.log(lift).mean() > 0.001


def test_cold_items_are_shown_to_those_who_will_buy_them(split: Split) -> None:
    """The factors of some items are hidden: of their buyers and the others, by what their content lends them.

    Popularity gives every shopper the same score: an area of one half.
    """
    engine, rng = split.engine, np.random.default_rng(1)
    hidden = rng.choice(np.flatnonzero(engine.popularity.n_buyers >= 15), 80, replace=False)
    factors, n_buyers = np.array(engine.als.item_factors), engine.popularity.n_buyers.copy()
    factors[hidden], n_buyers[hidden] = 0, 0
    vectors = complete_factors(factors, engine.content.embedding, n_buyers, engine.config.hybrid)
    tastes, has_bought = [], np.zeros((len(engine.users), len(engine.items)), np.bool_)
    has_bought[split.past.target_events.user_idx, split.past.target_events.item_idx] = True
    for user in range(len(engine.users)):
        history = engine.history.of(user, split.cutoff)
        age_s = split.cutoff - history.timestamp
        rows, weight = engine.als.weights_of(history.item_idx, history.event_type, age_s, history.rating_weight)
        seen = ~np.isin(rows, hidden)
        tastes.append(engine.als.fold_in(rows[seen], weight[seen]))
    score = np.array(tastes) @ vectors[hidden].T
    areas = []
    for place, item in enumerate(hidden):
        mine, others = score[has_bought[:, item], place], score[~has_bought[:, item], place]
        areas.append((mine[:, None] > others).mean())
    assert np.mean(areas) > 0.55


def test_like_by_content_is_bought_together_more_often_than_chance(split: Split) -> None:
    """Of each item's nearest ten by content, the mean chance to share its basket, against that of any ten."""
    engine, rng = split.engine, np.random.default_rng(2)
    lists = engine.copurchase.bought_together
    near, chance = [], []
    for item in rng.choice(np.flatnonzero(engine.popularity.n_buyers >= 10), 300, replace=False):
        cosine = engine.content.similarity(int(item), np.arange(len(engine.items), dtype=np.int32))
        cosine[item] = -1
        together = lists.item_idx[item][lists.n_together[item] > 0]
        near.append(np.isin(top_k(cosine, K), together).mean())
        chance.append(np.isin(rng.choice(len(cosine), K), together).mean())
    assert np.mean(near) > 3 * np.mean(chance)
