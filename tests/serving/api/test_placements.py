"""The lists that are served, their text, import and roll back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.core.placements import PLACEMENTS
from tests.serving.api.drafts import TEXT, actions, desk, post, refresh
from tests.serving.conftest import Client

DOCS = Path(__file__).parents[3] / "docs"
TEXTS = [
    TEXT,
    TEXT.replace("\n", "\r\n"),
    "\ufeff" + TEXT,
    TEXT.rstrip("\n"),
    "\n\n# nothing\n",
    "",
    (DOCS / "placements.toml").read_text(encoding="utf-8"),
]


@pytest.fixture
def client(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with desk(shop_models, tmp_path) as client:
        yield client


def put(client: Client, text: str, version: str = "*") -> int:
    return client.request("PUT", "/v1/placements", json={"toml": text}, headers={"If-Match": version}).status_code


def test_all_lists_with_their_settings(client: Client) -> None:
    reply = client.get("/v1/placements")
    answer = reply.json()
    found = {each["placement"]: each for each in answer["placements"]}
    assert list(found) == [*PLACEMENTS, "home", "aside"]
    assert found["home"]["own"] == {"extends": "for_you", "limit": 5}
    assert (found["home"]["settings"]["limit"], found["for_you"]["settings"]["limit"]) == (5, 20)
    assert found["home"]["settings"]["sources"] == dict(PLACEMENTS["for_you"].sources)
    assert (found["home"]["anchor"], found["home"]["extends"], found["for_you"]["own"]) == ("user", "for_you", None)
    assert (found["home"]["fallback"], found["buy_again"]["fallback"]) == (["popular_by_hour"], [])
    assert answer["pages"] == [{"page": "start", "placements": ["home", "aside"]}]
    assert reply.headers["etag"] == f'"{answer["version"]}"' == f'"{answer["file_version"]}"'
    assert {each["key"]: each["expected"] for each in answer["keys"]}["limit"] == "a whole number in [1, 100]"
    assert {"als", "repeat", "similar"} <= set(answer["sources"])
    assert set(answer["item_sources"]) <= set(answer["sources"])


def test_a_broken_file_is_shown_beside_what_is_served(client: Client, tmp_path: Path) -> None:
    (tmp_path / "placements.toml").write_text("[broken", encoding="utf-8")
    refresh(client)
    answer = client.get("/v1/placements").json()
    assert "is not TOML" in answer["error"]
    assert str(tmp_path) not in answer["error"]
    assert answer["version"] != answer["file_version"]
    assert [each["own"] for each in answer["placements"] if each["placement"] == "home"] == [
        {"extends": "for_you", "limit": 5}
    ]
    assert client.get("/v1/placements/export").text == "[broken"
    assert client.get(f"/v1/placements/export?version={answer['version']}").text == TEXT
    assert post(client, "/v1/placements/rollback", f'"{answer["file_version"]}"').status_code == 200
    refresh(client)
    assert client.get("/v1/placements").json()["error"] is None


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_exported_is_what_was_imported(client: Client, text: str, tmp_path: Path) -> None:
    assert put(client, text) == 200
    assert (tmp_path / "placements.toml").read_bytes() == text.encode()
    exported = client.get("/v1/placements/export")
    assert exported.content == text.encode()
    assert exported.headers["content-type"] == "application/toml"
    assert exported.headers["x-content-type-options"] == "nosniff"
    assert put(client, exported.content.decode(), exported.headers["etag"]) == 200
    assert client.get("/v1/placements/export").headers["etag"] == exported.headers["etag"]


@pytest.mark.parametrize("text", ["[placements", '[placements.x]\nextends = "y"', "x = 1", "a" * (1 << 20)])
def test_an_import_that_is_wrong_changes_nothing(client: Client, text: str, tmp_path: Path) -> None:
    assert put(client, text) == 422
    assert (tmp_path / "placements.toml").read_text(encoding="utf-8") == TEXT
    assert actions(client) == ["placements_edited"]


def test_imports_and_roll_backs_name_the_present_version(client: Client) -> None:
    present = client.get("/v1/placements").headers["etag"]
    assert put(client, "", '"other"') == 409
    assert client.request("PUT", "/v1/placements", json={"toml": ""}).status_code == 428
    assert put(client, "", present) == 200
    assert put(client, TEXT, present) == 409
    assert post(client, "/v1/placements/rollback", present).status_code == 409
    assert post(client, "/v1/placements/rollback", "*", version=present.strip('"')).status_code == 200
    assert client.get("/v1/placements").headers["etag"] == present


def test_versions_are_digests(client: Client, tmp_path: Path) -> None:
    for wrong in ("..%2Fplacements", "x", "0" * 63, "A" * 64):
        assert client.get(f"/v1/placements/export?version={wrong}").status_code == 422
    assert client.get(f"/v1/placements/export?version={'0' * 64}").status_code == 404
    assert post(client, "/v1/placements/rollback", "*", version="0" * 64).status_code == 404
    assert all(re.fullmatch(r"[0-9a-f]{64}\.toml", path.name) for path in tmp_path.rglob("versions/*"))


def test_what_never_changed_cannot_be_rolled_back(shop_models: Path, tmp_path: Path) -> None:
    with desk(shop_models, tmp_path, None) as client:
        reply = post(client, "/v1/placements/rollback", "*")
        assert (reply.status_code, "no version to return to" in reply.json()["detail"]) == (404, True)


def test_a_roll_back_twice_goes_back_and_forth(client: Client) -> None:
    first = client.get("/v1/placements/export").text
    assert put(client, "") == 200
    assert post(client, "/v1/placements/rollback", "*").status_code == 200
    assert client.get("/v1/placements/export").text == first
    assert post(client, "/v1/placements/rollback", "*").status_code == 200
    assert client.get("/v1/placements/export").text == ""
