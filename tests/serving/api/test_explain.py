from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest

from tests.serving.conftest import Client
from tests.shop import CARDS, PHONES, UNAVAILABLE


def _path(**parameters: object) -> str:
    return "/v1/explain?" + urlencode(parameters)


def test_listed_items_and_the_next_one(client: Client) -> None:
    listed = client.get("/v1/users/u012/recommendations?limit=6").json()["items"]
    first = client.get(_path(user_id="u012", item_id=listed[0]["item_id"], limit=5)).json()
    assert (first["stage"], first["rank"], first["score"]) == ("listed", 1, listed[0]["score"])
    sixth = client.get(_path(user_id="u012", item_id=listed[5]["item_id"], limit=5)).json()
    assert (sixth["stage"], sixth["rank"], sixth["last_score"]) == ("too_low", 6, listed[4]["score"])
    assert sixth["distance"] == pytest.approx(listed[4]["score"] - listed[5]["score"])
    assert sixth["text"]
    assert sixth["text_zh"]


def test_sold_out_and_unknown_items(client: Client) -> None:
    assert client.get(_path(user_id="u012", item_id=UNAVAILABLE)).json()["stage"] == "sold_out"
    assert client.get(_path(user_id="u012", item_id="no such item")).status_code == 404
    assert client.get(_path(user_id="an unknown user", item_id=PHONES[0])).json()["fallback_used"] is True


def test_a_list_for_an_item_requires_that_item(client: Client) -> None:
    response = client.get(_path(item_id=CARDS[0], placement="complementary"))
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["seed_id"]
    best = client.get(f"/v1/items/{quote(PHONES[0], safe='')}/recommendations?limit=1").json()["items"][0]
    why = client.get(_path(item_id=best["item_id"], placement="complementary", seed_id=PHONES[0])).json()
    assert (why["stage"], why["rank"]) == ("listed", 1)
