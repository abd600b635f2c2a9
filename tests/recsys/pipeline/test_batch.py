from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from recsys.core.errors import RequestError
from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.filters import compile_filter
from recsys.fitting.engine import Engine
from recsys.pipeline import batch as module
from recsys.pipeline.batch import rank_batch, recommend_batch
from recsys.pipeline.recommend import recommend
from recsys.retrieval import block_search
from tests.shop import PHONES, UNAVAILABLE, USERS_WITH_HISTORY, moment

AS_OF = moment(150, 9)
STRANGERS = ("nobody", "nothing")
FILTERS = (None, "price < 500", "price < 500", "price >= 500")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_search, "MIN_USERS", 4)
    monkeypatch.setattr(block_search, "USERS_PER_BLOCK", 7)


def requests_of(engine: Engine, name: str) -> Iterator[Request]:
    """All kinds of users, with and without filters, exclusions and later pages."""
    anchor = PLACEMENTS[name].anchor
    filters = [text and compile_filter(text, engine.items_table.schema) for text in FILTERS]
    for n, user_id in enumerate((*USERS_WITH_HISTORY, *STRANGERS)):
        request = Request(name, AS_OF, 8, user_id, (PHONES[n % 4],) if anchor == "item" else (), filter=filters[n % 4])
        if n % 5 == 0:
            request = replace(request, exclude=(PHONES[0],), n_lookahead=10)
        yield request


@pytest.mark.parametrize("chunk", [1000, 9])
@pytest.mark.parametrize("name", PLACEMENTS)
def test_a_batch_equals_single_requests(
    shop_engine: Engine, name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    requests = list(requests_of(shop_engine, name))
    for request, found in zip(requests, recommend_batch(shop_engine, requests, "v"), strict=True):
        expected = recommend(shop_engine, request, "v")
        scores, exact = ([item.score for item in each.items] for each in (found, expected))
        assert scores == pytest.approx(exact, rel=1e-6)
        assert [structs.replace(item, score=0) for item in found.items] == [
            structs.replace(item, score=0) for item in expected.items
        ]
        assert replace(found, items=()) == replace(expected, items=())


def test_the_search_in_blocks_is_used(shop_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    search = type(shop_engine.index).search
    monkeypatch.setattr(
        type(shop_engine.index), "search", lambda self, *words: (searched.append(1), search(self, *words))[1]
    )
    requests = [Request("for_you", AS_OF, 8, user_id) for user_id in USERS_WITH_HISTORY]
    assert len(list(rank_batch(shop_engine, requests))) == len(requests)
    assert not searched


def test_lists_keep_rows_that_may_be_listed(shop_engine: Engine) -> None:
    gone = shop_engine.item_row(UNAVAILABLE)
    for _, state, ranking in rank_batch(shop_engine, requests_of(shop_engine, "for_you")):
        assert gone not in ranking.item_idx
        assert state.query.allowed is None or state.query.allowed[ranking.item_idx].all()
        assert (np.diff(ranking.score[: state.query.limit]) <= 0).all()


def test_a_request_that_cannot_be_served_is_refused(shop_engine: Engine) -> None:
    with pytest.raises(RequestError, match="not a placement"):
        list(recommend_batch(shop_engine, [Request("nonsense", AS_OF)]))
    assert list(recommend_batch(shop_engine, [])) == []
