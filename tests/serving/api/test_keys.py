"""What a caller may do, and the list of keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serving.api.keys import roles_of
from serving.api.routes import OPERATIONS
from serving.runtime.auth import ROLES, SCOPES, Scope, new_key, write_keys
from tests.serving.conftest import Client, client_of
from tests.shop import USERS_WITH_HISTORY

AT = datetime(2026, 1, 1, tzinfo=UTC)
GROUPS: dict[str, tuple[Scope, ...]] = {**ROLES, "admin": ("admin",), "shop": ("recommend", "events"), "all": SCOPES}
GROUPS["page"] = ("browse", "events")


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def guarded(shop_models: Path, tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, str]) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    made = {name: new_key(name, scopes, AT) for name, scopes in GROUPS.items()}
    write_keys(path, [key for key, _ in made.values()])
    secrets.update({name: secret for name, (_, secret) in made.items()})
    with client_of(shop_models, keys=path) as client:
        yield client


def caller(client: Client, secret: str) -> dict[str, object]:
    found: dict[str, object] = client.request("GET", "/v1/caller", headers={"X-API-Key": secret}).json()
    return found


def test_a_caller_learns_its_scopes_and_roles(guarded: Client, secrets: dict[str, str]) -> None:
    found = caller(guarded, secrets["merchandiser"])
    assert found["name"] == "merchandiser"
    assert (found["scopes"], found["roles"]) == (["recommend", "view", "merchandise"], ["viewer", "merchandiser"])
    assert found["needs_keys"] is True
    assert caller(guarded, secrets["admin"])["roles"] == list(ROLES)
    assert caller(guarded, secrets["shop"])["roles"] == []


def test_without_keys_everything_is_allowed(client: Client) -> None:
    found = client.get("/v1/caller").json()
    assert (found["name"], found["scopes"], found["needs_keys"]) == ("local", list(SCOPES), False)
    assert client.get("/v1/keys").json() == {"keys": []}


def test_keys_are_listed_without_secrets(guarded: Client, secrets: dict[str, str]) -> None:
    answer = guarded.request("GET", "/v1/keys", headers={"X-API-Key": secrets["operator"]})
    assert [key["name"] for key in answer.json()["keys"]] == list(GROUPS)
    assert "sha256" not in answer.text
    assert not any(secret in answer.text for secret in secrets.values())


USER_CALLS = (
    ("POST", "/v1/recommendations", {"placement": "for_you"}),
    ("POST", "/v1/pages", {"shelves": [{"placement": "popular"}]}),
    ("POST", "/v1/rank", {"item_ids": ["i01"]}),
)


@pytest.mark.parametrize(("method", "path", "body"), USER_CALLS)
def test_a_key_of_pages_may_send_no_user_id(
    guarded: Client, secrets: dict[str, str], method: str, path: str, body: dict[str, object]
) -> None:
    def ask(group: str, **who: str) -> int:
        headers = {"X-API-Key": secrets[group]}
        return guarded.request(method, path, json=body | who, headers=headers).status_code

    assert ask("page", user_id="u001") == 403
    assert ask("page", visitor_id="v") != 403
    assert ask("shop", user_id="u001") != 403
    assert ask("admin", user_id="u001") != 403
    assert ask("page", visitor_id="v") == ask("shop", visitor_id="v")


def test_the_id_of_a_user_as_that_of_a_visitor_is_nobodys(guarded: Client, secrets: dict[str, str]) -> None:
    def listed(group: str, **who: str) -> dict[str, Any]:
        body = {"placement": "for_you", "log": False} | who
        reply = guarded.request("POST", "/v1/recommendations", json=body, headers={"X-API-Key": secrets[group]})
        found: dict[str, Any] = reply.json()
        return found

    user = USERS_WITH_HISTORY[0]
    assert not listed("shop", visitor_id=user)["fallback_used"]
    stranger, spied = listed("page", visitor_id="nobody"), listed("page", visitor_id=user)
    assert spied["items"] == stranger["items"]
    assert (spied["fallback_used"], stranger["fallback_used"]) == (True, True)


def test_lists_of_users_need_another_key(guarded: Client, secrets: dict[str, str]) -> None:
    headers = {"X-API-Key": secrets["page"]}
    refused = guarded.request("GET", "/v1/users/u001/recommendations", headers=headers)
    assert refused.status_code == 403
    assert guarded.request("POST", "/v1/batch", headers=headers, content=b"{}").status_code == 403
    query = "/recommendations/products.json?product_id=i01&user_id=u001"
    said = guarded.request("GET", query, headers=headers)
    assert (said.status_code, "whose calls name no user" in said.text) == (403, True)
    item = guarded.get("/openapi.json").json()["paths"]["/v1/items/{item_id}/recommendations"]["get"]
    assert {"bearer": ["browse"]} in item["security"]


@pytest.mark.parametrize("group", GROUPS)
def test_every_call_is_refused_to_keys_without_its_scope(group: str, guarded: Client, secrets: dict[str, str]) -> None:
    """Sent without a body and with a wrong parameter: what is allowed fails later than the check of the key."""
    for operation in OPERATIONS:
        path = operation.path.replace("{", "").replace("}", "") + "?wrong=1"
        status = guarded.request(operation.method, path, headers={"X-API-Key": secrets[group]}).status_code
        needed = {operation.scope, *operation.also, "admin"}
        is_allowed = operation.scope is None or bool(needed & set(GROUPS[group]))
        assert (status == 403) is not is_allowed, (operation.method, operation.path, status)
        assert is_allowed or operation.scope is not None


def test_every_role_reads_and_only_its_own_changes() -> None:
    reads = {"view", "recommend"}
    assert all(reads <= set(scopes) for scopes in ROLES.values())
    assert roles_of(()) == ()
    assert roles_of(SCOPES) == tuple(ROLES)
    changes = [operation for operation in OPERATIONS if operation.method != "GET" and operation.scope == "view"]
    assert [operation.path for operation in changes if operation.method in ("PUT", "PATCH", "DELETE")] == []
