from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.core.schema import ITEMS, USERS
from recsys.eventlog.store import LogEntry
from serving.api.catalog_models import ItemFields, UserFields
from tests.serving.conftest import Client, client_of

ITEM = {
    "item_group_id": "g",
    "title": "手工皮革钱包",
    "category": ["leather", "wallets"],
    "tags": ["hand-made"],
    "brand": "b",
    "price": 12.5,
    "list_price": 20,
    "currency": "CNY",
    "available": True,
    "created_at": "2024-06-30T08:00:00+08:00",
    "attributes": {"colour": "red", "weight": 1.5, "pieces": 3, "vegan": False, "materials": ["wood", "皮"]},
}
USER = {"timezone": "Asia/Shanghai", "region": "Hubei", "tags": ["a"], "personalization": False, "attributes": {"n": 1}}


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        yield client


def send(client: Client, method: str, path: str, body: Any = None) -> httpx.Response:
    return client.request(method, path, **({} if body is None else {"json": body}))


def entries(client: Client) -> list[LogEntry]:
    return [stored.entry for stored in client.app.state.app_context.store.read_after(0, 100)]


def test_every_column_has_a_field() -> None:
    assert set(ItemFields.__struct_fields__) == {*ITEMS, "offers", "attributes"} - {"item_id"}
    assert set(UserFields.__struct_fields__) == {*USERS, "attributes"} - {"user_id"}


@pytest.mark.parametrize(("kind", "body"), [("item", ITEM), ("user", USER)])
@pytest.mark.parametrize("id_", ["纸巾/3层", "🦊", "two words"])
def test_put_patch_and_delete(shop: Client, kind: str, body: dict[str, Any], id_: str) -> None:
    path = f"/v1/{kind}s/{quote(id_, safe='')}"
    answer = send(shop, "PUT", path, body)
    assert (answer.status_code, answer.json()) == (200, {"seq": 1, "kind": f"{kind}_put", "key": id_})
    assert send(shop, "PATCH", path, {"tags": None, "attributes": {"colour": None}}).json()["seq"] == 2
    put, patched = entries(shop)
    expected = body | ({"created_at": "2024-06-30T00:00:00+00:00"} if kind == "item" else {})
    assert (put.entry_type, put.key, put.body) == (f"{kind}_put", id_, expected)
    assert (patched.entry_type, patched.body) == (f"{kind}_patch", {"tags": None, "attributes": {"colour": None}})
    assert abs(put.at - shop.app.state.app_context.clock.now()) < 5
    assert put.received_at > put.at


def test_an_item_is_deleted(shop: Client) -> None:
    assert send(shop, "DELETE", "/v1/items/never%20there").json() == {
        "seq": 1,
        "kind": "item_delete",
        "key": "never there",
    }
    assert (entries(shop)[0].entry_type, entries(shop)[0].body) == ("item_delete", {})


def test_null_in_a_put_is_ignored(shop: Client) -> None:
    send(shop, "PUT", "/v1/items/a", {"title": None, "attributes": {"x": None, "y": 1}})
    assert entries(shop)[0].body == {"attributes": {"y": 1}}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/items/a", {"price": -1}, "price"),
        ("/v1/items/a", {"price": "1"}, "price"),
        ("/v1/items/a", {"colour": "red"}, "colour"),
        ("/v1/items/a", {"item_id": "a"}, "item_id"),
        ("/v1/items/a", {"tags": "a"}, "tags"),
        ("/v1/items/a", {"tags": ["a", 1]}, "tags[1]"),
        ("/v1/items/a", {"tags": ["x"] * 101}, "tags"),
        ("/v1/items/a", {"available": "yes"}, "available"),
        ("/v1/items/a", {"available": 1}, "available"),
        ("/v1/items/a", {"created_at": "2024-06-30T08:00:00"}, "created_at"),
        ("/v1/items/a", {"created_at": "0001-01-01T00:00:00+14:00"}, "created_at"),
        ("/v1/items/a", {"created_at": "9999-12-31T23:59:59-14:00"}, "created_at"),
        ("/v1/items/a", {"item_group_id": ""}, "item_group_id"),
        ("/v1/items/a", {"item_group_id": "茶" * 86}, "item_group_id"),
        ("/v1/items/a", {"title": "x" * 1001}, "title"),
        ("/v1/items/a", {"attributes": None}, "attributes"),
        ("/v1/items/a", {"attributes": {"a": {}}}, "attributes.a"),
        ("/v1/items/a", {"attributes": {"a": 1 << 60}}, "attributes.a"),
        ("/v1/items/a", {"attributes": {"price": 1}}, "attributes.price"),
        ("/v1/items/a", {"attributes": {str(n): n for n in range(101)}}, "attributes"),
        ("/v1/items/a", {"offers": [{"price": 1}, {"store": "武汉一店"}]}, "offers[1]"),
        ("/v1/items/a", {"offers": [{"price": -1}]}, "offers[0].price"),
        ("/v1/items/a", {"offers": [{"price": 1, "shop": "x"}]}, "offers[0].shop"),
        ("/v1/items/a", {"offers": [{"price": 1, "store": ""}]}, "offers[0].store"),
        ("/v1/items/a", {"offers": [{"price": 1, "valid_to": "9999-12-31T23:59:59-14:00"}]}, "offers[0].valid_to"),
        (
            "/v1/items/a",
            {"offers": [{"price": 1, "valid_from": "2024-06-02T00:00:00Z", "valid_to": "2024-06-01T00:00:00Z"}]},
            "offers[0].valid_to",
        ),
        ("/v1/items/a", {"offers": [{"price": 1}] * 1001}, "offers"),
        ("/v1/items/a", [], ""),
        ("/v1/users/u", {"timezone": "Mars/Olympus"}, "timezone"),
        ("/v1/users/u", {"timezone": "../etc/passwd"}, "timezone"),
        ("/v1/users/u", {"personalization": "no"}, "personalization"),
        ("/v1/users/u", {"title": "x"}, "title"),
        ("/v1/users/u", {"attributes": {"user_id": "x"}}, "attributes.user_id"),
        ("/v1/users/u", {"attributes": {"consent_push": "yes"}}, "attributes.consent_push"),
        ("/v1/users/u", {"attributes": {"consent_push": 1}}, "attributes.consent_push"),
        ("/v1/items/a", {"price": 1e300}, "price"),
        ("/v1/users/a%00", {}, "user_id"),
        (f"/v1/items/{'x' * 257}", {}, "item_id"),
    ],
)
def test_the_wrong_field_is_named(shop: Client, path: str, body: Any, field: str) -> None:
    for method in ("PUT", "PATCH"):
        response = send(shop, method, path, body)
        assert response.status_code == 422, response.text
        assert [error["field"] for error in response.json()["errors"]] == [field]
    assert entries(shop) == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"title":"\\ud800"}',
        b'{"attributes":{"\\ud800":1}}',
        b'{"price":NaN}',
        b'{"price":1e999}',
        b'{"tags":[["' * 50_000,
    ],
)
def test_hostile_bodies(shop: Client, body: bytes) -> None:
    response = shop.request("PUT", "/v1/items/a", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert entries(shop) == []


def test_a_change_older_than_an_erasure_is_a_conflict(shop: Client) -> None:
    app_context = shop.app.state.app_context
    app_context.store.erase(["u"], 0.0, float(app_context.clock.now() + 100))
    assert send(shop, "PUT", "/v1/users/u", USER).status_code == 409
    assert send(shop, "PUT", "/v1/users/other", USER).status_code == 200


HOSTILE_NAMES = ["*", "^.*$", "^x$", "^$", "a\nb", "\x00", "", "x" * 257]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("path", ["/v1/items/n1", "/v1/users/u1"])
def test_names_that_no_column_can_have_are_refused(shop: Client, name: str, method: str, path: str) -> None:
    answer = send(shop, method, path, {"attributes": {name: 1.5}})
    assert answer.status_code == 422
    assert "expected" in answer.json()["detail"]
    assert entries(shop) == []


NAMES = st.text(min_size=1, max_size=5) | st.sampled_from([*HOSTILE_NAMES, "row", "value", "mask", "price", "item_id"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=3),
)  # fmt: skip
FIELDS = st.fixed_dictionaries(
    {"attributes": st.dictionaries(NAMES, VALUES, max_size=4)},
    optional={name: VALUES for name in ITEM if name != "attributes"},
)
LISTS = ("for_you", "popular", "similar", "complementary", "bought_together")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(["n1", "phone-1"]), st.sampled_from(["PUT", "PATCH"]), FIELDS)))
def test_after_any_acknowledged_change_lists_are_served(shop: Client, changes: list[Any]) -> None:
    for item_id, method, body in changes:
        if send(shop, method, f"/v1/items/{item_id}", body).status_code == 200:
            for placement in LISTS:
                asked = {"placement": placement, "item_ids": ["phone-1"], "user_id": "u010", "filter": "price > 1"}
                assert send(shop, "POST", "/v1/recommendations", asked).status_code == 200
    assert shop.get("/health/ready").status_code == 200
    live = shop.app.state.app_context.watcher.current.recommender.live
    live.settle()
    assert live.set_aside == []


def test_an_acknowledged_entry_of_an_earlier_release_breaks_no_list(shop: Client) -> None:
    """Earlier releases stored such names: they are columns like any other."""
    body = {"attributes": {"*": 1.5, "^a$": 2}}
    shop.app.state.app_context.store.append([LogEntry("item_put", "n1", 1.0, 1.0, body)])
    for placement in LISTS:
        asked = {"placement": placement, "item_ids": ["phone-1"]}
        assert send(shop, "POST", "/v1/recommendations", asked).status_code == 200
    asked = {"placement": "popular", "limit": 100, "filter": '"*" > 1'}
    assert [item["item_id"] for item in send(shop, "POST", "/v1/recommendations", asked).json()["items"]] == ["n1"]


@pytest.mark.parametrize(
    "updated_at",
    ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "2999-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_is_from_the_past(shop: Client, method: str, updated_at: str) -> None:
    """A time of the future would win over all later files."""
    answer = send(shop, method, "/v1/items/n", {"title": "x", "updated_at": updated_at})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "updated_at")
    assert entries(shop) == []
    assert send(shop, method, "/v1/items/n", {"updated_at": "2024-07-01T00:00:00+08:00"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/v1/items/undefined", {}, "item_id"),
        ("PATCH", "/v1/items/NaN", {"price": 1}, "item_id"),
        ("PUT", "/v1/users/null", {}, "user_id"),
        ("PATCH", "/v1/users/(not%20set)", {"tags": []}, "user_id"),
        ("POST", "/v1/users/null/merge", {"from": "v"}, "user_id"),
        ("POST", "/v1/users/u/merge", {"from": "undefined"}, "from"),
    ],
)
def test_a_word_for_nothing_is_no_id(shop: Client, method: str, path: str, body: Any, field: str) -> None:
    response = send(shop, method, path, body)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["field"] == field
    assert "RECSYS_REAL_WORDS" in response.json()["detail"]
    assert not entries(shop)


def test_what_has_such_a_name_can_be_deleted_and_a_shop_can_declare_it_real(shop_models: Path, tmp_path: Path) -> None:
    with client_of(shop_models, store=tmp_path / "log", real_words=("null",)) as client:
        assert send(client, "PUT", "/v1/items/NULL", {}).status_code == 200
        assert send(client, "PUT", "/v1/items/undefined", {}).status_code == 422
        assert send(client, "DELETE", "/v1/items/undefined").status_code == 200
