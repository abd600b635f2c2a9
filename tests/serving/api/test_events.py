from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.core.errors import StoreBusyError, StoreError
from recsys.eventlog.store import EventStore, StoredEntry, events_table
from serving.api.event_models import MAX_EVENTS
from tests.serving.api.test_event_validation import GA4, RETAIL, SEGMENT
from tests.serving.conftest import Client, client_of

VIEW = {"item_id": "tea", "event": "view_item", "user_id": "u", "timestamp": "2024-06-30T00:00:00Z"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        yield client


def post(client: Client, *events: Any) -> dict[str, Any]:
    response = client.request("POST", "/v1/events", json={"events": events})
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def statuses(reply: dict[str, Any]) -> list[str]:
    return [result["status"] for result in reply["results"]]


def store_of(client: Client) -> EventStore:
    store: EventStore = client.app.state.app_context.store
    return store


def stored(client: Client) -> list[StoredEntry]:
    return store_of(client).read_after(0, 100_000)


def raw(client: Client, body: bytes, **headers: str) -> httpx.Response:
    return client.request("POST", "/v1/events", content=body, headers=JSON | headers)


def test_each_event_has_its_result(shop: Client) -> None:
    bad = VIEW | {"price": -1, "event_id": "b"}
    reply = post(
        shop, VIEW | {"event_id": "a"}, bad, VIEW | {"event_id": "a"}, VIEW | {"event_id": "a", "price": 2}, VIEW
    )
    assert statuses(reply) == ["accepted", "rejected", "duplicate", "conflict", "accepted"]
    assert [result["event_id"] for result in reply["results"]] == ["a", "b", "a", "a", None]
    assert reply["results"][1]["errors"] == [
        {"field": "price", "message": "price is '-1.0': expected 0 or more", "value": "-1.0"}
    ]
    assert reply["results"][3]["errors"][0]["field"] == "event_id"
    assert (reply["accepted"], reply["refused"]) == (3, 2)
    assert [each.entry.key for each in stored(shop)] == ["a", None]


def test_payloads_of_other_vendors_are_idempotent(shop: Client) -> None:
    for again in (False, True):
        reply = post(shop, GA4, SEGMENT, RETAIL)
        assert statuses(reply) == ["duplicate" if again else "accepted"] * 3
    assert [each.entry.key for each in stored(shop)] == ["g#1", "g#2", "s", "r#1", "r#2"]
    dearer = GA4 | {"items": [{"item_id": "tea", "price": 4, "quantity": 1}, {"item_id": "cup"}]}
    assert statuses(post(shop, dearer)) == ["conflict"]
    table = events_table(store_of(shop))
    assert table["event"].to_list() == ["purchase", "purchase", "add_to_cart", "purchase", "purchase"]
    assert table["basket_id"].to_list() == ["T1", "T1", None, "T2", "T2"]


def test_a_missing_time_is_the_servers_and_not_part_of_the_content(shop: Client) -> None:
    event = {"item_id": "tea", "event": "view_item", "visitor_id": "v", "event_id": "x"}
    assert statuses(post(shop, event)) == ["accepted"]
    entry = stored(shop)[0].entry
    assert 0 <= shop.app.state.app_context.clock.now() - entry.at < 5
    assert entry.received_at > entry.at + 86_400
    shop.app.state.app_context.clock._ahead_s += 60
    assert statuses(post(shop, event)) == ["duplicate"]
    assert "timestamp" not in entry.body


def test_old_events_of_an_erased_user_are_refused(shop: Client) -> None:
    post(shop, VIEW | {"event_id": "a"})
    store_of(shop).erase(["u"], 0.0, float(shop.app.state.app_context.clock.now()))
    reply = post(shop, VIEW | {"event_id": "late"}, {"item_id": "tea", "event": "view_item", "user_id": "u"})
    assert statuses(reply) == ["erased", "accepted"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 422, ""),
        (b"[]", 422, ""),
        (b'{"events":{}}', 422, "events"),
        (b'{"events":[]}', 422, "events"),
        (b'{"events":[' + b"0," * MAX_EVENTS + b"0]}", 422, "events"),
        (b'{"event":[{}],"events":[1]}', 422, "event"),
        (b'{"events":[{}],"dry_run":true}', 422, "dry_run"),
        (b'{"events":[NaN]}', 422, ""),
        (b'{"events":[' + b"[" * 200_000 + b"]" * 200_000 + b"]}", 422, ""),
        (b'{"events":[' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"]}", 422, ""),
        (b'{"events":["\xff\xfe"]}', 422, ""),
        (b'{"events":["' + b"x" * (3 << 20) + b'"]}', 413, None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_hostile_bodies_are_refused(shop: Client, body: bytes, status: int, field: str | None) -> None:
    response = raw(shop, body)
    assert response.status_code == status, response.text
    reply = response.json()
    assert [error["field"] for error in reply["errors"]] == ([] if field is None else [field])
    assert len(response.content) < 1_000
    assert stored(shop) == []


def test_another_media_type_is_refused(shop: Client) -> None:
    body = json.dumps({"events": [VIEW]}).encode()
    assert raw(shop, body, **{"Content-Type": "text/plain"}).status_code == 415
    assert raw(shop, body, **{"Content-Encoding": "gzip"}).status_code == 415
    assert shop.request("POST", "/v1/events", content=body).status_code == 415
    assert raw(shop, body, **{"Content-Type": "application/json; charset=utf-8"}).status_code == 200


def test_an_odd_event_does_not_affect_the_others(shop: Client) -> None:
    good = json.dumps(VIEW).encode()
    odd = [
        b'{"item_id":"\\ud800","event":"view_item","user_id":"u"}',
        b'{"\\udfff":1,"item_id":"tea","event":"view_item","user_id":"u","event_id":"\\ud800"}',
        b'{"item_id":"tea","event":"view_item","user_id":"u","price":1e999}',
        b'{"item_id":"tea","event":"view_item","user_id":"u","quantity":' + b"9" * 4000 + b"}",
        b'{"item_id":"tea","item_id":"cup","event":"view_item","user_id":"u"}',
        b'{"item_id":"x\\u0000","event":"view_item","user_id":"u"}',
    ]
    response = raw(shop, b'{"events":[%b,%b]}' % (b",".join(odd), good))
    assert response.status_code == 200
    assert statuses(response.json()) == ["rejected"] * 4 + ["accepted", "rejected", "accepted"]
    assert [each.entry.body["item_id"] for each in stored(shop)] == ["cup", "tea"]


def test_a_thousand_events_in_one_call(shop: Client) -> None:
    reply = post(shop, *[VIEW | {"event_id": str(n)} for n in range(MAX_EVENTS)])
    assert (reply["accepted"], len(reply["results"])) == (MAX_EVENTS, MAX_EVENTS)
    assert shop.app.state.app_context.store.last_seq() == MAX_EVENTS


def test_a_call_with_too_many_items_stores_those_that_fit(shop: Client) -> None:
    big = [GA4 | {"event_id": str(n), "items": [{"item_id": "i"}] * 200} for n in range(51)]
    reply = post(shop, *big)
    assert statuses(reply) == ["accepted"] * 50 + ["rejected"]
    assert "another call" in reply["results"][-1]["errors"][0]["message"]


@pytest.mark.parametrize(
    ("error", "seconds"), [(StoreBusyError(9, 1, 9), "1"), (StoreError("/secret/store: disk full"), "10")]
)
def test_a_store_that_fails_is_503(
    shop: Client, monkeypatch: pytest.MonkeyPatch, error: StoreError, seconds: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(store_of(shop)), "submit", fail)
    response = shop.request("POST", "/v1/events", json={"events": [VIEW]})
    assert (response.status_code, response.headers["retry-after"]) == (503, seconds)
    assert "secret" not in response.text


def test_a_data_clock_needs_a_bundle(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        assert client.request("POST", "/v1/events", json={"events": [VIEW]}).status_code == 503
    with client_of(tmp_path, clock="wall") as client:
        assert statuses(post(client, VIEW)) == ["accepted"]


def test_results_of_events_are_counted(shop: Client) -> None:
    post(shop, VIEW, VIEW, {})
    text = shop.get("/metrics").text
    assert 'recsys_events_total{result="accepted"} 2.0' in text
    assert 'recsys_events_total{result="rejected"} 1.0' in text


def test_an_event_sent_again_with_other_items_is_a_conflict(shop: Client) -> None:
    """Its id is known with other content, for any number of items before and after."""
    payload = {"event_name": "purchase", "event_id": "many", "user_pseudo_id": "v", "currency": "CNY"}

    def send(*item_ids: str) -> list[str]:
        return statuses(post(shop, payload | {"items": [{"item_id": each, "price": 2.0} for each in item_ids]}))

    assert send("tea", "cup") == ["accepted"]
    assert send("tea", "cup") == ["duplicate"]
    for items in (("tea",), ("tea", "cup", "pot"), ("cup", "tea"), ("pot",)):
        assert send(*items) == ["conflict"]
    assert [each.entry.body["item_id"] for each in stored(shop)] == ["tea", "cup"]


def test_words_for_nothing_are_named_in_the_result(shop: Client) -> None:
    events = [VIEW | {"user_id": "undefined", "visitor_id": "v"}, VIEW | {"user_id": "null"}, VIEW | {"item_id": "NaN"}]
    reply = post(shop, *events)
    assert statuses(reply) == ["accepted", "rejected", "rejected"]
    first, second, third = reply["results"]
    assert first["emptied"][0]["field"] == "user_id"
    assert first["errors"] == []
    assert "user_id" not in stored(shop)[0].entry.body
    assert [each["value"] for each in second["errors"] if "value" in each] == ["null"]
    assert third["errors"][0]["field"] == "item_id"
