"""Drafts over HTTP: from the first edit to a roll back, by people who work at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.api.keys import ROLES
from serving.runtime.auth import new_key, write_keys
from tests.serving.api.drafts import TEXT, actions, begin, desk, post, refresh
from tests.serving.conftest import Client, Server, client_of

OTHER = TEXT.replace("limit = 5", "limit = 3")


@pytest.fixture
def client(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with desk(shop_models, tmp_path) as client:
        yield client


def edit(client: Client, path: str, version: str, **body: Any) -> httpx.Response:
    return client.request("PATCH", path, json=body, headers={"If-Match": version})


def length(client: Client) -> int:
    return len(client.get("/v1/users/u010/recommendations?placement=home&log=false").json()["items"])


def soon(client: Client, **ahead: float) -> str:
    now = datetime.fromtimestamp(client.app.state.app_context.now(), UTC)
    return (now + timedelta(**ahead)).isoformat()


def test_a_draft_is_written_reviewed_activated_and_rolled_back(client: Client, tmp_path: Path) -> None:
    path, version = begin(client, title="双11", reason="sale")
    draft = client.get(path).json()
    assert (draft["toml"], draft["status"], draft["title"], draft["is_stale"]) == (TEXT, "draft", "双11", False)
    changed = edit(client, path, version, placements={"home": {"extends": "for_you", "limit": 3}})
    assert changed.json()["toml"] == OTHER.replace("       # 首页", "")
    reviewed = post(client, f"{path}/review", changed.headers["etag"], reason="please look")
    assert reviewed.json()["status"] == "review"
    assert length(client) == 5
    done = post(client, f"{path}/activate", reviewed.headers["etag"], reason="go")
    assert done.status_code == 200, done.text
    refresh(client)
    assert length(client) == 3
    assert client.get(path).status_code == 404
    assert client.get("/v1/drafts").json() == {"drafts": []}
    back = post(client, "/v1/placements/rollback", f'"{done.json()["version"]}"', reason="too short")
    assert back.json()["version"] == done.json()["previous"]
    refresh(client)
    assert length(client) == 5
    assert (tmp_path / "placements.toml").read_text(encoding="utf-8") == TEXT
    assert actions(client) == [
        "placements_edited",
        "draft_created",
        "draft_changed",
        "draft_finished",
        "placements_activated",
        "placements_rolled_back",
    ]


def test_two_people_do_not_overwrite_each_other(client: Client) -> None:
    path, version = begin(client)
    first = edit(client, path, version, title="one")
    second = edit(client, path, version, title="two")
    assert (first.status_code, second.status_code) == (200, 409)
    assert '"2"' in second.json()["detail"]
    for method, suffix, body in (
        ("PATCH", "", {"title": "x"}),
        ("DELETE", "", None),
        ("POST", "/review", {}),
        ("POST", "/withdraw", {}),
        ("POST", "/activate", {}),
    ):
        assert client.request(method, path + suffix, json=body).status_code == 428
        assert client.request(method, path + suffix, json=body, headers={"If-Match": '"1"'}).status_code == 409
    assert client.get(path).json()["title"] == "one"
    assert edit(client, path, "*", title="any").status_code == 200


def test_of_many_edits_at_once_one_is_taken(start: Callable[..., Server], own_models: Path, tmp_path: Path) -> None:
    """Two workers, as many callers as there are edits: each version has exactly one author."""
    server = start(own_models, workers=2, store=tmp_path / "store.sqlite")
    server.wait()
    made = server.request("POST", "/v1/drafts", json={"title": "t"})
    path = f"/v1/drafts/{made.json()['draft']}"
    statuses: list[int] = []

    def change(number: int) -> None:
        reply = server.request("PATCH", path, json={"title": f"{number}"}, headers={"If-Match": '"1"'})
        statuses.append(reply.status_code)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 11
    assert server.get(path).json()["version"] == 2
    toml = '[placements.mine]\nextends = "popular"\n'
    version = server.request("PATCH", path, json={"toml": toml}, headers={"If-Match": '"2"'}).headers["etag"]
    assert server.request("POST", f"{path}/activate", json={}, headers={"If-Match": version}).status_code == 200
    served = "/v1/users/u010/recommendations?placement=mine"
    for _ in range(6):  # new connections go to both workers
        server.wait(served)
    server.kill_all()
    again = start(own_models, workers=2, store=tmp_path / "store.sqlite")
    again.wait(served)
    seqs = [entry["seq"] for entry in again.get("/v1/audit").json()["entries"]]
    assert seqs == sorted(seqs, reverse=True)
    assert again.get("/v1/audit?action=placements").json()["entries"][0]["action"] == "placements_activated"


def test_the_check_counts_items_that_changed_since_the_training(client: Client) -> None:
    path, _ = begin(client, placements={"home": {"extends": "for_you", "filter": "brand = 'a new one'"}})

    def kept() -> int:
        (rule,) = client.get(f"{path}/check").json()["rules"]
        return int(rule["kept"])

    assert kept() == 0
    assert client.request("PUT", "/v1/items/n1", json={"brand": "a new one"}).status_code == 200
    assert kept() == 1


def test_a_draft_that_is_wrong_is_kept_and_not_activated(client: Client) -> None:
    wrong = 'title = 1\n[placements.home]\nextends = "for_you"\nlimit = 0\nfilter = "prce < 3"\nrotatoin = 1\n'
    path, version = begin(client, toml=wrong)
    for action in ("activate", "review"):
        refused = post(client, f"{path}/{action}", version)
        assert refused.status_code == 422
        fields = {error["field"]: error for error in refused.json()["errors"]}
        assert set(fields) == {"title", "placements.home.limit", "placements.home.filter", "placements.home.rotatoin"}
        assert fields["placements.home.limit"]["value"] == "0"
        assert "expected a whole number in [1, 100]" in fields["placements.home.limit"]["message"]
        assert "did you mean 'price'?" in fields["placements.home.filter"]["message"]
    later = post(client, f"{path}/activate", version, activate_at=soon(client, hours=1))
    assert later.status_code == 422
    assert client.get(path).json()["toml"] == wrong


def test_a_text_that_is_no_toml_can_be_saved_but_not_edited_by_table(client: Client) -> None:
    path, version = begin(client, toml="[placements")
    refused = edit(client, path, version, placements={"home": {"extends": "for_you"}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "toml")
    assert edit(client, path, version, placements={"home": None}, toml=TEXT).json()["toml"].startswith("# ours\n\n[pl")
    assert post(client, "/v1/drafts", title="t", placements={"a": {"limit": None}}).status_code == 422


def test_a_draft_is_scheduled_taken_back_and_served_on_time(client: Client) -> None:
    path, version = begin(client, toml=OTHER)
    for wrong in (soon(client, seconds=-1), soon(client, days=3000)):
        refused = post(client, f"{path}/activate", version, activate_at=wrong)
        assert refused.json()["errors"][0]["field"] == "activate_at"
    planned = post(client, f"{path}/activate", version, activate_at=soon(client, hours=1), reason="night").json()
    assert planned["scheduled"]["status"] == "scheduled"
    assert planned["version"] == planned["previous"]
    assert edit(client, path, '"2"', title="x").status_code == 409
    assert post(client, f"{path}/withdraw", '"2"').json()["activate_at"] is None
    at = soon(client, seconds=1)
    assert post(client, f"{path}/activate", '"3"', activate_at=at).status_code == 200
    context = client.app.state.app_context
    context.history.activate_due(int(datetime.fromisoformat(at).timestamp()), context.schedule.check, at)
    refresh(client)
    assert length(client) == 3
    assert actions(client)[-1] == "placements_scheduled"


def test_an_edit_by_hand_in_between_is_taken_over_by_rebase(client: Client, tmp_path: Path) -> None:
    path, version = begin(client, toml=OTHER)
    (tmp_path / "placements.toml").write_text(TEXT + "# by hand\n", encoding="utf-8")
    refused = post(client, f"{path}/activate", version)
    assert refused.status_code == 409
    assert "rebase" in refused.json()["detail"]
    assert client.get(path).json()["is_stale"]
    rebased = edit(client, path, version, rebase=True)
    assert rebased.json()["is_stale"] is False
    assert rebased.json()["toml"].endswith("# by hand\n")
    assert post(client, f"{path}/activate", rebased.headers["etag"]).status_code == 200
    entries = client.get("/v1/audit?action=placements").json()["entries"]
    assert [entry["author"] for entry in entries] == ["local", "file", "file"]


def test_without_a_file_the_first_draft_makes_one_beside_the_bundles(own_models: Path, tmp_path: Path) -> None:
    with desk(own_models, tmp_path, None) as client:
        assert client.get("/v1/placements/export").content == b""
        path, version = begin(client, placements={"mine": {"extends": "popular", "limit": 2}})
        assert post(client, f"{path}/activate", version).status_code == 200
        refresh(client)
        assert len(client.get("/v1/users/u010/recommendations?placement=mine").json()["items"]) == 2
    with client_of(own_models, store=tmp_path / "store.sqlite") as again:
        assert "mine" in [each["placement"] for each in again.get("/v1/placements").json()["placements"]]


def test_the_author_is_the_key(shop_models: Path, tmp_path: Path) -> None:
    made = {role: new_key(f"{role} Mei", scopes, datetime(2026, 1, 1, tzinfo=UTC)) for role, scopes in ROLES.items()}
    write_keys(tmp_path / "keys.json", [key for key, _ in made.values()])
    with desk(shop_models, tmp_path, keys=tmp_path / "keys.json") as client:
        statuses = {}
        for role, (_, secret) in made.items():
            reply = client.request("POST", "/v1/drafts", json={"title": "t"}, headers={"X-API-Key": secret})
            statuses[role] = reply.status_code
        assert statuses == {"viewer": 403, "merchandiser": 200, "operator": 403}
        key, secret = made["merchandiser"]
        entry = client.request("GET", "/v1/audit", headers={"X-API-Key": secret}).json()["entries"][0]
        assert (entry["author"], entry["key_id"], entry["action"]) == ("merchandiser Mei", key.key_id, "draft_created")
        operator = {"X-API-Key": made["operator"][1]}
        version = client.request("GET", "/v1/models", headers=operator).json()["current"]
        client.request("POST", f"/v1/models/{version}/activate", headers=operator)
        entry = client.request("GET", "/v1/audit?action=model", headers=operator).json()["entries"][0]
        assert (entry["author"], entry["subject"]) == ("operator Mei", version)


@pytest.mark.parametrize("name", ["..%2F..%2Fplacements", "%2Fetc%2Fpasswd", "..", "lock", "A" * 12, "0" * 12, "%00"])
def test_ids_do_not_lead_elsewhere(client: Client, name: str, tmp_path: Path) -> None:
    for method, suffix, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/activate", {}),
        ("GET", "/check", None),
    ):
        reply = client.request(method, f"/v1/drafts/{name}{suffix}", json=body, headers={"If-Match": "*"})
        assert reply.status_code in (404, 405, 422), reply.text
    assert (tmp_path / "placements.toml").read_text(encoding="utf-8") == TEXT


@pytest.mark.parametrize(
    "body",
    [
        {"title": "t", "toml": "#" * (2 << 20)},
        {"title": "t", "toml": "é" * ((1 << 20) - 9)},
        {"title": ""},
        {"title": "t", "owner": "x"},
        {"title": "t", "placements": {f"p{n}": {} for n in range(1001)}},
        {"title": "t", "reason": "x" * 2001},
    ],
)
def test_bodies_are_bounded(client: Client, body: dict[str, Any]) -> None:
    assert post(client, "/v1/drafts", **body).status_code in (413, 422)
    assert client.get("/v1/drafts").json() == {"drafts": []}


@pytest.mark.parametrize("depth", [20, 200, 600, 900, 100_000])
def test_tables_may_be_nested_deeply(client: Client, depth: int) -> None:
    """They are kept where TOML's parser takes them, and refused where it does not."""
    body = '{"title": "t", "placements": {"a": {"sources": %s}}}' % ("[" * depth + "]" * depth)
    headers = {"Content-Type": "application/json"}
    reply = client.request("POST", "/v1/drafts", content=body.encode(), headers=headers)
    assert reply.status_code in (200, 422), reply.text
    if reply.status_code == 200:
        assert client.get(f"/v1/drafts/{reply.json()['draft']}/check").json()["is_valid"] is False


def test_a_reader_of_a_version_is_not_sent_it_again(client: Client) -> None:
    path, version = begin(client)
    again = client.request("GET", path, headers={"If-None-Match": version})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", version)
    edit(client, path, version, title="u")
    assert client.request("GET", path, headers={"If-None-Match": version}).status_code == 200
    assert client.request("DELETE", path, headers={"If-Match": '"2"'}).json()["title"] == "u"
    assert client.get(path).status_code == 404


def test_a_folder_that_cannot_be_written_is_a_503(shop_models: Path, tmp_path: Path) -> None:
    (tmp_path / "placements.history").write_text("in the way", encoding="utf-8")
    path = tmp_path / "placements.toml"
    path.write_text(TEXT, encoding="utf-8")
    with client_of(shop_models, store=tmp_path / "store.sqlite", placements=path) as client:
        reply = post(client, "/v1/drafts", title="t")
        assert (reply.status_code, "retry-after" in reply.headers) == (503, True)
        assert length(client) == 5
