"""A file of placements with a real server: read at the start and after each change, refused if it is broken."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from recsys.core.documents import FileDocument
from recsys.core.errors import ConfigError
from recsys.core.files import file_digest
from recsys.drafts.history import NOTHING
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.rules.placement_registry import BUILT_IN
from serving.app import create_app
from serving.runtime.placement_file import PlacementFile, check_placements
from serving.runtime.settings import load_settings
from tests.serving.conftest import Server
from tests.shop import PHONES

GOOD = '[placements.mine]\nextends = "for_you"\nlimit = {limit}\n'
PATH = "/v1/users/u010/recommendations?placement=mine"


def _write(path: Path, text: str) -> None:
    """Write beside the file and rename, as an editor does."""
    aside = path.with_suffix(".new")
    aside.write_text(text, encoding="utf-8")
    aside.rename(path)


def test_a_running_server_serves_a_new_version_and_refuses_a_broken_one(
    start: Callable[..., Server], own_models: Path, tmp_path: Path
) -> None:
    path = tmp_path / "placements.toml"
    _write(path, GOOD.format(limit=3))
    server = start(own_models, placements=path)
    server.wait()
    assert len(server.get(PATH).json()["items"]) == 3
    _write(path, GOOD.format(limit=5))
    server.wait(PATH, until=lambda response: len(response.json()["items"]) == 5)
    _write(path, GOOD.format(limit=5) + 'filter = "prce < 3"\n')
    reply = server.wait(until=lambda response: response.json()["last_error"] is not None).json()["last_error"]
    assert "'placements.mine.filter'" in reply
    assert "did you mean 'price'?" in reply
    assert len(server.get(PATH).json()["items"]) == 5
    path.unlink()
    server.wait(until=lambda response: "cannot be read" in (response.json()["last_error"] or ""))
    assert server.get(PATH).status_code == 200
    _write(path, GOOD.format(limit=7))
    server.wait(PATH, until=lambda response: len(response.json()["items"]) == 7)
    assert server.get("/health/ready").json()["last_error"] is None
    code, _, err = server.stop()
    assert code == 0
    assert err.count("the newest placements are refused") == 2


def test_every_worker_serves_a_new_version(start: Callable[..., Server], own_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    _write(path, GOOD.format(limit=3))
    server = start(own_models, placements=path, workers=2)
    server.wait()
    _write(path, GOOD.format(limit=6))
    server.wait(PATH, until=lambda response: len(response.json()["items"]) == 6)
    server.wait("/health/live", until=lambda response: _all_have(server, 6))


def _all_have(server: Server, n_items: int) -> bool:
    """Send each call on its own connection, so that both workers get some."""
    return all(len(server.get(PATH).json()["items"]) == n_items for _ in range(12))


@pytest.mark.parametrize("text", ['[placements.mine]\nextends = "for_yuo"\n', 'filter = "price <"\n'])
def test_a_server_with_a_broken_file_does_not_start(
    start: Callable[..., Server], own_models: Path, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "placements.toml"
    _write(path, GOOD.format(limit=3) + text if text.startswith("filter") else text)
    server = start(own_models, placements=path)
    code, _, err = server.end(30)
    assert code != 0
    assert "ConfigError" in err
    assert str(path) in err


def test_an_app_with_a_broken_file_is_not_created(own_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    _write(path, "[placement.x]\n")
    settings = load_settings(models=own_models, placements=path)
    with pytest.raises(ConfigError, match="do you mean 'placements'"):
        create_app(settings)
    with pytest.raises(ConfigError, match="do you mean 'placements'"):
        check_placements(settings, FileDocument(path), None)


def test_a_filter_may_name_a_column_that_only_live_changes_have(own_models: Path, tmp_path: Path) -> None:
    """A running server accepts such a file: the next start must not refuse it."""
    path, log = tmp_path / "placements.toml", tmp_path / "log.sqlite"
    settings = load_settings(models=own_models, placements=path, store=log)
    _write(path, GOOD.format(limit=3) + 'filter = "weight > 3"\n')
    with pytest.raises(ConfigError, match="unknown column 'weight'"):
        check_placements(settings, FileDocument(path), None)
    assert not log.exists()
    with closing(SqliteStore(log)) as store:
        store.append([LogEntry("item_patch", "a", 1.0, 1.0, {"attributes": value}) for value in ({"weight": 5}, None)])
    check_placements(settings, FileDocument(path), None)
    _write(path, GOOD.format(limit=3) + 'filter = "weight = true AND colour = 1"\n')
    with pytest.raises(ConfigError):
        check_placements(settings, FileDocument(path), None)


def test_a_file_is_only_read_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "placements.toml"
    _write(path, GOOD.format(limit=3))
    follower = PlacementFile(path)
    monkeypatch.setattr("serving.runtime.placement_file.read_placements", lambda *_: pytest.fail("it is the same"))
    assert not follower.poll()
    assert not PlacementFile(None).poll()


def test_two_workers_continue_each_others_pages_while_events_arrive(
    start: Callable[..., Server], own_models: Path
) -> None:
    server = start(own_models, workers=2)
    server.wait()
    body = {"placement": "for_you", "user_id": "u010", "limit": 100}
    whole = _ids(server.request("POST", "/v1/recommendations", json=body))
    found: list[str] = []
    token = None
    for turn in range(40):
        more = {"page_token": token} if token else {}
        response = server.request("POST", "/v1/recommendations", json={**body, **more, "limit": 4})
        found += _ids(response)
        token = response.json()["next_page_token"]
        if token is None:
            break
        events = [{"event": "purchase", "item_id": PHONES[turn % 4], "user_id": "u010", "event_id": f"e{turn}"}]
        assert server.request("POST", "/v1/events", json={"events": events}).status_code == 200
    assert found[: len(whole)] == whole
    assert len(found) == len(set(found))


def test_items_that_sell_out_are_left_out_of_the_next_page(start: Callable[..., Server], own_models: Path) -> None:
    server = start(own_models)
    server.wait()
    body = {"placement": "for_you", "user_id": "u010"}
    whole = _ids(server.request("POST", "/v1/recommendations", json={**body, "limit": 12}))
    first = server.request("POST", "/v1/recommendations", json={**body, "limit": 4})
    assert _ids(first) == whole[:4]
    path = f"/v1/items/{quote(whole[5], safe='')}"
    assert server.request("PATCH", path, json={"available": False}).status_code == 200
    put = server.request("PUT", "/v1/items/brand-new", json={"title": "new", "category": ["食品", "早餐", "牛奶"]})
    assert put.status_code == 200
    token = first.json()["next_page_token"]
    second = server.request("POST", "/v1/recommendations", json={**body, "limit": 4, "page_token": token})
    assert _ids(second) == [whole[4], *whole[6:9]]
    assert [item["rank"] for item in second.json()["items"]] == [5, 6, 7, 8]


def _ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [item["item_id"] for item in response.json()["items"]]


def test_without_a_file_that_may_be_missing_the_built_in_lists_are_served(tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    file = PlacementFile(path, is_optional=True)
    assert ("mine" in file.book.placements, file.version) == (False, NOTHING)
    _write(path, GOOD.format(limit=3))
    assert file.poll(None)
    assert (file.book.placements["mine"].limit, file.version) == (3, file_digest(path))
    _write(path, GOOD.format(limit=300))
    assert not file.poll(None)
    assert file.version != file_digest(path), "it is the version that is served"
    path.unlink()
    assert file.poll(None)
    assert (file.book, file.version) == (BUILT_IN, NOTHING)
    with pytest.raises(ConfigError, match="cannot be read"):
        PlacementFile(path)


def test_the_file_in_the_folder_of_bundles_is_found(tmp_path: Path) -> None:
    settings = load_settings(models=tmp_path)
    assert (settings.placements_path, settings.placements_file) == (tmp_path / "placements.toml", None)
    _write(settings.placements_path, GOOD.format(limit=3))
    assert settings.placements_file == settings.placements_path
    missing = load_settings(models=tmp_path, placements=tmp_path / "other.toml")
    assert missing.placements_file == missing.placements_path, "a file that is named and missing is an error"
