from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.serving.conftest import Client, client_of
from tests.shop import PHONES, UNAVAILABLE


@pytest.fixture(scope="module")
def client(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path_factory.mktemp("map") / "store.sqlite") as client:
        yield client


def test_items_have_places_titles_and_categories(client: Client) -> None:
    found = client.get("/v1/catalog/map?limit=2000").json()
    ids = [each["item_id"] for each in found["items"]]
    assert len(set(ids)) == len(ids) <= found["n_items"]
    assert UNAVAILABLE not in ids
    assert all(0 <= each[axis] <= 1 for each in found["items"] for axis in "xy")
    assert 2 <= len({each["category"] for each in found["items"]} - {None}) <= 8
    phone = next(each for each in found["items"] if each["item_id"] == PHONES[0])
    assert (phone["title"], phone["n_buyers"] > 0) == ("星辰手机 1", True)


def test_fewer_items_are_the_first_ones(client: Client) -> None:
    ids = [[each["item_id"] for each in client.get(f"/v1/catalog/map?limit={n}").json()["items"]] for n in (5, 20)]
    assert ids[0] == ids[1][:5]
    for wrong in ("limit=0", "limit=2001", "limits=3"):
        assert client.get(f"/v1/catalog/map?{wrong}").status_code == 422


def test_the_map_follows_the_live_catalog(client: Client) -> None:
    item_id = client.get("/v1/catalog/map?limit=1").json()["items"][0]["item_id"]
    path = f"/v1/items/{quote(item_id, safe='')}"
    client.request("PATCH", path, json={"available": False})
    assert item_id not in [each["item_id"] for each in client.get("/v1/catalog/map").json()["items"]]
