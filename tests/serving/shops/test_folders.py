"""Which shop a call is for, and what is wrong with a shop's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
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


def folders_of(
    root: Path, domain: str = "", poll_s: float = 0.01, clock: Callable[[], float] | None = None
) -> ShopFolders:
    """The shops of a folder; without a clock each look is a new one."""
    ticks = iter(range(10_000))
    base = load_settings(shops=root, shop_domain=domain, poll_seconds=poll_s)
    return ShopFolders(base, clock or (lambda: float(next(ticks))))


def found(folders: ShopFolders, host: str = "", *keys: str) -> str | None:
    headers = [(b"host", host.encode())] * bool(host) + [(b"x-api-key", key.encode()) for key in keys]
    shop = folders.find(headers)
    return None if shop is None else shop.name


def test_a_shop_is_found_by_host_then_by_key(tmp_path: Path) -> None:
    tea = shop(tmp_path, "tea", 'hosts = ["Tea.example"]')
    wine = shop(tmp_path, "wine")
    folders = folders_of(tmp_path, "shops.example")
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
    folders = folders_of(tmp_path)
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
    folders = folders_of(tmp_path, poll_s=5, clock=lambda: now[0])
    folders.refresh()
    shop(tmp_path, "tea", 'hosts = ["a"]')
    assert found(folders, "a") is None
    now[0] = 5
    assert found(folders, "a") == "tea"


def test_a_host_of_two_shops_is_that_of_the_first_and_a_key_of_two_finds_none(tmp_path: Path) -> None:
    shop(tmp_path, "b", 'hosts = ["x"]')
    secret = shop(tmp_path, "a", 'hosts = ["x"]')
    (tmp_path / "b" / "keys.json").write_bytes((tmp_path / "a" / "keys.json").read_bytes())
    folders = folders_of(tmp_path)
    assert found(folders, "x") == "a"
    assert folders.refused == {"b": "hosts has 'x', which shop a has"}
    assert found(folders, "", secret) is None


def test_a_host_stays_with_the_shop_that_had_it(tmp_path: Path) -> None:
    shop(tmp_path, "tea", 'hosts = ["tea.example"]')
    folders = folders_of(tmp_path, "shops.example")
    assert found(folders, "tea.example") == "tea"
    shop(tmp_path, "a", 'hosts = ["tea.example"]')
    shop(tmp_path, "b", 'hosts = ["tea.shops.example"]')
    assert found(folders, "tea.example") == "tea"
    assert found(folders, "tea.shops.example") == "tea"
    assert folders.refused.keys() == {"a", "b"}


def test_a_shop_that_has_lost_its_keys_keeps_them_and_a_new_folder_is_another_shop(tmp_path: Path) -> None:
    secret = shop(tmp_path, "tea")
    folders = folders_of(tmp_path)
    assert found(folders, "", secret) == "tea"
    before = folders.shops["tea"]
    (tmp_path / "tea" / "keys.json").rename(tmp_path / "tea" / "aside.json")
    assert found(folders, "", secret) == "tea"
    assert folders.shops["tea"].is_guarded
    assert "tea has no keys.json" in folders.refused["tea"]
    (tmp_path / "tea" / "aside.json").rename(tmp_path / "tea" / "keys.json")
    assert found(folders, "", secret) == "tea"
    assert not folders.refused, "as it was before"
    (tmp_path / "tea" / "keys.json").rename(tmp_path / "tea" / "aside.json")
    shutil.copytree(tmp_path / "tea", tmp_path / "copy")
    shutil.rmtree(tmp_path / "tea")
    (tmp_path / "copy").rename(tmp_path / "tea")
    (tmp_path / "tea" / "aside.json").rename(tmp_path / "tea" / "keys.json")
    assert found(folders, "", secret) == "tea"
    assert folders.shops["tea"] != before


def test_what_is_in_one_folder_harms_no_other(tmp_path: Path) -> None:
    shop(tmp_path, "tea", 'hosts = ["tea.example"]')
    shop(tmp_path, "evil", "hosts = " + "[" * 5000)
    shop(tmp_path, "late", "[settings]\ncache_mb = 'lots'")
    (tmp_path / "link").symlink_to(tmp_path / "tea")
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    folders = folders_of(tmp_path)
    assert found(folders, "tea.example") == "tea"
    assert folders.refused.keys() == {"evil", "late", "link", "\\udcff"}
    assert "cache_mb" in folders.refused["late"]
    tmp_path.rename(tmp_path.with_name("aside"))
    assert found(folders, "tea.example") == "tea", "the folder is not there for a moment"
    tmp_path.with_name("aside").rename(tmp_path)


def test_the_environment_changes_no_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(tmp_path, "tea")
    for name in ("placements", "keys", "experiments", "plan", "store", "models"):
        monkeypatch.setenv(f"RECSYS_{name.upper()}", str(tmp_path / "other"))
    monkeypatch.setenv("RECSYS_CACHE_MB", "9")
    monkeypatch.setenv("RECSYS_SHOPS", str(tmp_path))
    settings = read_shop(tmp_path / "tea").settings(load_settings())
    assert settings.cache_mb == 9, "what all shops have in common is of the installation"
    assert (settings.placements, settings.experiments, settings.plan, settings.shops) == (None, None, None, None)
    assert settings.keys == tmp_path / "tea" / "keys.json"


@pytest.mark.parametrize(
    ("name", "toml", "message"),
    [
        ("Tea", "", "'Tea' cannot be the name of a shop"),
        ("a.b", "", "cannot be the name"),
        ("-a", "", "cannot be the name"),
        ("a", "hosts = [", "cannot be read"),
        ("a", "hosts = 'x'", "hosts is 'x', expected names"),
        ("a", "hosts = ['']", "expected names without port"),
        ("a", "hosts = ['a.example:80']", "expected names without port"),
        ("a", "hosts = ['*.example']", "expected names without port"),
        ("a", "open = 1", "open is 1, expected true or false"),
        ("a", "", "a has no keys.json: run `recsys keys create"),
        ("a", "other = 1", "has 'other': expected 'hosts', 'open' and the table 'settings'"),
        ("a", "settings = 1", "settings is 1, expected a table"),
        ("a", "[settings]\nport = 1", "settings.port is no setting of one shop"),
        ("a", "[settings]\nstore = '../b/models/store.sqlite'", "settings.store is no setting of one shop"),
        ("a", "[settings]\ntraces = 'http://10.0.0.1/v1/traces'", "settings.traces is no setting of one shop"),
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
    (tmp_path / "a" / "shop.toml").write_text("open = true")
    found = read_shop(tmp_path / "a")
    assert found.settings(load_settings(shops=tmp_path)).keys is None
    with pytest.raises(ConfigError, match="only a loopback address"):
        found.settings(load_settings(shops=tmp_path, host="0.0.0.0"))
