"""The search of items and users over HTTP, and the description of one item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.serving.conftest import Client, client_of
from tests.shop import PHONES, UNAVAILABLE


@pytest.fixture(scope="module")
def client(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path_factory.mktemp("search") / "store.sqlite") as client:
        yield client


def items(client: Client, query: str) -> list[str]:
    answer = client.get(f"/v1/items?q={quote(query)}").json()
    assert answer["is_complete"]
    return [item["item_id"] for item in answer["items"]]


def test_items_are_found_by_title_id_and_brand(client: Client) -> None:
    assert items(client, "星辰手机 2 白") == ["phone-2-white"]
    assert items(client, "PHONE-3") == items(client, "远山 max") == ["phone-3"]
    assert len(items(client, "")) == 20
    assert items(client, "纸巾/3层")[0] == "纸巾/3层"
    first = client.get("/v1/items?q=phone-1&limit=1").json()["items"][0]
    assert (first["title"], first["fields"]["brand"], first["is_listed"]) == ("星辰手机 1", "星辰", True)
    (sold_out,) = client.get(f"/v1/items?q={quote(UNAVAILABLE)}").json()["items"]
    assert (sold_out["is_listed"], sold_out["fields"]["available"]) == (False, False)
    for wrong in ("limit=0", "limit=101", f"q={'x' * 201}", "query=x"):
        assert client.get(f"/v1/items?{wrong}").status_code == 422


def test_a_new_item_is_found_and_described_at_once(client: Client) -> None:
    item = {"title": "手工皮革钱包", "brand": "巧匠", "price": 88, "attributes": {"color": "brown"}}
    assert client.request("PUT", "/v1/items/new-1", json=item).status_code == 200
    assert items(client, "巧匠 钱包") == ["new-1"]
    described = client.get("/v1/items/new-1").json()
    assert (described["columns"]["price"], described["columns"]["color"], described["n_buyers"]) == (88, "brown", 0)
    client.request("DELETE", "/v1/items/new-1")
    assert items(client, "巧匠 钱包") == []
    assert client.get("/v1/items/new-1").status_code == 404


def test_an_item_has_its_neighbors_with_evidence(client: Client) -> None:
    described = client.get(f"/v1/items/{PHONES[0]}?limit=3").json()
    assert list(described["neighbors"]) == ["complementary", "bought_together", "similar", "viewed_together"]
    for kind, found in described["neighbors"].items():
        listed = client.get(f"/v1/items/{PHONES[0]}/recommendations?placement={kind}&limit=3&log=false").json()
        assert found == listed["items"]
        assert all(item["reasons"] for item in found)
    assert (described["type"], described["title"], described["is_head"] in (True, False)) == (
        "电子产品 > 手机 > 智能手机",
        "星辰手机 1",
        True,
    )
    assert client.get("/v1/items/nothing").status_code == 404


def test_users_are_found_by_the_beginning_of_their_ids(client: Client) -> None:
    found = client.get("/v1/users?q=u01").json()["users"]
    assert [user["user_id"] for user in found] == [f"u{n:03d}" for n in range(10, 20)]
    assert all(user["n_events"] > 0 and user["last_seen"] for user in found)
    assert client.get("/v1/users?q=nobody").json() == {"users": []}
    event = {"event": "view_item", "item_id": PHONES[0], "user_id": "u-new"}
    client.request("POST", "/v1/events", json={"events": [event]})
    (new,) = client.get("/v1/users?q=u-new").json()["users"]
    assert (new["user_id"], new["n_events"]) == ("u-new", 1)
    for user_id in ("u-new", "u010"):
        assert client.request("DELETE", f"/v1/users/{user_id}").status_code == 200
        assert client.get(f"/v1/users?q={user_id}").json() == {"users": []}
