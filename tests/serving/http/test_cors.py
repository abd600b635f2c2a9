from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from serving.api.routes import OPERATIONS
from serving.http.cors import OriginPolicy, is_preflight
from tests.serving.conftest import Client, client_of

SHOP = "https://shop.example"
OTHER = "https://shop.example.evil"
ASKS = {"Origin": SHOP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
FOR_BROWSERS = [each for each in OPERATIONS if each.is_for_browsers]
FOR_OTHERS = [each for each in OPERATIONS if not each.is_for_browsers]


@pytest.fixture(scope="module")
def open_client(shop_models: Path) -> Iterator[Client]:
    with client_of(shop_models, allowed_origins=f"{SHOP}, http://127.0.0.1:3000") as client:
        yield client


def test_an_exact_origin_alone_is_allowed() -> None:
    policy = OriginPolicy([SHOP])
    assert policy.headers([(b"origin", SHOP.encode())])["Access-Control-Allow-Origin"] == SHOP
    for found in (OTHER, "http://shop.example", "null", "*", SHOP + "/", SHOP.upper(), ""):
        assert policy.headers([(b"origin", found.encode())]) == {}
    assert policy.headers([]) == {}
    assert OriginPolicy([]).headers([(b"origin", SHOP.encode())]) == {}


def test_a_preflight_of_another_origin_names_the_setting() -> None:
    with pytest.raises(HTTPException, match=r"'https://shop.example.evil'.*RECSYS_ALLOWED_ORIGINS"):
        OriginPolicy([SHOP]).preflight([(b"origin", OTHER.encode())], ["POST"])


def test_an_options_call_without_a_wanted_method_is_no_preflight() -> None:
    assert not is_preflight("OPTIONS", [(b"origin", b"x")])
    assert not is_preflight("POST", [(b"access-control-request-method", b"POST")])


@pytest.mark.parametrize("operation", FOR_BROWSERS, ids=lambda each: f"{each.method} {each.path}")
def test_browsers_may_send_the_calls_of_lists_and_events(open_client: Client, operation) -> None:
    path = operation.path.replace("{item_id}", "x").replace("{user_id}", "x").replace("{page}", "x")
    answer = open_client.request("OPTIONS", path, headers=ASKS)
    assert answer.status_code == 204
    assert operation.method in answer.headers["access-control-allow-methods"].split(", ")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert {"authorization", "content-type", "x-api-key"} == set(
        answer.headers["access-control-allow-headers"].split(", ")
    )
    assert "access-control-allow-credentials" not in answer.headers
    refused = open_client.request("OPTIONS", path, headers=ASKS | {"Origin": OTHER})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("operation", FOR_OTHERS, ids=lambda each: f"{each.method} {each.path}")
def test_no_other_call_answers_a_page_of_another_origin(open_client: Client, operation) -> None:
    shared = {each.path for each in FOR_BROWSERS}
    path = operation.path.replace("{item_id}", "x").replace("{user_id}", "x").replace("{experiment}", "x")
    path = path.replace("{version}", "x")
    answer = open_client.request("OPTIONS", path, headers=ASKS)
    if operation.path in shared:
        assert operation.method not in answer.headers["access-control-allow-methods"].split(", ")
        return
    assert answer.status_code == 405
    found = open_client.request(operation.method, path, headers={"Origin": SHOP})
    assert "access-control-allow-origin" not in found.headers


def test_answers_and_problems_can_be_read_by_the_page(open_client: Client) -> None:
    for body, status in (({"placement": "popular"}, 200), ({"placement": "none"}, 422)):
        answer = open_client.request("POST", "/v1/recommendations", json=body, headers={"Origin": SHOP})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, SHOP)
        assert answer.headers["vary"] == "Origin"
        other = open_client.request("POST", "/v1/recommendations", json=body, headers={"Origin": OTHER})
        assert "access-control-allow-origin" not in other.headers


def test_without_the_setting_nothing_is_open(client: Client) -> None:
    answer = client.request("OPTIONS", "/v1/recommendations", headers=ASKS)
    assert answer.status_code == 403
    found = client.request("POST", "/v1/recommendations", json={"placement": "popular"}, headers={"Origin": SHOP})
    assert "access-control-allow-origin" not in found.headers
