from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import CURRENT, activate, current_version
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from serving.runtime.app_context import AppContext
from serving.runtime.bundle_watcher import BundleWatcher
from serving.runtime.settings import load_settings


def state_of(models: Path) -> BundleWatcher:
    return AppContext.of(load_settings(models=models, poll_seconds=0.01)).state


def write_another(engine: Engine, models: Path, day: int = 3) -> str:
    manifest = write_bundle(engine, models, Provenance(datetime(2024, 7, day, tzinfo=UTC), "again", {}))
    activate(models, manifest.version)
    return manifest.version


def spoil(models: Path, name: str) -> None:
    """Make a copy of the current bundle with one byte changed the current one."""
    version = current_version(models)
    assert version is not None
    shutil.copytree(models / version, models / name)
    path = max((models / name).glob("*.npy"), key=lambda file: file.stat().st_size)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    (models / CURRENT).write_text(name)


def test_a_newer_bundle_replaces_the_old_one(own_models: Path, shop_engine: Engine) -> None:
    state = state_of(own_models)
    state.refresh()
    old = state.snapshot()
    state.refresh()
    assert state.snapshot() is old
    version = write_another(shop_engine, own_models)
    state.refresh()
    assert state.snapshot().version == state.snapshot().recommender.version == version
    assert state.snapshot().cache is not old.cache


def test_a_broken_bundle_is_refused_and_the_old_one_serves_on(
    own_models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = state_of(own_models)
    state.refresh()
    old, good = state.snapshot(), (own_models / CURRENT).read_text()
    spoil(own_models, "broken")
    state.refresh()
    assert state.snapshot() is old
    assert state.last_error is not None
    assert "broken" in state.last_error
    assert ".npy" in state.last_error
    assert len(caplog.records) == 1
    (own_models / CURRENT).write_text(good)
    state.refresh()
    assert state.last_error is None


def test_a_refused_bundle_is_tried_again_ever_more_seldom(own_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, now = state_of(own_models), 0.0
    monkeypatch.setattr("serving.runtime.bundle_watcher.time.monotonic", lambda: now)
    tries: list[float] = []

    def fail(*_: object) -> None:
        tries.append(now)
        raise ValueError("of no family")

    monkeypatch.setattr("serving.runtime.bundle_watcher.open_snapshot", fail)
    for tick in range(400):
        now = tick / 100
        state.refresh()
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) < 12
    assert gaps == sorted(gaps)
    assert state.last_error is not None
    assert "ValueError" in state.last_error
    assert "of no family" not in state.last_error


def test_a_mended_bundle_is_served(own_models: Path) -> None:
    state, version = state_of(own_models), (own_models / CURRENT).read_text().strip()
    manifest = own_models / version / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:100])
    state.refresh()
    assert state.current is None
    manifest.write_bytes(whole)
    assert state._refusal is not None
    state._refusal = replace(state._refusal, retry_at=0.0)
    state.refresh()
    assert state.snapshot().version == version


def test_the_log_is_looked_at_once_a_turn_of_the_event_loop(own_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of(own_models)
    state.refresh()
    looks: list[object] = []
    monkeypatch.setattr(LiveView, "catch_up", lambda _, store: looks.append(store))

    async def requests() -> None:
        async def request() -> None:
            state.snapshot()

        await asyncio.gather(*(request() for _ in range(5)))
        assert len(looks) == 1, "five requests that were there at once"
        await request()
        assert len(looks) == 2, "one that came later"

    asyncio.run(requests())
    state.snapshot()
    state.snapshot()
    assert len(looks) == 4, "no event loop, no turns"
