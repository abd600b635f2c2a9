from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.eventlog.store import LogEntry
from tests.serving.conftest import Client, client_of
from tests.serving.runtime.test_impressions import flushed
from tests.shop import OPTED_OUT, PHONES, USERS_WITH_HISTORY

USER = USERS_WITH_HISTORY[9]


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        yield client


def report(shop: Client, *lists: dict[str, Any]) -> Any:
    return shop.request("POST", "/v1/impressions", json={"impressions": list(lists)}).json()


def batch(shop: Client, **options: Any) -> dict[str, Any]:
    line = json.dumps({"placement": "for_you", "user_id": USER, "limit": 3, **options})
    response = shop.request("POST", "/v1/batch", content=line, headers={"content-type": "application/x-ndjson"})
    answer: dict[str, Any] = json.loads(response.text)["answer"]
    return answer


def test_a_batch_counts_as_shown_when_the_shop_says_that_it_was_sent(shop: Client) -> None:
    answer = batch(shop)
    assert flushed(shop) == []
    assert report(shop, {**answer, "user_id": USER}) == {"results": ["accepted"]}
    assert report(shop, {**answer, "user_id": USER}) == {"results": ["duplicate"]}
    assert report(shop, {**answer, "user_id": USER, "items": answer["items"][:1]}) == {"results": ["conflict"]}
    (entry,) = flushed(shop)
    assert (entry.entry_type, entry.key, entry.body["user_id"]) == ("impression", answer["recommendation_id"], USER)
    at_once = batch(shop, log=True)
    mine = next(each for each in flushed(shop) if each.key == at_once["recommendation_id"])
    assert mine.body == entry.body, "the same as of a list that is recorded at once"


def one_of(shop: Client, method: str, path: str, body: dict[str, Any] | None) -> None:
    response = shop.request(method, path, json=body)
    assert response.status_code == 200, response.text
    assert "recommendation_id" in response.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"/v1/items/{PHONES[0]}/recommendations?", None),
        (f"/v1/items/{PHONES[0]}/recommendations?user_id=u010&", None),
        ("/v1/users/u010/recommendations?", None),
        ("/v1/recommendations", {"placement": "for_you", "user_id": "u010", "limit": 3}),
        ("/v1/rank", {"item_ids": list(PHONES), "user_id": "u010"}),
    ],
)
def test_a_preview_is_not_recorded(shop: Client, path: str, body: dict[str, Any] | None) -> None:
    method = "GET" if body is None else "POST"
    for _ in range(2):
        one_of(shop, method, path + "log=false" * (body is None), body and body | {"log": False})
    assert flushed(shop) == []
    one_of(shop, method, path, body)
    assert len(flushed(shop)) == 1


def test_a_later_page_of_a_preview_is_not_recorded_either(shop: Client) -> None:
    path = "/v1/users/u010/recommendations?limit=2&log=false"
    token = shop.get(path).json()["next_page_token"]
    assert shop.get(f"{path}&page_token={token}").status_code == 200
    assert flushed(shop) == []


def test_who_opted_out_or_was_erased_is_not_named(shop: Client) -> None:
    sent = {"placement": "for_you", "items": [{"item_id": "tea"}]}
    assert report(shop, {**sent, "recommendation_id": "r1", "user_id": OPTED_OUT})["results"] == ["accepted"]
    shop.request("DELETE", "/v1/users/gone")
    early = {**sent, "recommendation_id": "r2", "user_id": "gone", "sent_at": "2024-01-01T00:00:00Z"}
    assert report(shop, early)["results"] == ["erased"]
    recorded: list[LogEntry] = [each for each in flushed(shop) if each.entry_type == "impression"]
    assert [(each.key, "user_id" in each.body) for each in recorded] == [("r1", False)]


def test_a_list_from_before_an_erasure_is_refused_whenever_it_is_reported(shop: Client) -> None:
    """By its id alone: neither the moment of the report nor a later life of the user makes it younger."""
    before, other = batch(shop), batch(shop, user_id=USERS_WITH_HISTORY[3])
    time.sleep(0.01)
    assert shop.request("DELETE", f"/v1/users/{USER}").status_code == 200
    event = {"user_id": USER, "item_id": PHONES[0], "event": "view_item"}
    assert shop.request("POST", "/v1/events", json={"events": [event]}).status_code == 200
    after = batch(shop)
    assert report(shop, {**before, "user_id": USER}) == {"results": ["erased"]}
    assert report(shop, {**before, "user_id": USER, "sent_at": after["as_of"]}) == {"results": ["erased"]}
    assert report(shop, {**after, "user_id": USER}) == {"results": ["accepted"]}
    assert report(shop, {**other, "user_id": USERS_WITH_HISTORY[3]}) == {"results": ["accepted"]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"recommendation_id": ""}, "recommendation_id"),
        ({"items": []}, "items"),
        ({"items": [{"item_id": "tea", "rank": 0}]}, "rank"),
        ({"items": [{"item_id": "tea", "propensity": 0}]}, "propensity"),
        ({"sent_at": "yesterday"}, "sent_at"),
        *(({"sent_at": f"{year}-01-01T00:00:00+14:00"}, "sent_at") for year in ("0001", "1970", "2999", "9999")),
    ],
)
def test_the_wrong_field_is_named(shop: Client, change: dict[str, Any], field: str) -> None:
    sent = {"recommendation_id": "r", "placement": "for_you", "items": [{"item_id": "tea"}]} | change
    found = report(shop, sent)
    assert found["status"] == 422
    assert field in found["errors"][0]["field"]
