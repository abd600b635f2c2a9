from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from serving.api.routes import FOR_ITEM, FOR_USER, OPERATIONS, ItemList
from serving.http.validation import id_fields
from tests.serving.conftest import Client, client_of
from tests.shop import PHONES, USERS_WITH_HISTORY, WEEKLY_ITEM, WEEKLY_SHOPPERS

ITEM = f"/v1/items/{PHONES[0]}/recommendations"
PUBLIC = {"/health/live", "/health/ready", "/openapi.json"}


def test_every_path_and_method_is_declared_once() -> None:
    assert set(Counter((each.method, each.path) for each in OPERATIONS).values()) == {1}
    assert {each.path for each in OPERATIONS if each.scope is None} == PUBLIC


def test_parameters_of_every_path_are_declared_and_required() -> None:
    for operation in OPERATIONS:
        names = operation.path_names
        required = {field.name for field in msgspec.structs.fields(operation.parameters) if field.required}
        assert set(names) <= required
        assert all(name in id_fields(operation.parameters) for name in names if name.endswith("_id"))


def test_only_lists_that_are_the_same_for_everybody_are_cacheable() -> None:
    assert ItemList(item_id="i").is_cacheable
    assert ItemList(item_id="i", limit=3, region="north").is_cacheable
    assert not ItemList(item_id="i", user_id="u").is_cacheable
    assert not ItemList(item_id="i", filter="price < 3").is_cacheable
    assert not ItemList(item_id="i", page_token="x").is_cacheable
    assert {"any"} == FOR_ITEM & FOR_USER


def test_a_cached_list_is_made_once(shop_models: Path) -> None:
    with client_of(shop_models) as client:
        cache = client.app.state.app_context.watcher.snapshot().cache
        paths = [ITEM, f"{ITEM}?limit=3", f"{ITEM}?placement=similar", f"{ITEM}?region=north"]
        for path in paths * 2:
            assert client.get(path).status_code == 200
        assert len(cache._answers) == len(paths)
        client.get(f"{ITEM}?user_id={USERS_WITH_HISTORY[0]}")
        client.get(f"{ITEM}?filter=price%20%3E%200")
        assert len(cache._answers) == len(paths)


def test_an_empty_filter_is_no_filter(client: Client) -> None:
    without, empty = (client.get(f"{ITEM}{query}").json()["items"] for query in ("", "?filter="))
    assert without == empty


def test_a_moment_list_has_its_times_and_an_event_ends_it(shop_models: Path, tmp_path: Path) -> None:
    """Weekly shoppers bought the item up to a week before the end; other lists have no such times."""
    as_of = "2024-07-01T08:00:00Z"
    path = f"/v1/users/{WEEKLY_SHOPPERS[0]}/recommendations"
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        answer = client.get(f"{path}?placement=replenishment_due&as_of={as_of}").json()
        (item,) = [each for each in answer["items"] if each["item_id"] == WEEKLY_ITEM]
        assert item["due_at"].endswith("Z")
        assert item["expires_at"] > item["due_at"]
        assert "± " in item["reasons"][0]["text"]
        other = client.get(f"{path}?placement=for_you&as_of={as_of}").json()
        assert not any({"due_at", "expires_at"} & each.keys() for each in other["items"])
        event = {"event": "purchase", "item_id": WEEKLY_ITEM, "user_id": WEEKLY_SHOPPERS[0], "timestamp": as_of}
        assert client.request("POST", "/v1/events", json={"events": [event]}).status_code < 300
        answer = client.get(f"{path}?placement=replenishment_due&as_of={as_of}").json()
        assert WEEKLY_ITEM not in [each["item_id"] for each in answer["items"]]
