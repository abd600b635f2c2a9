from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import pytest
from starlette.exceptions import HTTPException

from recsys.core.errors import ConfigError
from serving.runtime.auth import Key, KeyRing, Scope, new_key, read_keys, write_keys
from tests.serving.conftest import Client, client_of
from tests.shop import PHONES

NOW = datetime(2024, 7, 1, tzinfo=UTC)
LIST = f"/v1/items/{PHONES[0]}/recommendations"


def keys_of(path: Path, *scopes: Scope) -> list[str]:
    """Write a file with one key per scope; return the keys."""
    made = [new_key(f"for {scope}", [scope], NOW) for scope in scopes]
    write_keys(path, [key for key, _ in made])
    return [secret for _, secret in made]


def headers(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def status(client: Client, path: str, method: str = "GET", **given: str) -> int:
    return client.request(
        method, path, headers={name.replace("_", "-"): value for name, value in given.items()}
    ).status_code


def test_keys_are_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    (secret,) = keys_of(path, "events")
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(secret) > 43
    (key,) = read_keys(path)
    assert (key.scopes, key.name, key.created_at) == (("events",), "for events", NOW)
    assert secret != keys_of(path, "events")[0]


def test_scopes_and_headers(shop_models: Path, tmp_path: Path) -> None:
    recommend, events, admin = keys_of(tmp_path / "keys.json", "recommend", "events", "admin")
    with client_of(shop_models, keys=tmp_path / "keys.json") as client:
        assert status(client, LIST, authorization=f"Bearer {recommend}") == 200
        assert status(client, LIST, authorization=f"bearer  {recommend}") == 200
        assert status(client, LIST, x_api_key=recommend) == 200
        assert status(client, LIST, x_api_key=recommend, authorization=f"Bearer {recommend}") == 200
        assert status(client, LIST, x_api_key=admin) == 200
        assert status(client, LIST, x_api_key=events) == 403
        assert status(client, LIST) == 401
        assert status(client, LIST, x_api_key="") == 401
        assert status(client, LIST, x_api_key=recommend, authorization=f"Bearer {admin}") == 401
        assert status(client, LIST, x_api_key=recommend, authorization="Basic YTpi") == 401
        assert status(client, LIST, authorization=recommend) == 401
        assert status(client, LIST, x_api_key=recommend[:-1]) == 401
        assert status(client, "/v1/models", x_api_key=recommend) == 403
        assert status(client, "/v1/models", x_api_key=admin) == 200
        assert status(client, "/metrics") == 401
        assert status(client, "/metrics", x_api_key=recommend) == 200
        assert [status(client, path) for path in ("/health/live", "/health/ready", "/openapi.json")] == [200] * 3


def test_errors_and_the_document_with_keys(shop_models: Path, tmp_path: Path) -> None:
    (events,) = keys_of(tmp_path / "keys.json", "events")
    with client_of(shop_models, keys=tmp_path / "keys.json") as client:
        nobody = client.get(LIST)
        assert nobody.headers["www-authenticate"] == 'Bearer realm="recsys"'
        assert nobody.headers["content-type"] == "application/problem+json"
        unknown = client.request("GET", LIST, headers=headers("x"))
        assert 'error="invalid_token"' in unknown.headers["www-authenticate"]
        lacking = client.request("GET", LIST, headers=headers(events))
        assert "'recommend'" in lacking.json()["detail"]
        assert 'scope="recommend"' in lacking.headers["www-authenticate"]
        assert client.get("/health/ready").json()["examples"] == []
        reply = client.get("/openapi.json").json()
        responses = reply["paths"]["/v1/items/{item_id}/recommendations"]["get"]["responses"]
        assert list(responses) == ["200", "401", "403", "404", "414", "422", "429", "431", "503"]
        assert reply["paths"]["/v1/events"]["post"]["security"] == [{"bearer": ["events"]}, {"apiKey": ["events"]}]
        assert "security" not in reply["paths"]["/health/live"]["get"]
        assert set(reply["components"]["securitySchemes"]) == {"bearer", "apiKey"}


def test_without_a_key_file_no_key_is_required(client: Client) -> None:
    assert status(client, LIST, x_api_key="whatever") == 200
    assert {} in client.get("/openapi.json").json()["paths"]["/v1/events"]["post"]["security"]


def test_a_key_is_revoked_while_the_server_runs(
    shop_models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    first, second = keys_of(path, "recommend", "recommend")
    with client_of(shop_models, keys=path) as client:
        assert status(client, LIST, x_api_key=first) == 200
        write_keys(path, read_keys(path)[1:])
        assert (status(client, LIST, x_api_key=first), status(client, LIST, x_api_key=second)) == (401, 200)
        path.write_text("{}")
        assert status(client, LIST, x_api_key=second) == 200
        assert caplog.text.count("the earlier keys stay valid") == 1
        path.unlink()
        assert status(client, LIST, x_api_key=second) == 200
        write_keys(path, ())
        assert status(client, LIST, x_api_key=second) == 401


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("", "not a file of keys"),
        ('{"schema_version":2,"keys":[]}', "schema version 2"),
        ('{"schema_version":1,"keys":[]}', "contains no key"),
        ('{"schema_version":1,"keys":[{"key_id":"a"}]}', "not a file of keys"),
    ],
)
def test_an_invalid_key_file_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "keys.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        KeyRing(path)


def test_an_unknown_scope_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys_of(path, "events")
    document = json.loads(path.read_text())
    document["keys"][0]["scopes"] = ["root"]
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="root"):
        read_keys(path)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_keys(tmp_path / "nowhere" / "keys.json", ())


def test_the_check_costs_microseconds(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = [new_key("", ["recommend"], NOW) for _ in range(1_000)]
    write_keys(path, [key for key, _ in made])
    ring, sent = KeyRing(path), [(b"host", b"shop"), (b"authorization", f"Bearer {made[-1][1]}".encode())]
    times = []
    for _ in range(20):
        started = perf_counter()
        for _ in range(100):
            ring.check(sent, "recommend")
        times.append((perf_counter() - started) / 100)
    assert min(times) < 20e-6
    with pytest.raises(HTTPException):
        ring.check([(b"x-api-key", b"\xff\x00")], "recommend")


def test_keys_are_compared_by_digest(tmp_path: Path) -> None:
    digest = "0" * 64
    write_keys(tmp_path / "keys.json", [Key("a", "", digest, ("admin",), NOW)])
    with pytest.raises(HTTPException, match="unknown"):
        KeyRing(tmp_path / "keys.json").check([(b"x-api-key", digest.encode())], "admin")
    assert os.listdir(tmp_path) == ["keys.json"]
