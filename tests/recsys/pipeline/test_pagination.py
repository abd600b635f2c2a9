from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recsys.bundles.bundle import Manifest
from recsys.core.errors import RequestError
from recsys.core.placements import PLACEMENTS
from recsys.core.request import MAX_LIMIT, Request
from recsys.data.dataset import Dataset
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.pipeline.pagination import (
    MAX_AGE_S,
    MAX_REST,
    PageSeal,
    next_page,
    page_state,
    read_token,
    start_token,
    token_version,
    write_token,
)
from recsys.pipeline.recommend import RankedResult
from recsys.pipeline.recommender import Recommender
from recsys.ranking.fit import fit_engine
from recsys.rules.loader import parse_placements
from tests.recsys.small_shops import ITEMS, USERS, shops
from tests.shop import USERS_WITH_HISTORY, WEEKLY_ITEM, small_config

PLACED = {
    "mixed": {"extends": "for_you", "rotation": 0.5, "diversity": 0.3, "max_per_category": 1},
    "arranged": {
        "extends": "for_you",
        "pins": [{"item_id": "b1", "rank": 2}],
        "promotions": [{"filter": "price < 50", "share": 0.4}],
    },
}
NAMES = [name for name, each in PLACEMENTS.items() if each.tail_share == 0 and each.lists == "items"] + list(PLACED)


def open_over(engine: Engine, version: str = "v1") -> Recommender:
    manifest = Manifest.__new__(Manifest)
    object.__setattr__(manifest, "version", version)
    return Recommender(engine, manifest, LiveView(engine), book=parse_placements({"placements": PLACED}))


def happen(recommender: Recommender, seq: int, at: int, user_id: str, item_id: str) -> None:
    assert recommender.live is not None
    body = {"event": "purchase", "item_id": item_id, "user_id": user_id}
    recommender.live.apply(
        [StoredEntry(recommender.engine.dataset_info.store_seq + seq, LogEntry("event", f"e{seq}", at, at, body))]
    )


def request_for(recommender: Recommender, placement: str, user_id: str, limit: int) -> Request:
    anchor = recommender.placements[placement].anchor
    return Request(placement, recommender.engine.dataset_info.end, limit, user_id, ("a1",) if anchor == "item" else ())


SEAL = PageSeal(b"the key of one server", 1_700_000_000)


def after(recommender: Recommender, request: Request, token: str) -> tuple[RankedResult, str | None]:
    return next_page(recommender, request, read_token(token, recommender, SEAL), SEAL)


def first_page(recommender: Recommender, request: Request) -> tuple[RankedResult, str | None]:
    """The first page with a token of all that follows, as later pages have."""
    found = recommender.recommend_with_trace(replace(request, n_lookahead=MAX_REST))
    state = page_state(recommender, request, found.rest, len(found.recommendations.items))
    return found, write_token(state, recommender, SEAL)


@settings(max_examples=25)
@given(
    dataset=shops(),
    placement=st.sampled_from(NAMES),
    user_id=st.sampled_from((*USERS, "stranger")),
    limits=st.lists(st.integers(1, 4), min_size=8, max_size=8),
    bought=st.lists(st.sampled_from((*ITEMS, "new-1")), max_size=8),
)
def test_pages_neither_repeat_nor_leave_out_though_events_arrive(
    dataset: Dataset, placement: str, user_id: str, limits: list[int], bought: list[str]
) -> None:
    recommender = open_over(fit_engine(dataset, small_config()))
    whole, none = first_page(recommender, request_for(recommender, placement, user_id, MAX_LIMIT))
    assert none is None
    expected = [item.item_id for item in whole.recommendations.items]
    found, token = first_page(recommender, request_for(recommender, placement, user_id, limits[0]))
    listed = [item.item_id for item in found.recommendations.items]
    for seq, limit in enumerate(limits[1:], 1):
        if token is None:
            break
        if seq <= len(bought):
            happen(recommender, seq, recommender.engine.dataset_info.end, user_id, bought[seq - 1])
        found, token = after(recommender, request_for(recommender, placement, user_id, limit), token)
        listed += [item.item_id for item in found.recommendations.items]
        assert all(item.reasons for item in found.recommendations.items)
    assert listed == expected[: len(listed)]
    assert token is not None or len(listed) == len(expected)


def test_the_tail_has_its_share_of_the_first_page_and_the_rest_follows(shop_engine: Engine) -> None:
    recommender = open_over(shop_engine)
    request = Request("discover", shop_engine.dataset_info.end, 20, USERS_WITH_HISTORY[3])
    first, token = first_page(recommender, request)
    assert first.recommendations == recommender.recommend_for(request)
    assert token is not None
    rest, end = after(recommender, replace(request, limit=MAX_LIMIT), token)
    assert end is None
    listed = [item.item_id for item in (*first.recommendations.items, *rest.recommendations.items)]
    whole, _ = first_page(recommender, replace(request, limit=MAX_LIMIT))
    assert sorted(listed) == sorted(item.item_id for item in whole.recommendations.items)


def test_an_erasure_between_pages_leaves_reasons_that_are_true(shop_engine: Engine) -> None:
    recommender = open_over(shop_engine)
    user_id, end = USERS_WITH_HISTORY[9], shop_engine.dataset_info.end
    request = Request("for_you", end, 5, user_id)
    _, token = first_page(recommender, request)
    assert token is not None
    assert recommender.live is not None
    recommender.live.apply(
        [StoredEntry(shop_engine.dataset_info.store_seq + 1, LogEntry("erasure", user_id, end + 1, end + 1, {}))]
    )
    found, _ = after(recommender, request, token)
    assert {item.source for item in found.recommendations.items} == {"popular"}


def test_a_token_of_another_bundle_is_refused_and_any_flip_is_seen(shop_engine: Engine) -> None:
    recommender = open_over(shop_engine)
    request = Request("for_you", shop_engine.dataset_info.end, 5, USERS_WITH_HISTORY[9])
    _, token = first_page(recommender, request)
    assert token is not None
    assert len(token) < 8_000
    with pytest.raises(RequestError, match=r"was issued for bundle v1, and v2 is being served"):
        after(open_over(shop_engine, "v2"), request, token)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(token) - 1, 60):
        other = "A" if token[place] != "A" else "B"
        with pytest.raises(RequestError) as caught:
            after(recommender, request, token[:place] + other + token[place + 1 :])
        assert caught.value.field == "page_token"
    for text in ("", "é", "a" * 16_000, token + token):
        with pytest.raises(RequestError, match="page_token"):
            after(recommender, request, text)


@settings(max_examples=60)
@given(data=st.data())
def test_a_token_has_one_form(shop_engine: Engine, data: st.DataObject) -> None:
    """Base64 decoders ignore the unused bits of the last character, padding, and signs outside the alphabet."""
    recommender = open_over(shop_engine)
    n_items = data.draw(st.integers(1, 4))
    request = Request("for_you", shop_engine.dataset_info.end, n_items, USERS_WITH_HISTORY[9])
    _, token = first_page(recommender, request)
    assert token is not None
    place = data.draw(st.one_of(st.just(len(token)), st.just(len(token) - 1), st.integers(0, len(token))))
    rest = data.draw(st.sampled_from([place, place + 1]))
    other = token[:place] + data.draw(st.text(alphabet="ABCDwxyz019-_=+/ \n.*é", max_size=3)) + token[rest:]
    assume(other != token)
    with pytest.raises(RequestError, match="page_token is not a token of this server, or was altered"):
        after(recommender, request, other)


def test_items_that_came_after_the_bundle_are_told_by_their_ids(shop_engine: Engine) -> None:
    """Two processes may number them differently: here one heard of another item before."""
    one, other = open_over(shop_engine), open_over(shop_engine)
    end, seq = shop_engine.dataset_info.end, shop_engine.dataset_info.store_seq
    body = {"title": "鲜牛奶 新", "category": ["食品", "早餐", "牛奶"], "created_at": datetime.fromtimestamp(end, UTC)}
    assert one.live is not None
    assert other.live is not None
    other.live.apply([StoredEntry(seq + 1, LogEntry("item_put", "another", end, end, body))])
    for live in (one.live, other.live):
        live.apply([StoredEntry(seq + 2, LogEntry("item_put", "newest", end, end, body))])
    request = Request("similar", end, 1, item_ids=("鲜牛奶-原",))
    first, token = first_page(one, request)
    listed = [item.item_id for item in first.recommendations.items]
    while token is not None:
        found, token = after(other, request, token)
        listed += [item.item_id for item in found.recommendations.items]
    whole, _ = first_page(one, replace(request, limit=MAX_LIMIT))
    assert listed == [item.item_id for item in whole.recommendations.items]
    assert "newest" in listed


def test_a_first_page_without_look_ahead_continues_as_one_with_it(shop_engine: Engine) -> None:
    recommender = open_over(shop_engine)
    request = Request("for_you", shop_engine.dataset_info.end, 5, USERS_WITH_HISTORY[9])
    alone = recommender.recommend_for(request)
    token = start_token(recommender, request, alone, SEAL)
    assert token is not None
    second, _ = after(recommender, request, token)
    whole, whole_token = first_page(recommender, request)
    assert whole_token is not None
    assert whole.recommendations.items == alone.items
    assert second.recommendations.items == after(recommender, request, whole_token)[0].recommendations.items
    assert [item.rank for item in second.recommendations.items] == [6, 7, 8, 9, 10]


def test_events_that_arrive_between_the_pages_change_nothing_after_a_first_page_alone(shop_engine: Engine) -> None:
    """They happened at the moment of the first page, or before it, and arrive after it."""
    recommender, user_id, end = open_over(shop_engine), USERS_WITH_HISTORY[9], shop_engine.dataset_info.end
    request = Request("for_you", end, 5, user_id)
    whole = recommender.recommend_for(replace(request, limit=MAX_LIMIT)).items
    alone = recommender.recommend_for(request)
    token = start_token(recommender, request, alone, SEAL)
    listed, seq = list(alone.items), 0
    while token is not None:
        for item in listed[-2:]:
            seq += 1
            happen(recommender, seq, end - seq % 3, user_id, item.item_id)
        found, token = after(recommender, request, token)
        listed += found.recommendations.items
    assert [item.item_id for item in listed[: len(whole)]] == [item.item_id for item in whole]


def test_a_page_that_is_not_full_has_no_next(shop_engine: Engine) -> None:
    recommender = open_over(shop_engine)
    request = Request("popular", shop_engine.dataset_info.end, MAX_LIMIT)
    page = recommender.recommend_for(request)
    assert len(page.items) < MAX_LIMIT
    assert start_token(recommender, request, page, SEAL) is None


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"placement": "discover"}, "was issued for placement 'for_you', not for 'discover'"),
        ({"user_id": USERS_WITH_HISTORY[3]}, "another user"),
        ({"context": {"store": "x"}}, "another filter, context or override"),
        ({"diversity": 0.5}, "another filter, context or override"),
    ],
)
def test_a_token_of_another_request_is_refused(shop_engine: Engine, other: dict[str, Any], text: str) -> None:
    recommender = open_over(shop_engine)
    request = Request("for_you", shop_engine.dataset_info.end, 5, USERS_WITH_HISTORY[9])
    _, token = first_page(recommender, request)
    assert token is not None
    with pytest.raises(RequestError, match=text) as caught:
        after(recommender, replace(request, **other), token)
    assert caught.value.field == "page_token"


def test_pinned_items_keep_their_source_on_later_pages(shop_engine: Engine) -> None:
    book = parse_placements(
        {"placements": {"pinned": {"extends": "for_you", "pins": [{"item_id": WEEKLY_ITEM, "rank": 7}]}}}
    )
    recommender = replace(open_over(shop_engine), book=book)
    request = Request("pinned", shop_engine.dataset_info.end, 5, USERS_WITH_HISTORY[9])
    _, token = first_page(recommender, request)
    assert token is not None
    found, _ = after(recommender, request, token)
    item = found.recommendations.items[1]
    assert (item.item_id, item.rank, item.source, item.reasons[0].code) == (WEEKLY_ITEM, 7, "pinned", "pinned")


def sealed(head: dict[str, Any], body: bytes = b"", seal: PageSeal = SEAL, *, is_compressed: bool = True) -> str:
    """A token with any content under a good seal."""
    packed = json.dumps(list(head.values())).encode() + b"\n" + body
    packed = zlib.compress(packed) if is_compressed else packed
    return urlsafe_b64encode(seal.digest(packed) + packed).decode().rstrip("=")


HEAD = {
    "version": "v1",
    "placement": "for_you",
    "fingerprint": "",
    "as_of": 0,
    "n_listed": 5,
    "log_seq": None,
    "is_start": False,
    "issued_at": SEAL.now,
    "fallback_used": False,
    "has_propensity": False,
    "sources": ["als"],
    "new_ids": [],
    "n": 1,
}
ROW = b"\0\0\0\0" + b"\0\0\x80\x3f" + b"\0"


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"n": 0}, b""),
        ({"n": -1}, ROW),
        ({"n": MAX_REST + 1}, ROW * (MAX_REST + 1)),
        ({"n": 2}, ROW),
        ({"n": "1"}, ROW),
        ({"n_listed": -5}, ROW),
        ({"n_listed": 2**40}, ROW),
        ({"as_of": None}, ROW),
        ({"log_seq": -2}, ROW),
        ({"as_of": 1e400}, ROW),
        ({"sources": []}, ROW),
        ({"sources": "als"}, ROW),
        ({"new_ids": [1]}, ROW),
        ({"more": 1}, ROW),
        ({}, b"\xff\xff\xff\x7f" + ROW[4:]),
        ({}, b""),
    ],
)
def test_content_that_no_server_writes_is_refused_even_under_its_seal(
    shop_engine: Engine, changes: dict[str, Any], body: bytes
) -> None:
    recommender = open_over(shop_engine)
    for is_compressed in (True, False):
        assert read_token(sealed(HEAD, ROW, is_compressed=is_compressed), recommender, SEAL).n_listed == 5
        with pytest.raises(RequestError, match="page_token is not a token of this server"):
            read_token(sealed(HEAD | changes, body, is_compressed=is_compressed), recommender, SEAL)


@given(content=st.binary(max_size=200), seal=st.binary(min_size=16, max_size=16))
def test_any_bytes_are_refused(shop_engine: Engine, content: bytes, seal: bytes) -> None:
    recommender = open_over(shop_engine)
    for raw in (content, seal + content, SEAL.digest(content) + content, SEAL.digest(zlib.compress(content)) + content):
        with pytest.raises(RequestError, match="page_token"):
            read_token(urlsafe_b64encode(raw).decode(), recommender, SEAL)


def test_a_token_names_its_bundle(shop_engine: Engine) -> None:
    recommender = open_over(shop_engine)
    token = sealed(HEAD, ROW)
    assert token_version(token, SEAL) == read_token(token, recommender, SEAL).version
    with pytest.raises(RequestError, match="is not a token of this server"):
        token_version(f"{token}A", SEAL)
    with pytest.raises(RequestError, match="has expired"):
        token_version(token, replace(SEAL, now=SEAL.now + MAX_AGE_S + 1))


def test_tokens_of_another_key_and_old_ones_are_refused(shop_engine: Engine) -> None:
    recommender = open_over(shop_engine)
    foreign = sealed(HEAD, ROW, PageSeal(b"the key of another server", SEAL.now))
    with pytest.raises(RequestError, match="is not a token of this server"):
        read_token(foreign, recommender, SEAL)
    token = sealed(HEAD, ROW)
    assert read_token(token, recommender, replace(SEAL, now=SEAL.now + MAX_AGE_S)).n_listed == 5
    with pytest.raises(RequestError, match="has expired: it is valid for 24 hours"):
        read_token(token, recommender, replace(SEAL, now=SEAL.now + MAX_AGE_S + 1))
