"""Where the state of a shop is: files of the settings, or documents of a database."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recsys.core.documents import EXPERIMENTS, KEYS, PLACEMENTS, Document
from recsys.core.errors import ConfigError
from recsys.eventlog.opening import open_documents
from serving.app import create_app
from serving.runtime.app_context import with_start_time
from serving.runtime.auth import new_key, write_keys
from serving.runtime.settings import Settings, load_settings
from serving.runtime.shop_state import ShopState
from tests.postgres import schema_of


def in_database(tmp_path: Path, **settings: Any) -> Settings:
    return load_settings(models=tmp_path, store=schema_of(tmp_path), state="database", **settings)


def make_key(place: Path | Document) -> None:
    write_keys(place, [new_key("", ("admin",), datetime(2026, 5, 1, tzinfo=UTC))[0]])


def test_files_are_those_of_the_settings(tmp_path: Path) -> None:
    make_key(tmp_path / "keys.json")
    settings = load_settings(models=tmp_path, keys=tmp_path / "keys.json")
    with closing(ShopState(settings)) as state:
        assert str(state.keys) == str(tmp_path / "keys.json")
        assert (state.placements, state.experiments, state.version) == (None, None, 0)
        settings.placements_path.write_text("", encoding="utf-8")
        assert str(state.placements) == str(tmp_path / PLACEMENTS)
        assert str(state.history().folder) == str(tmp_path / "placements.history")
    with closing(ShopState(load_settings(models=tmp_path, experiments=tmp_path / "e.toml"))) as state:
        assert str(state.experiments) == str(tmp_path / "e.toml"), "a file that is named and missing is an error later"


def test_documents_of_a_database_appear_when_they_are_stored(tmp_path: Path) -> None:
    settings = in_database(tmp_path)
    with closing(ShopState(settings)) as state, closing(open_documents(schema_of(tmp_path))) as documents:
        assert (str(state.keys), state.placements, state.experiments) == ("keys.json in the database", None, None)
        file = state.placement_file()
        assert "mine" not in file.book.placements
        with documents.changing():
            (documents / PLACEMENTS).write(b'[placements.mine]\nextends = "popular"\n')
            (documents / EXPERIMENTS).write(
                b"[experiments.x.variants]\ncontrol = {}\nb = {placements.mine = {limit = 3}}\n"
            )
        seen = state.version
        asyncio.run(state.pause(seen - 1, 60, asyncio.sleep))
        deadline = time.monotonic() + 20
        while not file.poll() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "mine" in file.book.placements
        assert (str(state.placements), str(state.experiments)) == (
            "placements.toml in the database",
            "experiments.toml in the database",
        )
        assert state.history().text().startswith(b"[placements.mine]")
        assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_given_stays_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    make_key(path)
    with closing(ShopState(in_database(tmp_path, keys=path, placements=tmp_path / "ours.toml"))) as state:
        assert str(state.keys) == str(path)
        assert str(state.history().file) == str(tmp_path / "ours.toml")
        assert state.experiments is None


def test_a_pause_ends_with_its_time_or_a_change(tmp_path: Path) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(seconds)

    with closing(ShopState(load_settings(models=tmp_path))) as state:
        asyncio.run(state.pause(state.version, 0.3, sleep))
    assert pauses == [0.3]
    with closing(ShopState(in_database(tmp_path))) as state, closing(open_documents(schema_of(tmp_path))) as documents:
        started = time.monotonic()
        asyncio.run(state.pause(state.version, 0.3, sleep))
        assert time.monotonic() - started >= 0.3

        async def changed() -> None:
            pause = asyncio.create_task(state.pause(state.version, 600, sleep))
            await asyncio.sleep(0.1)
            make_key(documents / KEYS)
            await asyncio.wait_for(pause, 20)

        asyncio.run(changed())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_database_without_keys_is_refused_not_open(tmp_path: Path, host: str) -> None:
    settings = in_database(tmp_path, host=host)
    with pytest.raises(ConfigError, match=r"keys\.json in the database does not exist: make a key"):
        create_app(settings)
    with pytest.raises(ConfigError, match="does not exist"):
        with_start_time(settings)
    with closing(open_documents(schema_of(tmp_path))) as documents:
        make_key(documents / KEYS)
    with_start_time(settings)
    with pytest.raises(ConfigError, match="the demo shop calls the API without a key"):
        in_database(tmp_path, demo_shop=True)


def test_a_database_must_be_that_of_the_live_log(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set RECSYS_STORE to postgresql"):
        ShopState(load_settings(models=tmp_path, state="database"))


def test_many_shops_have_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'state' is 'database': many shops have files in their folders"):
        load_settings(shops=tmp_path, state="database")
