"""Lists for users from the cache: when they are given again, and every reason for which they must not be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import activate
from recsys.core.request import Recommendations, Request
from recsys.fitting.engine import Engine
from recsys.pipeline.recommender import Recommender
from serving.runtime.answer_cache import MAX_STALE_S
from tests.serving.api.test_catalog import entries, send
from tests.serving.api.test_identity import erase, merge, unmerge
from tests.serving.conftest import Client, client_of
from tests.shop import PHONES

USER, VISITOR, OTHER = "u012", "visitor-1", "u010"
PATH = f"/v1/users/{USER}/recommendations"
LISTS = """
[placements.turning]
extends = "for_you"
rotation = 0.5
"""


class Shop:
    """A server whose clock stands still, and the number of lists that it has made."""

    def __init__(self, client: Client, made: list[str]) -> None:
        self.client, self.made = client, made
        self.made.clear()
        self.context = client.app.state.app_context
        self.now = self.context.clock.now() // 60 * 60 + 20
        self.context.clock.now = lambda: self.now

    def get(self, path: str = PATH, **query: Any) -> dict[str, Any]:
        response = self.client.get(f"{path}?{urlencode(query)}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def post(self, **body: Any) -> dict[str, Any]:
        response = self.client.request("POST", "/v1/recommendations", json={"placement": "for_you"} | body)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def view(self, **fields: Any) -> None:
        event = {"item_id": PHONES[0], "event": "view_item"} | fields
        response = self.client.request("POST", "/v1/events", json={"events": [event]}).json()
        assert response["accepted"] == 1, response

    def reprice(self, item_id: str, price: float) -> None:
        response = send(self.client, "PATCH", f"/v1/items/{quote(item_id, safe='')}", {"price": price})
        assert response.status_code == 200, response.text

    def is_made(self, ask: Callable[[], Any]) -> bool:
        """Return whether an answer is made, and not from the cache."""
        before = len(self.made)
        ask()
        return len(self.made) > before


@pytest.fixture
def shop(own_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    made: list[str] = []
    recommend_for = Recommender.recommend_for

    def counted(self: Recommender, request: Request) -> Recommendations:
        made.append(request.placement)
        return recommend_for(self, request)

    monkeypatch.setattr(Recommender, "recommend_for", counted)
    (tmp_path / "placements.toml").write_text(LISTS, encoding="utf-8")
    with client_of(own_models, store=tmp_path / "store.sqlite", placements=tmp_path / "placements.toml") as client:
        yield Shop(client, made)


def content(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "recommendation_id"}


@pytest.mark.parametrize(
    "ask",
    [
        lambda shop: shop.get(),
        lambda shop: shop.get(filter="price > 1"),
        lambda shop: shop.get(f"/v1/items/{PHONES[0]}/recommendations", user_id=USER),
        lambda shop: shop.post(user_id=USER, item_ids=[PHONES[1]], context={"store": "s"}),
        lambda shop: shop.post(visitor_id=VISITOR),
        lambda shop: shop.post(session_id="s1"),
        lambda shop: shop.post(placement="popular"),
    ],
)
def test_the_same_question_within_a_minute_is_answered_once(shop: Shop, ask: Callable[[Shop], dict[str, Any]]) -> None:
    first = ask(shop)
    assert not shop.is_made(lambda: ask(shop))
    again = ask(shop)
    assert content(again) == content(first)
    assert again["recommendation_id"] != first["recommendation_id"]


def test_each_answer_is_an_impression_of_its_own(shop: Shop) -> None:
    answers = [shop.get() for _ in range(3)]
    shop.get(log="false")
    assert shop.made == ["for_you"]
    asyncio.run(shop.context.impressions.flush())
    shown = [entry for entry in entries(shop.client) if entry.entry_type == "impression"]
    assert [entry.key for entry in shown] == [answer["recommendation_id"] for answer in answers]
    assert {entry.body["user_id"] for entry in shown} == {USER}
    assert len({entry.key for entry in shown}) == 3


def test_a_get_and_a_post_of_one_question_share_an_answer(shop: Shop) -> None:
    first = shop.get(limit=5, store="s")
    assert not shop.is_made(lambda: shop.post(user_id=USER, limit=5, context={"store": "s"}))
    assert content(shop.post(user_id=USER, limit=5, context={"store": "s"})) == content(first)


@pytest.mark.parametrize(
    "change",
    [
        {"limit": 5}, {"placement": "discover"}, {"filter": "price > 1"}, {"context": {"store": "s"}},
        {"context": {"channel": "app"}}, {"context": {"weather": "rain"}}, {"item_ids": [PHONES[0]]},
        {"diversity": 0.3}, {"tail_share": 0.2}, {"user_id": OTHER}, {"session_id": "s"}, {"explain": True},
    ],
)  # fmt: skip
def test_another_question_has_another_answer(shop: Shop, change: dict[str, Any]) -> None:
    shop.post(user_id=USER)
    before = len(shop.made)
    answer = shop.post(**{"user_id": USER} | change)
    assert len(shop.made) > before or "explanations" in answer


def test_another_minute_has_another_answer(shop: Shop) -> None:
    shop.get()
    shop.now += 39
    assert not shop.is_made(shop.get)
    shop.now += 1
    assert shop.is_made(shop.get)


CHANGES: dict[str, Callable[[Shop], Any]] = {
    "an event": lambda shop: shop.view(user_id=USER),
    "an event of a merged id": lambda shop: shop.view(visitor_id=VISITOR),
    "an event of an earlier time": lambda shop: shop.view(user_id=USER, timestamp=shop.now - 86_400),
    "another id joins": lambda shop: merge(shop.client, "visitor-2", USER),
    "an id of a merged id joins": lambda shop: merge(shop.client, "visitor-2", VISITOR),
    "an id leaves": lambda shop: unmerge(shop.client, VISITOR, USER),
    "the user joins another": lambda shop: merge(shop.client, USER, OTHER),
    "the time zone": lambda shop: send(shop.client, "PATCH", f"/v1/users/{USER}", {"timezone": "America/New_York"}),
    "an attribute": lambda shop: send(shop.client, "PATCH", f"/v1/users/{USER}", {"attributes": {"tier": "gold"}}),
    "an opt-out": lambda shop: send(shop.client, "PATCH", f"/v1/users/{USER}", {"personalization": False}),
    "an erasure": lambda shop: erase(shop.client, USER),
    "an erasure of a merged id": lambda shop: erase(shop.client, VISITOR),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_user_changes_the_answer(shop: Shop, change: str) -> None:
    shop.view(visitor_id=VISITOR)
    assert merge(shop.client, VISITOR, USER) == 200
    shop.get()
    assert not shop.is_made(shop.get)
    CHANGES[change](shop)
    assert shop.is_made(shop.get)
    library = shop.context.watcher.snapshot().recommender.recommend_for(Request("for_you", shop.now, user_id=USER))
    assert [item["item_id"] for item in shop.get()["items"]] == [item.item_id for item in library.items]


def test_what_others_do_changes_nothing(shop: Shop) -> None:
    shop.get()
    shop.view(user_id=OTHER)
    merge(shop.client, "visitor-3", OTHER)
    assert not shop.is_made(shop.get)


ITEM_CHANGES: dict[str, Any] = {
    "sold out": {"available": False},
    "another price": {"price": 12345},
    "an offer": {"offers": [{"store": "s", "available": True, "price": 1}]},
}


@pytest.mark.parametrize("change", ITEM_CHANGES)
def test_a_changed_item_of_the_list_changes_the_answer(shop: Shop, change: str) -> None:
    item_id = shop.get()["items"][0]["item_id"]
    response = send(shop.client, "PATCH", f"/v1/items/{quote(item_id, safe='')}", ITEM_CHANGES[change])
    assert response.status_code == 200, response.text
    assert shop.is_made(shop.get)
    if change == "sold out":
        assert item_id not in {item["item_id"] for item in shop.get()["items"]}


def test_other_changes_of_the_catalog_count_within_a_second(shop: Shop) -> None:
    answer = shop.get(limit=1)
    (unlisted, *_) = {item["item_id"] for item in shop.get(limit=20)["items"]} - {answer["items"][0]["item_id"]}
    cache = shop.context.watcher.current.personal
    now = cache._clock()
    cache._clock = lambda: now
    for price in (11, 12):
        shop.reprice(unlisted, price)
        shop.get(limit=1)
    before = len(shop.made)
    shop.reprice(unlisted, 13)
    shop.get(limit=1)
    assert len(shop.made) == before
    live = shop.context.watcher.current.recommender.live
    deadline = time.monotonic() + 20
    while not live.is_settled and time.monotonic() < deadline:
        time.sleep(0.02)
    now += 2 * MAX_STALE_S  # one alone may be less by the last digit
    assert shop.is_made(lambda: shop.get(limit=1))


@pytest.mark.parametrize("placement", ["price_drop", "back_in_stock", "new_arrivals"])
def test_a_list_of_moments_misses_no_change_of_the_catalog(shop: Shop, placement: str) -> None:
    item_id = shop.get()["items"][0]["item_id"]

    def listed() -> None:
        shop.get(placement=placement)

    listed()
    assert not shop.is_made(listed)
    for price in (11, 12, 13):
        shop.reprice(item_id, price)
        assert shop.is_made(listed)


def test_an_event_counts_from_its_own_second_on(shop: Shop) -> None:
    """Events of the future, by the tolerance for clocks, and questions of an earlier second of the same minute."""
    shop.view(user_id=USER, timestamp=shop.now + 10)
    shop.get()
    shop.now += 9
    assert not shop.is_made(shop.get)
    shop.now += 1
    assert shop.is_made(shop.get)
    shop.now += 5
    assert not shop.is_made(shop.get)
    shop.now -= 10
    assert shop.is_made(shop.get)


def test_a_new_file_of_placements_makes_new_answers(shop: Shop, tmp_path: Path) -> None:
    shop.get()
    (tmp_path / "placements.toml").write_text(LISTS + "\n# again\n[placements.more]\nextends = 'for_you'\n", "utf-8")
    shop.context.watcher.refresh()
    assert shop.is_made(shop.get)


def test_a_new_bundle_makes_new_answers(shop: Shop, own_models: Path, shop_engine: Engine) -> None:
    shop.get()
    version = write_bundle(shop_engine, own_models, Provenance(datetime.now(UTC), "shop", {}, ())).version
    activate(own_models, version)
    shop.context.watcher.refresh()
    assert shop.get()["model_version"] == version


def test_lists_with_a_rotation_are_made_each_time(shop: Shop) -> None:
    shop.get(placement="turning")
    assert shop.is_made(lambda: shop.get(placement="turning"))


@pytest.mark.parametrize(
    "query", [{"placement": "complementary"}, {"placement": "nothing"}, {"as_of": "2999-01-01T00:00Z"}]
)
def test_questions_that_are_refused_stay_refused(shop: Shop, query: dict[str, str]) -> None:
    shop.get(f"/v1/items/{PHONES[0]}/recommendations", user_id=USER)
    for _ in range(2):
        assert shop.client.get(f"{PATH}?{urlencode(query)}").status_code == 422


def test_later_pages_continue_a_cached_page(shop: Shop) -> None:
    first = shop.get(limit=3)
    shop.now += 5
    again = shop.get(limit=3)
    pages = [shop.get(limit=3, page_token=each["next_page_token"]) for each in (first, again)]
    assert content(pages[0])["items"] == content(pages[1])["items"]
    assert not {item["item_id"] for item in pages[0]["items"]} & {item["item_id"] for item in first["items"]}


def test_a_setting_turns_it_off(own_models: Path, tmp_path: Path) -> None:
    with client_of(own_models, store=tmp_path / "store.sqlite", personal_cache_mb=0) as client:
        personal = client.app.state.app_context.watcher.current.personal
        for _ in range(2):
            assert client.get(PATH).status_code == 200
        assert not personal._answers
