from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from serving.api.routes import FOR_ITEM, FOR_USER, OPERATIONS, ItemList
from serving.http.validation import id_fields
from tests.serving.conftest import Client, client_of
from tests.shop import PHONES, USERS_WITH_HISTORY

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
    assert FOR_ITEM.isdisjoint(FOR_USER)


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
