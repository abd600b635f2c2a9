"""Which shop a call is for, and what is wrong with a shop's folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from serving.runtime.auth import new_key, write_keys
from serving.runtime.settings import load_settings
from serving.shops.folders import ShopFolders, read_shop

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def shop(root: Path, name: str, toml: str = "") -> str:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "shop.toml").write_text(toml, encoding="utf-8")
    key, secret = new_key(name, ["recommend"], NOW)
    write_keys(folder / "keys.json", [key])
    return secret


def found(folders: ShopFolders, host: str = "", *keys: str) -> str | None:
    headers = [(b"host", host.encode())] * bool(host) + [(b"x-api-key", key.encode()) for key in keys]
    shop = folders.find(headers)
    return None if shop is None else shop.name


def test_a_shop_is_found_by_host_then_by_key(tmp_path: Path) -> None:
    tea = shop(tmp_path, "tea", 'hosts = ["Tea.example"]')
    wine = shop(tmp_path, "wine")
    folders = ShopFolders(tmp_path, "shops.example", 0)
    assert found(folders, "tea.example:8000") == "tea"
    assert found(folders, "TEA.EXAMPLE") == "tea"
    assert found(folders, "wine.shops.example") == "wine"
    assert found(folders, "other.shops.example", wine) is None, "the host says which shop, and it is none"
    assert found(folders, "127.0.0.1:8000", wine) == "wine"
    assert found(folders, "tea.example", wine) == "tea", "the host decides; the shop refuses the key"
    assert found(folders, "127.0.0.1:8000", tea, wine) is None
    assert found(folders) is None


def test_new_changed_and_removed_shops_are_seen(tmp_path: Path) -> None:
    shop(tmp_path, "tea")
    folders = ShopFolders(tmp_path, poll_s=0)
    assert found(folders, "tea.example") is None
    (tmp_path / "tea" / "shop.toml").write_text('hosts = ["tea.example"]')
    assert found(folders, "tea.example") == "tea"
    (tmp_path / "tea" / "shop.toml").write_text("hosts = 3")
    assert found(folders, "tea.example") == "tea", "it keeps its earlier form"
    assert "hosts is 3" in folders.refused["tea"]
    (tmp_path / "tea" / "shop.toml").write_text('hosts = ["tea.example", "tee.example"]')
    assert found(folders, "tee.example") == "tea"
    assert not folders.refused
    (tmp_path / "tea").rename(tmp_path / "chai")
    assert found(folders, "tea.example") == "chai"


def test_the_folder_is_looked_at_no_more_often_than_asked(tmp_path: Path) -> None:
    now = [0.0]
    folders = ShopFolders(tmp_path, poll_s=5, clock=lambda: now[0])
    folders.refresh()
    shop(tmp_path, "tea", 'hosts = ["a"]')
    assert found(folders, "a") is None
    now[0] = 5
    assert found(folders, "a") == "tea"


def test_a_host_of_two_shops_is_that_of_the_first_and_a_key_of_two_finds_none(tmp_path: Path) -> None:
    shop(tmp_path, "b", 'hosts = ["x"]')
    secret = shop(tmp_path, "a", 'hosts = ["x"]')
    (tmp_path / "b" / "keys.json").write_bytes((tmp_path / "a" / "keys.json").read_bytes())
    folders = ShopFolders(tmp_path, poll_s=0)
    assert found(folders, "x") == "a"
    assert found(folders, "", secret) is None


@pytest.mark.parametrize(
    ("name", "toml", "message"),
    [
        ("Tea", "", "'Tea' cannot be the name of a shop"),
        ("a.b", "", "cannot be the name"),
        ("-a", "", "cannot be the name"),
        ("a", "hosts = [", "cannot be read"),
        ("a", "hosts = 'x'", "hosts is 'x', expected a list"),
        ("a", "hosts = ['']", "expected a list"),
        ("a", "other = 1", "has 'other': expected 'hosts' and the table 'settings'"),
        ("a", "settings = 1", "settings is 1, expected a table"),
        ("a", "[settings]\nport = 1", "settings.port is no setting of one shop"),
        ("a", "[settings]\nstore = '../b/models/store.sqlite'", "settings.store is no setting of one shop"),
        ("a", "[settings]\ncolour = 1", "settings.colour is no setting of one shop"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, toml: str, message: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "shop.toml").write_text(toml)
    with pytest.raises(ConfigError, match=message.replace(".", r"\.").replace("[", r"\[")):
        read_shop(folder)


def test_a_shop_has_the_settings_of_the_installation_and_its_own(tmp_path: Path) -> None:
    shop(tmp_path, "a", "[settings]\ncache_mb = 3\n")
    base = load_settings(shops=tmp_path, cache_mb=7, personal_cache_mb=2, models=tmp_path / "elsewhere")
    settings = read_shop(tmp_path / "a").settings(base)
    assert (settings.cache_mb, settings.personal_cache_mb) == (3, 2)
    assert settings.models == tmp_path / "a" / "models"
    assert settings.log_location == tmp_path / "a" / "models" / "store.sqlite"
    assert (settings.keys, settings.shops) == (tmp_path / "a" / "keys.json", None)


def test_a_shop_without_keys_is_served_on_a_loopback_address_only(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    found = read_shop(tmp_path / "a")
    assert found.settings(load_settings(shops=tmp_path)).keys is None
    with pytest.raises(ConfigError, match="only a loopback address"):
        found.settings(load_settings(shops=tmp_path, host="0.0.0.0"))
