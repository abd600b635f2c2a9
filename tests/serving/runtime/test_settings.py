from __future__ import annotations

import re
from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from serving.runtime.settings import Settings, load_settings, variable_of


def test_arguments_then_environment_then_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_PORT", "9001")
    monkeypatch.setenv("RECSYS_CLOCK", "data")
    settings = load_settings(clock="wall", host=None)
    assert (settings.port, settings.clock, settings.host) == (9001, "wall", "127.0.0.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_addresses_need_no_keys(host: str) -> None:
    assert load_settings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "shop.example", ""])
def test_other_addresses_are_refused_without_keys(host: str) -> None:
    with pytest.raises(ConfigError, match=f"setting 'host' is '{re.escape(host)}': only a loopback address"):
        load_settings(host=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "shop.example"])
def test_other_addresses_are_allowed_with_keys(host: str) -> None:
    assert load_settings(host=host, keys=Path("keys.json")).host == host


def test_an_empty_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="'host'"):
        load_settings(host="", keys=Path("keys.json"))


def test_the_live_log_is_beside_the_bundles_by_default() -> None:
    assert load_settings(models=Path("m")).log_location == Path("m/store.sqlite")
    assert load_settings(models=Path("m"), store=Path("s.db")).log_location == Path("s.db")


@pytest.mark.parametrize(
    ("name", "value"), [("port", 0), ("port", "http"), ("workers", 0), ("clock", "lunar"), ("models_dir", "x")]
)
def test_an_invalid_setting_is_named_with_its_value(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name}.*{value}"):
        load_settings(**{name: value})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_every_setting_is_described_and_every_number_has_a_range() -> None:
    set_by_the_server = {"started_at", "logged_until"}
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        if field.annotation in (int, float, int | None, float | None) and name not in set_by_the_server:
            assert field.metadata, name


def test_the_variable_of_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert variable_of("port") == "RECSYS_PORT"
    monkeypatch.setenv(variable_of("metrics_dir"), "folder")
    assert load_settings().metrics_dir == Path("folder")


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_ALLOWED_ORIGINS", "https://shop.example, http://127.0.0.1:3000,")
    assert load_settings().allowed_origins == ("https://shop.example", "http://127.0.0.1:3000")
    assert load_settings(allowed_origins="http://[::1]:8080").allowed_origins == ("http://[::1]:8080",)
    monkeypatch.delenv("RECSYS_ALLOWED_ORIGINS")
    assert load_settings().allowed_origins == ()


@pytest.mark.parametrize(
    "origin", ["*", "null", "shop.example", "https://shop.example/", "https://*.shop.example", "ftp://x", "https://U@x"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match=f"{re.escape(repr(origin))} is not an origin: expected scheme"):
        load_settings(allowed_origins=f"https://shop.example,{origin}")
