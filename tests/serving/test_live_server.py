"""An event sent to one worker is visible in the next response of every worker: two of them, over HTTP."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.serving.conftest import Server
from tests.shop import LEATHER_FANS, SHELVES, WEEKLY_ITEM, WEEKLY_SHOPPERS

N_WORKERS = 2
PLACEMENTS_OF_USERS = ("for_you", "discover", "long_tail", "time_of_day", "buy_again", "popular")
PLACEMENTS_OF_ITEMS = ("complementary", "bought_together", "similar")


class Shop:
    """Calls of a shop, each on its own connection, so that either worker may answer it."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def call(self, method: str, path: str, body: Any = None) -> Any:
        response = self.server.request(method, path, **({} if body is None else {"json": body}))
        assert response.is_success, response.text
        return response.json()

    def events(self, *events: dict[str, Any]) -> None:
        reply = self.call("POST", "/v1/events", {"events": list(events)})
        assert {result["status"] for result in reply["results"]} == {"accepted"}, reply

    def each(self, path: str) -> list[dict[str, Any]]:
        """Return the first response of every worker."""
        answers: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + 60
        while len(answers) < N_WORKERS and time.monotonic() < deadline:
            answer = self.call("GET", path)
            answers.setdefault(answer["recommendation_id"].rpartition("-")[0], answer)
        assert len(answers) == N_WORKERS, "one worker took all calls"
        return list(answers.values())

    def of_user(self, user_id: str, placement: str = "for_you", **more: Any) -> list[dict[str, Any]]:
        return self.each(
            str(
                httpx.URL(
                    f"/v1/users/{quote(user_id, safe='')}/recommendations",
                    params={"placement": placement, "limit": 50, **more},
                )
            )
        )

    def of_item(self, item_id: str, placement: str = "similar", **more: Any) -> list[dict[str, Any]]:
        return self.each(
            str(
                httpx.URL(
                    f"/v1/items/{quote(item_id, safe='')}/recommendations",
                    params={"placement": placement, "limit": 50, **more},
                )
            )
        )


def wait_until(is_true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Ask again and again; a busy machine may take many times as long as an idle one."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture(scope="module")
def shop(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    models = Path(
        shutil.copytree(
            shop_models, tmp_path_factory.mktemp("live") / "models", ignore=shutil.ignore_patterns("*.sqlite*")
        )
    )
    server = Server(models, workers=N_WORKERS)
    server.wait()
    yield Shop(server)
    server.stop()


def test_three_views_change_the_lists_of_both_workers(shop: Shop) -> None:
    assert all(answer["fallback_used"] for answer in shop.of_user("viewer"))
    viewed = SHELVES["belts"].ids[:3]
    shop.events(*({"user_id": "viewer", "item_id": item_id, "event": "view_item"} for item_id in viewed))
    for answer in shop.of_user("viewer", limit=100):
        assert not answer["fallback_used"]
        assert set(viewed) <= set(ids(answer))


def test_an_item_bought_just_now_is_not_due(shop: Shop) -> None:
    user_id = WEEKLY_SHOPPERS[0]
    assert all(WEEKLY_ITEM in ids(answer) for answer in shop.of_user(user_id, "buy_again"))
    shop.events({"user_id": user_id, "item_id": WEEKLY_ITEM, "event": "purchase"})
    assert not any(WEEKLY_ITEM in ids(answer) for answer in shop.of_user(user_id, "buy_again"))


def test_a_sold_out_item_is_removed_from_every_list_of_both_workers(shop: Shop) -> None:
    fan, seed = LEATHER_FANS[1], "钱包-植鞣"
    gone = ids(shop.of_item(seed)[0])[0]
    shop.call("PATCH", f"/v1/items/{quote(gone, safe='')}", {"available": False})
    for placement in PLACEMENTS_OF_USERS:
        assert not any(gone in ids(answer) for answer in shop.of_user(fan, placement, limit=100)), placement
    for placement in PLACEMENTS_OF_ITEMS:
        assert not any(gone in ids(answer) for answer in shop.of_item(seed, placement, limit=100)), placement
    shop.call("PATCH", f"/v1/items/{quote(gone, safe='')}", {"available": True})
    assert all(gone in ids(answer) for answer in shop.of_item(seed))


def test_a_new_item_with_tags_alone_is_listed_within_a_second(shop: Shop) -> None:
    tags = list(SHELVES["wallets"].tags)
    began = time.monotonic()
    shop.call("PUT", "/v1/items/%E6%96%B0%2F1", {"title": "手工皮具 钱包 新款味", "tags": tags})
    path = "/v1/users/{}/recommendations?placement=discover&limit=100".format(quote(LEATHER_FANS[2], safe=""))
    answer = shop.call("GET", path)
    assert time.monotonic() - began < 1
    assert "新/1" in ids(answer)
    # Its neighbors are computed in the background, and a cached list that does not name it is at most a second old.
    wait_until(lambda: all("新/1" in ids(answer) for answer in shop.of_item("钱包-植鞣")))
    assert all(ids(answer) for answer in shop.of_item("新/1"))
    shop.call("DELETE", "/v1/items/%E6%96%B0%2F1")
    assert not any("新/1" in ids(answer) for answer in shop.of_item("钱包-植鞣"))
    assert shop.server.get("/v1/items/%E6%96%B0%2F1/recommendations").status_code == 404


def test_a_merge_applies_at_once_and_can_be_undone(shop: Shop) -> None:
    shop.events({"visitor_id": "walk-in", "item_id": WEEKLY_ITEM, "event": "purchase"})
    assert all(answer["fallback_used"] for answer in shop.of_user("member"))
    shop.call("POST", "/v1/users/member/merge", {"from": "walk-in"})
    # Of one moment: an event a second older weighs less, and neighbours in a list may change places.
    as_of = shop.call("GET", "/health/ready")["now"]
    for member, walk_in in zip(shop.of_user("member", as_of=as_of), shop.of_user("walk-in", as_of=as_of), strict=True):
        assert not member["fallback_used"]
        assert ids(member) == ids(walk_in)
    shop.call("DELETE", "/v1/users/member/merge?from=walk-in")
    assert all(answer["fallback_used"] for answer in shop.of_user("member"))
    assert not any(answer["fallback_used"] for answer in shop.of_user("walk-in"))


def test_an_erasure_hides_at_once(shop: Shop) -> None:
    fan = LEATHER_FANS[3]
    assert not any(answer["fallback_used"] for answer in shop.of_user(fan))
    shop.call("DELETE", f"/v1/users/{quote(fan, safe='')}")
    assert all(answer["fallback_used"] for answer in shop.of_user(fan))


def test_users_who_opt_out_get_no_personal_lists(shop: Shop) -> None:
    user_id = WEEKLY_SHOPPERS[3]
    shop.call("PATCH", f"/v1/users/{user_id}", {"personalization": False})
    assert all(answer["fallback_used"] for answer in shop.of_user(user_id))


def test_late_events_are_sorted_by_time(shop: Shop) -> None:
    now = datetime.fromisoformat(shop.call("GET", "/health/ready")["now"])
    for name, order in (("early", (3, 2, 1)), ("late", (1, 3, 2))):
        for days in order:
            item_id = SHELVES["milk"].ids[days]
            when = (now - timedelta(days=days)).astimezone(UTC).isoformat()
            shop.events({"user_id": name, "item_id": item_id, "event": "purchase", "timestamp": when})
    as_of = (now - timedelta(seconds=1)).astimezone(UTC).isoformat()
    early, late = (shop.of_user(name, as_of=as_of)[0] for name in ("early", "late"))
    assert early["items"] == late["items"]
    past = (now - timedelta(days=2.5)).astimezone(UTC).isoformat()
    assert SHELVES["milk"].ids[1] not in [
        item["item_id"] for item in shop.of_user("late", as_of=past)[0]["items"] if item["source"] == "repeat"
    ]
