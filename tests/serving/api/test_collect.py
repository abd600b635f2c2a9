from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.eventlog.store import LogEntry
from serving.api.event_models import MAX_EVENTS
from tests.recsys.data.test_shopify_pixel import VARIANT, checkout, event
from tests.serving.conftest import Client, client_of
from tests.serving.runtime.test_auth import keys_of

AT = "2024-06-30T00:00:00Z"
MICROS = 1719705600000000
SEGMENT: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m1",
    "userId": "u",
    "anonymousId": "v",
    "timestamp": AT,
    "properties": {
        "order_id": "o1",
        "currency": "EUR",
        "products": [{"product_id": "tea", "price": 3.5, "quantity": 2}, {"product_id": "cup", "price": 1}],
    },
}
GA4: dict[str, Any] = {
    "client_id": "v",
    "user_id": "u",
    "timestamp_micros": MICROS,
    "events": [
        {
            "name": "purchase",
            "params": {
                "transaction_id": "o1",
                "currency": "EUR",
                "items": [{"item_id": "tea", "price": 3.5, "quantity": 2}, {"item_id": "cup", "price": 1}],
            },
        }
    ],
}
RUDDERSTACK = {**SEGMENT, "originalTimestamp": AT, "channel": "web", "context": {"sessionId": 17}}
LINES = (
    {"quantity": 2, "variant": {**VARIANT, "product": {"id": "tea"}}, "finalLinePrice": {"amount": 7}},
    {"quantity": 1, "variant": {**VARIANT, "product": {"id": "cup"}, "price": {"amount": 1}}},
)
ORDER = checkout(*LINES, currencyCode="EUR", order={"id": "o1", "customer": {"id": "u"}})
SHOPIFY = event("checkout_completed", ORDER, clientId="v", timestamp=AT)
HIT = "v=2&tid=G-1&cid=v&uid=u&cu=EUR"
HITS = "en=purchase&ep.transaction_id=o1&pr1=idtea~pr3.5~qt2&pr2=idcup~pr1\nen=page_view&ep.page=1"


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        yield client


def post(shop: Client, body: Any, query: str = "", headers: dict[str, str] | None = None) -> dict[str, Any]:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    sent = {"content-type": "application/json"} | (headers or {})
    response = shop.request("POST", f"/v1/collect{query}", content=content, headers=sent)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def stored(shop: Client) -> list[LogEntry]:
    return [each.entry for each in shop.app.state.app_context.store.read_after(0, 100_000)]


def statuses(answer: dict[str, Any]) -> list[str]:
    return [result["status"] for result in answer["results"]]


@pytest.mark.parametrize(
    ("body", "query"),
    [
        (SEGMENT, ""),
        ({"batch": [SEGMENT], "sentAt": AT}, "?source=segment"),
        (RUDDERSTACK, "?source=rudderstack"),
        (GA4, ""),
        (GA4, "?source=ga4"),
        (SHOPIFY, ""),
        ([SHOPIFY], "?source=shopify"),
    ],
)
def test_an_order_is_the_same_from_every_tracker(shop: Client, body: Any, query: str) -> None:
    for again in (False, True):
        answer = post(shop, body, query)
        assert statuses(answer) == ["duplicate" if again else "accepted"], answer
        assert (answer["accepted"], answer["refused"], answer["ignored"]) == (1, 0, 0)
        assert answer["results"][0]["event"] == "purchase"
    bodies = [entry.body for entry in stored(shop)]
    assert (bodies[0]["quantity"], bodies[0]["price"], bodies[1]["price"]) == (2.0, 3.5, 1.0)
    assert [each["item_id"] for each in bodies] == ["tea", "cup"]
    for each in bodies:
        assert (each["event"], each["user_id"], each["visitor_id"]) == ("purchase", "u", "v")
        assert (each["basket_id"], each["currency"], each["timestamp"]) == ("o1", "EUR", "2024-06-30T00:00:00+00:00")


def test_hits_of_gtag_are_taken_as_they_are(shop: Client) -> None:
    path = f"/v1/collect/g/collect?{HIT}"
    headers = {"content-type": "text/plain;charset=UTF-8"}
    for status in ("accepted", "duplicate"):
        response = shop.request("POST", path, content=HITS, headers=headers)
        assert [each["status"] for each in response.json()["results"]] == [status, "ignored"], response.text
    single = shop.request("POST", f"{path}&en=view_item&pr1=idtea")
    assert single.json()["accepted"] == 1, single.text
    assert [entry.body["event"] for entry in stored(shop)] == ["purchase", "purchase", "view_item"]
    broken = shop.request("POST", path, content=b"\xff", headers=headers)
    assert broken.status_code == 422


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "page", "name": "Home", "anonymousId": "v", "messageId": "p"},
        {"type": "track", "event": "Coupon Applied", "anonymousId": "v", "properties": {"products": "x"}},
        {
            "type": "track",
            "event": "Cart Viewed",
            "anonymousId": "v",
            "properties": {"products": [{"product_id": "t"}]},
        },
        {"name": "page_view", "params": {"items": 3}, "client_id": "v"},
        {"name": "view_cart", "params": {"items": [{"item_id": "tea"}]}, "client_id": "v"},
        event("page_viewed", {}),
        event("cart_viewed", {"cart": {"lines": [{"merchandise": VARIANT}]}}),
        event("alert_displayed", {"alert": 1}),
        ["config", "G-1"],
        {"type": "identify", "userId": "u", "traits": {"plan": "x"}},
    ],
)
def test_what_is_no_event_of_e_commerce_is_ignored(shop: Client, payload: Any) -> None:
    answer = post(shop, payload)
    assert (answer["accepted"], answer["refused"], answer["ignored"]) == (0, 0, 1)
    assert statuses(answer) == ["ignored"]
    assert "errors" not in answer["results"][0]
    assert stored(shop) == []


@pytest.mark.parametrize("name", ["\ud800", "x" * 100_000, "a\nb\0", ""])
def test_odd_names_are_ignored_or_refused(shop: Client, name: str) -> None:
    body = json.dumps(
        [{"name": name, "params": {}, "client_id": "v"}, {"type": "track", "event": name, "properties": {}}]
    )
    answer = post(shop, body)
    assert answer["accepted"] == 0
    assert all(len(result["event"] or "") < 300 for result in answer["results"])


def test_a_bad_event_is_refused_and_the_others_are_kept(shop: Client) -> None:
    bad = {**SEGMENT, "messageId": "m2", "properties": {"products": [{"product_id": "tea", "price": -1}]}}
    late = {**SEGMENT, "messageId": "m3", "timestamp": "2999-01-01T00:00:00Z"}
    answer = post(shop, [SEGMENT, bad, 5, {"type": "page", "anonymousId": "v"}, late])
    assert statuses(answer) == ["accepted", "rejected", "rejected", "ignored", "rejected"]
    assert (answer["accepted"], answer["refused"], answer["ignored"]) == (1, 3, 1)
    (error,) = answer["results"][1]["errors"]
    assert error == {"field": "price", "message": "price is '-1.0': expected 0 or more", "value": "-1.0"}
    assert answer["results"][2]["errors"][0]["message"] == "event: expected an object, got a number"
    assert answer["results"][4]["errors"][0]["field"] == "timestamp"
    assert len(stored(shop)) == 2


def test_the_shop_says_which_id_is_the_items(shop: Client) -> None:
    view = event("product_viewed", {"productVariant": VARIANT}, timestamp=AT)
    for number, key in enumerate(("product", "variant", "sku")):
        assert post(shop, view | {"id": f"e{number}"}, f"?item_id={key}")["accepted"] == 1
    segment = {**SEGMENT, "event": "Product Viewed", "properties": {"product_id": "50", "sku": "tea-green"}}
    assert post(shop, segment, "?item_id=sku")["accepted"] == 1
    assert [entry.body["item_id"] for entry in stored(shop)] == ["50", "501", "tea-green", "tea-green"]


def test_identify_merges_the_visitor_once(shop: Client) -> None:
    identify = {"type": "identify", "userId": "u", "anonymousId": "v", "messageId": "i"}
    for _ in range(2):
        answer = post(shop, [identify, {"type": "alias", "userId": "u", "previousId": "w"}])
        assert statuses(answer) == ["merged", "merged"]
        assert answer["accepted"] == 2
    merges = [(entry.entry_type, entry.key, entry.body) for entry in stored(shop)]
    assert merges == [("merge", "v", {"into": "u"}), ("merge", "w", {"into": "u"})]
    circle = post(shop, {"type": "identify", "userId": "v", "anonymousId": "u"})
    assert statuses(circle) == ["conflict"]
    assert circle["results"][0]["errors"][0]["field"] == "anonymousId"
    assert statuses(post(shop, {"type": "identify", "userId": "u", "anonymousId": "u"})) == ["ignored"]
    wrong = post(shop, {"type": "identify", "userId": "u\n", "anonymousId": ["v"]})
    assert [error["field"] for error in wrong["results"][0]["errors"]] == ["anonymousId", "userId"]
    for odd in ("\ud800", 10**400, 1.5, True, {}, "x" * 300):
        answer = post(shop, {"type": "identify", "userId": odd, "anonymousId": "v"})
        assert statuses(answer) == ["rejected"], odd
    word = post(shop, {"type": "identify", "userId": "undefined", "anonymousId": "v"})
    assert statuses(word) == ["rejected"]
    assert len(stored(shop)) == 2


def test_a_key_of_a_browser_does_not_merge(shop_models: Path, tmp_path: Path) -> None:
    browser, server, reader = keys_of(tmp_path / "keys.json", "events", "admin", "recommend")
    identify = {"type": "identify", "userId": "u", "anonymousId": "v"}
    with client_of(shop_models, store=tmp_path / "store.sqlite", keys=tmp_path / "keys.json") as client:
        answer = post(client, identify, headers={"x-api-key": browser})
        assert statuses(answer) == ["ignored"]
        assert "catalog" in answer["results"][0]["reason"]
        assert statuses(post(client, SEGMENT, headers={"x-api-key": browser})) == ["accepted"]
        assert statuses(post(client, identify, headers={"x-api-key": server})) == ["merged"]
        body = json.dumps(SEGMENT)
        for headers, status in (({}, 401), ({"x-api-key": reader}, 403)):
            headers = headers | {"content-type": "application/json"}
            assert client.request("POST", "/v1/collect", content=body, headers=headers).status_code == status


def test_browsers_send_json_as_plain_text(shop: Client) -> None:
    assert post(shop, SHOPIFY, headers={"content-type": "text/plain;charset=UTF-8"})["accepted"] == 1


@pytest.mark.parametrize(
    ("body", "query", "headers", "status", "field"),
    [
        ("{", "", {}, 422, ""),
        ("[]", "", {}, 422, ""),
        ("null", "", {}, 422, ""),
        ("7", "", {}, 422, ""),
        ('{"batch": 1}', "", {}, 422, "batch"),
        ("[" + "0," * MAX_EVENTS + "0]", "", {}, 422, ""),
        ("[" * 200_000 + "]" * 200_000, "", {}, 422, ""),
        ("{}", "?source=adobe", {}, 422, "source"),
        ("{}", "?item_id=ean", {}, 422, "item_id"),
        ("{}", "?color=red", {}, 422, "color"),
        ("a=1", "", {"content-type": "application/x-www-form-urlencoded"}, 415, None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_hostile_bodies_are_refused(
    shop: Client, body: str, query: str, headers: dict[str, str], status: int, field: str | None
) -> None:
    sent = {"content-type": "application/json"} | headers
    response = shop.request("POST", f"/v1/collect{query}", content=body, headers=sent)
    assert response.status_code == status, response.text
    assert [error["field"] for error in response.json()["errors"]] == ([] if field is None else [field])
