"""What a draft changes for sampled shoppers, against sums by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from recsys.core.request import Recommendations, Request
from recsys.drafts.check import lists_of_text
from recsys.drafts.difference import ListPair, compare_lists, differences_of, sample_shoppers
from recsys.fitting.engine import Engine
from recsys.pipeline.recommender import Recommender
from tests.shop import CASES, OPTED_OUT, PHONES

AS_OF = 1_719_800_000


@pytest.fixture(scope="module")
def recommender(shop_models: object) -> Recommender:
    return Recommender.open(str(shop_models))


def ids(listed: Recommendations) -> tuple[str, ...]:
    return tuple(item.item_id for item in listed.items)


def test_sums_by_hand(shop_engine: Engine) -> None:
    pairs = [
        ListPair("home", (PHONES[0], CASES[0]), (CASES[0], PHONES[0])),
        ListPair("home", (PHONES[0], CASES[0]), (PHONES[0], CASES[1])),
        ListPair("home", (PHONES[0],), (PHONES[0],)),
        ListPair("other", (), (PHONES[3],), is_drafted_fallback=True),
    ]
    home, other = differences_of(pairs, shop_engine, AS_OF)
    assert (home.placement, home.n_lists, home.n_changed, home.n_exchanged) == ("home", 3, 2, 1)
    assert home.kept_share == pytest.approx((1 + 0.5 + 1) / 3)
    assert [(each.name, each.served, each.drafted) for each in home.items] == [(CASES[1], 0, 1), (CASES[0], 2, 1)]
    assert home.categories == ()
    assert (home.served.n_shown, home.served.n_items, home.drafted.n_items) == (5, 2, 3)
    assert home.served.mean_price == pytest.approx((3 * 3999 + 2 * 79) / 5)
    tail = shop_engine.is_tail[shop_engine.item_rows([PHONES[0], CASES[0]])]
    assert home.served.tail_share == pytest.approx((3 * tail[0] + 2 * tail[1]) / 5)
    assert home.served.head_share + home.served.tail_share == pytest.approx(1)
    assert (other.served.n_shown, other.drafted.n_shown, other.drafted.fallback_share) == (0, 1, 1.0)
    assert (other.served.mean_price, other.served.head_share, other.kept_share) == (None, 0.0, 1.0)
    assert [(each.name, each.served, each.drafted) for each in other.brands] == [("远山", 0, 1)]


def test_the_sample_is_of_known_shoppers_and_always_the_same(recommender: Recommender) -> None:
    sample = sample_shoppers(recommender, 20, AS_OF)
    assert sample == sample_shoppers(recommender, 20, AS_OF)
    assert len(set(sample.user_ids)) == 20
    everybody = sample_shoppers(recommender, 10_000, AS_OF)
    assert set(sample.user_ids) < set(everybody.user_ids)
    assert OPTED_OUT not in everybody.user_ids
    assert all(map(recommender.knows_item, everybody.item_ids))


def test_a_shop_without_shoppers_is_compared_by_its_best_sellers(recommender: Recommender) -> None:
    history = recommender.engine.history
    empty = replace(recommender.engine, history=replace(history, indptr=history.indptr * 0))
    sample = sample_shoppers(replace(recommender, engine=empty, live=None), 5, AS_OF)
    assert (sample.user_ids, len(set(sample.item_ids))) == (("",) * 5, 5)


def test_lists_are_those_that_requests_get(recommender: Recommender) -> None:
    book = lists_of_text(b'[placements.for_you]\nlimit = 3\n[placements.mine]\nextends = "similar"\nlimit = 4\n', "x")
    drafted = replace(recommender, book=book)
    sample = sample_shoppers(recommender, 6, AS_OF)
    pairs = list(compare_lists(lambda: recommender, lambda: drafted, ["for_you", "mine"], sample, AS_OF))
    assert Counter(pair.placement for pair in pairs) == {"for_you": 6, "mine": 6}
    first, last = pairs[0], pairs[-1]
    assert first.served == ids(recommender.recommend_for(Request("for_you", AS_OF, user_id=sample.user_ids[0])))
    assert len(first.drafted) == 3
    assert last.served == ()
    asked = Request("mine", AS_OF, 4, user_id=sample.user_ids[-1], item_ids=(sample.item_ids[-1],))
    assert last.drafted == ids(drafted.recommend_for(asked))
    shorter = list(compare_lists(lambda: recommender, lambda: drafted, ["mine"], sample, AS_OF, 2))
    assert {len(pair.drafted) for pair in shorter} == {2}
