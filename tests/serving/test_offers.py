"""Offers of two stores of one shop, over HTTP: each applies in its store and while it is valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
import pytest

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import activate
from recsys.core.schema import OFFERS
from recsys.data.offers import Offers, read_offers
from recsys.fitting.engine import Engine
from recsys.ranking.features import FEATURES
from tests.serving.conftest import Client, client_of
from tests.shop import table

WUHAN, SHANGHAI = "武汉一店", "上海/南京路店"
SOLD_OUT, REDUCED = "case-3", "charger-1"


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.fixture(scope="module")
def models(shop_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with an item sold out in one store, and one reduced there until an hour before the data's end."""
    end = shop_engine.dataset_info.end
    rows = (
        {"item_id": SOLD_OUT, "store": WUHAN, "available": False},
        {"item_id": REDUCED, "store": WUHAN, "price": 1.0, "valid_to": moment(end - 3600)},
    )
    engine = replace(shop_engine, offers=Offers(read_offers(table(rows, OFFERS), shop_engine.items)))
    folder = tmp_path_factory.mktemp("offers")
    made = write_bundle(engine, folder, Provenance(datetime.now(UTC), "shop", {}, ()))
    activate(folder, made.version)
    return folder


@pytest.fixture
def shop(models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(models, store=tmp_path / "store.sqlite") as client:
        yield client


def listed(client: Client, path: str = "/v1/items/phone-1/recommendations", **query: Any) -> set[str]:
    answer = client.get(f"{path}?{urlencode({'limit': 100} | query)}")
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"]}


def asked(client: Client, **body: Any) -> set[str]:
    answer = client.request("POST", "/v1/recommendations", json={"placement": "popular", "limit": 100} | body)
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"]}


@pytest.mark.parametrize("store", [None, SHANGHAI])
def test_an_item_sold_out_in_one_store_is_removed_there_only(shop: Client, store: str | None) -> None:
    elsewhere = {} if store is None else {"store": store}
    users = "/v1/users/u010/recommendations"
    for _ in range(2):  # the second time from the cache
        assert SOLD_OUT in listed(shop, **elsewhere)
        assert SOLD_OUT not in listed(shop, store=WUHAN)
    assert SOLD_OUT in listed(shop, users, placement="popular", **elsewhere)
    assert SOLD_OUT not in listed(shop, users, placement="popular", store=WUHAN)
    assert SOLD_OUT in asked(shop, context=elsewhere)
    assert SOLD_OUT not in asked(shop, context={"store": WUHAN})


def test_explain_names_the_store(shop: Client) -> None:
    query = {"item_id": SOLD_OUT, "placement": "popular", "limit": 100}
    here = shop.get(f"/v1/explain?{urlencode(query | {'store': WUHAN})}").json()
    assert here["stage"] == "sold_out_here"
    assert WUHAN in here["text"]
    assert shop.get(f"/v1/explain?{urlencode(query)}").json()["stage"] == "listed"


def test_filters_read_the_price_of_the_store_while_it_is_valid(shop: Client, shop_engine: Engine) -> None:
    end = shop_engine.dataset_info.end
    during, after = (moment(end - 3600 - before).isoformat() for before in (1, 0))
    cheap = {"filter": "price < 2", "context": {"store": WUHAN}}
    assert asked(shop, as_of=during, **cheap) == {REDUCED}
    assert asked(shop, as_of=after, **cheap) == set()
    assert asked(shop, as_of=during, filter="price < 2") == set()
    assert listed(shop, as_of=during, filter="price < 2", store=WUHAN) == {REDUCED}


def test_pages_keep_their_store(shop: Client) -> None:
    body = {"placement": "popular", "limit": 5, "context": {"store": WUHAN}}
    found, token = set(), None
    while True:
        more = {} if token is None else {"page_token": token}
        page = shop.request("POST", "/v1/recommendations", json=body | more).json()
        found |= {item["item_id"] for item in page["items"]}
        token = page["next_page_token"]
        if token is None:
            break
    assert SOLD_OUT not in found
    assert REDUCED in found


class _ByPrice:
    """Odds that rise with the price."""

    is_fitted = True
    hour_weight = 0.0

    def log_odds(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return np.log(features[:, FEATURES.index("price")].astype(np.float64))


BY_PRICE = _ByPrice()


def test_a_given_list_is_ordered_by_the_prices_of_the_store(
    shop: Client, shop_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ranker of prices alone, as the invented shop's lists may be ordered by their sources."""
    monkeypatch.setattr("recsys.ranking.scoring.ranker_of", lambda placement, state: BY_PRICE)
    during = moment(shop_engine.dataset_info.end - 7200).isoformat()
    body = {"item_ids": [REDUCED, SOLD_OUT], "user_id": "u010", "as_of": during}

    def scores(**context: str) -> dict[str, float]:
        answer = shop.request("POST", "/v1/rank", json=body | {"context": context})
        assert answer.status_code == 200, answer.text
        return {item["item_id"]: item["score"] for item in answer.json()["items"]}

    here, elsewhere = scores(store=WUHAN), scores(store=SHANGHAI)
    assert here.keys() == elsewhere.keys() == {REDUCED, SOLD_OUT}
    assert here[REDUCED] != elsewhere[REDUCED]
    assert elsewhere == scores()


def test_an_empty_store_is_refused(shop: Client) -> None:
    for query in ("store=", "region=" + "x" * 257):
        answer = shop.get(f"/v1/items/phone-1/recommendations?{query}")
        assert answer.status_code == 422


def change(client: Client, method: str, item_id: str, body: Any = None) -> None:
    answer = client.request(method, f"/v1/items/{item_id}", **({} if body is None else {"json": body}))
    assert answer.status_code == 200, answer.text


def test_offers_are_replaced_live(shop: Client, models: Path, tmp_path: Path) -> None:
    offer = {"store": SHANGHAI, "available": False}
    with client_of(models, store=tmp_path / "store.sqlite") as other:  # another worker over the same log
        assert SOLD_OUT in listed(other, store=SHANGHAI)
        change(shop, "PATCH", SOLD_OUT, {"offers": [offer]})
        for client in (shop, other):
            assert SOLD_OUT not in listed(client, store=SHANGHAI)
            assert SOLD_OUT in listed(client, store=WUHAN), "the bundle's offer is replaced"
    change(shop, "PATCH", SOLD_OUT, {"title": "Slim"})
    assert SOLD_OUT not in listed(shop, store=SHANGHAI)
    change(shop, "PATCH", SOLD_OUT, {"offers": None})
    assert SOLD_OUT in listed(shop, store=SHANGHAI)
    assert SOLD_OUT in listed(shop, store=WUHAN)


def test_an_offer_restores_a_sold_out_item_but_not_a_deleted_one(shop: Client) -> None:
    change(
        shop, "PATCH", REDUCED, {"available": False, "offers": [{"region": "湖北", "available": True, "price": 0.5}]}
    )
    assert REDUCED not in asked(shop)
    assert asked(shop, context={"region": "湖北"}, filter="price < 1 AND available") == {REDUCED}
    change(shop, "DELETE", REDUCED)
    assert REDUCED not in asked(shop, context={"region": "湖北"})


def test_a_new_item_has_its_offers(shop: Client) -> None:
    body = {"title": "新品", "category": ["电子产品", "手机配件", "手机壳"], "price": 50}
    change(shop, "PUT", "new-1", body | {"offers": [{"store": WUHAN, "price": 5}]})
    assert asked(shop, context={"store": WUHAN}, filter="title = '新品' AND price = 5") == {"new-1"}
    assert asked(shop, filter="title = '新品' AND price = 5") == set()
    change(shop, "PUT", "new-1", body)
    assert asked(shop, context={"store": WUHAN}, filter="title = '新品' AND price = 5") == set()
