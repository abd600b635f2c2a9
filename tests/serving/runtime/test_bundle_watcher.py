from __future__ import annotations

import asyncio
import gc
import os
import shutil
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.bundles.registry import CURRENT, activate, current_version
from recsys.core.files import atomic_write
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.pipeline.recommender import Recommender
from serving.problems import NotReadyError
from serving.runtime.app_context import AppContext
from serving.runtime.bundle_watcher import REQUEST_ENTRIES, BundleWatcher
from serving.runtime.clock import Clock
from serving.runtime.settings import load_settings
from serving.runtime.telemetry import Telemetry
from tests.serving.conftest import client_of
from tests.shop import PHONES


def watcher_of(models: Path) -> BundleWatcher:
    return AppContext.of(load_settings(models=models, poll_seconds=0.01)).watcher


def write_another(engine: Engine, models: Path, day: int = 3) -> str:
    manifest = write_bundle(engine, models, Provenance(datetime(2024, 7, day, tzinfo=UTC), "again", {}))
    activate(models, manifest.version)
    return manifest.version


def spoil(models: Path, name: str) -> None:
    """Copy the current bundle, change one byte of the copy, and make it the current one."""
    version = current_version(models)
    assert version is not None
    shutil.copytree(models / version, models / name, copy_function=shutil.copyfile)
    path = max((models / name).glob("*.npy"), key=lambda file: file.stat().st_size)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    atomic_write(models / CURRENT, name)  # `activate` would refuse it


def test_a_newer_bundle_replaces_the_old_one(own_models: Path, shop_engine: Engine) -> None:
    watcher = watcher_of(own_models)
    watcher.refresh()
    old = watcher.snapshot()
    watcher.refresh()
    assert watcher.snapshot().cache is old.cache
    version = write_another(shop_engine, own_models)
    watcher.refresh()
    assert watcher.snapshot().version == watcher.snapshot().recommender.version == version
    assert watcher.snapshot().cache is not old.cache


def test_a_broken_bundle_is_refused_and_the_old_one_is_still_served(
    own_models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = watcher_of(own_models)
    watcher.refresh()
    old, good = watcher.snapshot(), (own_models / CURRENT).read_text()
    spoil(own_models, "broken")
    watcher.refresh()
    assert watcher.snapshot().cache is old.cache
    assert watcher.last_error is not None
    assert "broken" in watcher.last_error
    assert ".npy" in watcher.last_error
    assert len(caplog.records) == 1
    (own_models / CURRENT).write_text(good)
    watcher.refresh()
    assert watcher.last_error is None


def test_a_refused_bundle_is_tried_again_at_growing_intervals(
    own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher, now = watcher_of(own_models), 0.0
    monkeypatch.setattr("serving.runtime.bundle_loader.time.monotonic", lambda: now)
    tries: list[float] = []

    def fail(*_: object) -> None:
        tries.append(now)
        raise ValueError("of no family")

    monkeypatch.setattr("serving.runtime.bundle_loader.open_snapshot", fail)
    for tick in range(400):
        now = tick / 100
        watcher.refresh()
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) < 12
    assert gaps == sorted(gaps)
    assert watcher.last_error is not None
    assert "ValueError" in watcher.last_error
    assert "of no family" not in watcher.last_error


def test_a_repaired_bundle_is_served(own_models: Path) -> None:
    watcher, version = watcher_of(own_models), (own_models / CURRENT).read_text().strip()
    manifest = own_models / version / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:100])
    watcher.refresh()
    assert watcher.current is None
    manifest.write_bytes(whole)
    assert watcher.last_error is not None
    watcher._loader.forget()
    watcher.refresh()
    assert watcher.snapshot().version == version


def test_the_log_is_asked_once_per_turn_of_the_event_loop(own_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = watcher_of(own_models)
    watcher.refresh()
    asked: list[object] = []

    def is_current(view: LiveView, store: object) -> bool:
        asked.append(store)
        return True

    monkeypatch.setattr(LiveView, "is_current", is_current)

    async def requests() -> None:
        async def request() -> None:
            assert watcher.snapshot_if_current() is watcher.current

        await asyncio.gather(*(request() for _ in range(5)))
        assert len(asked) == 1, "five requests that were there at once"
        await request()
        assert len(asked) == 2, "one that came later"

    asyncio.run(requests())


def test_a_snapshot_without_the_newest_entries_is_not_current(
    own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = watcher_of(own_models)
    watcher.refresh()
    monkeypatch.setattr(LiveView, "is_current", lambda view, store: False)
    assert watcher.snapshot_if_current() is None


GARBAGE = [
    b"",
    b"\n",
    b"\xff\xfe\x00",
    b"../../etc/passwd",
    b"no such bundle",
    b"a" * 5000,
    b"\x00",
    b"a/b",
    "茶".encode(),
]


@pytest.mark.parametrize("content", GARBAGE)
def test_garbage_in_current_leaves_the_last_good_bundle_and_the_following(
    own_models: Path, shop_engine: Engine, content: bytes
) -> None:
    watcher = watcher_of(own_models)
    watcher.refresh()
    old = watcher.snapshot()
    (own_models / CURRENT).write_bytes(content)
    for _ in range(2):
        watcher.refresh()
    assert watcher.snapshot().cache is old.cache
    assert watcher.last_error is not None
    (own_models / CURRENT).write_text(old.version)
    watcher.refresh()
    assert watcher.last_error is None
    version = write_another(shop_engine, own_models)
    watcher.refresh()
    assert watcher.snapshot().version == version


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: None])
def test_what_is_no_file_in_the_place_of_current_leaves_the_last_good_bundle_and_the_following(
    own_models: Path, shop_engine: Engine, make: Callable[[Path], None]
) -> None:
    watcher, current = watcher_of(own_models), own_models / CURRENT
    watcher.refresh()
    old = watcher.snapshot()
    current.unlink()
    make(current)
    watcher.refresh()
    assert watcher.snapshot().cache is old.cache
    assert watcher.last_error is not None
    if current.is_dir():
        current.rmdir()
    version = write_another(shop_engine, own_models)
    watcher.refresh()
    assert (watcher.snapshot().version, watcher.last_error) == (version, None)


def test_a_server_that_starts_with_garbage_in_current_serves_the_newest_bundle(own_models: Path) -> None:
    version = (own_models / CURRENT).read_text().strip()
    (own_models / CURRENT).write_bytes(b"\xff")
    watcher = watcher_of(own_models)
    watcher.refresh()
    assert watcher.snapshot().version == version
    assert watcher.last_error is not None


def test_nothing_in_an_open_answer_names_a_folder_of_the_machine(own_models: Path) -> None:
    watcher = watcher_of(own_models)
    with pytest.raises(NotReadyError) as missing:
        watcher_of(own_models / "none").snapshot()
    spoil(own_models, "broken")
    watcher.refresh()
    with pytest.raises(NotReadyError) as refused:
        watcher.snapshot()
    for error in (missing, refused):
        assert str(own_models.parent) not in str(error.value)
    assert ".npy is altered" in str(refused.value)


def test_it_is_not_ready_where_no_list_can_be_made(own_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = watcher_of(own_models)
    watcher.refresh()
    assert watcher.check_lists().version == (own_models / CURRENT).read_text().strip()

    def fails(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(Recommender, "recommend_for", fails)
    with pytest.raises(NotReadyError, match="no list can be made") as error:
        watcher.check_lists()
    assert "secret" not in str(error.value)
    monkeypatch.undo()
    assert watcher.check_lists().version == (own_models / CURRENT).read_text().strip()


def test_the_log_is_followed_in_short_steps_off_the_requests(shop_models: Path, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    watcher = BundleWatcher(load_settings(models=shop_models), Clock("data"), Telemetry(), lambda: store)
    watcher.refresh()
    body = {"user_id": "new", "item_id": "phone-1", "event": "view_item"}
    store.append([LogEntry("event", f"e{n}", 1.0, 1.0, body) for n in range(2 * REQUEST_ENTRIES)])
    phone = {"title": "星辰手机 9", "category": ["电子产品", "手机", "智能手机"]}
    store.append([LogEntry("item_put", "n1", 1.0, 1.0, phone)])
    live = watcher.snapshot().recommender.live
    assert live is not None
    assert live.seq == REQUEST_ENTRIES, "a request does a bounded part of a long backlog"

    async def follow() -> None:
        task = asyncio.create_task(watcher.run())
        while live.seq < store.last_seq() or not live.is_settled:
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(follow(), 30))
    assert len(live.history("new", 2)) > 0
    row = live.engine.items.row("n1")
    assert (np.asarray(live.engine.hybrid.similar_idx[row]) >= 0).any()
    store.close()


USES = [
    ("GET", "/v1/users/u010/recommendations?placement=for_you&filter=price>0", None),
    ("GET", "/v1/users/u010/recommendations?placement=discover&limit=3", None),
    ("GET", f"/v1/items/{PHONES[0]}/recommendations?placement=complementary", None),
    ("POST", "/v1/recommendations", {"placement": "similar", "item_ids": [PHONES[0]], "explain": True}),
    ("POST", "/v1/events", {"events": [{"item_id": PHONES[0], "event": "view_item", "user_id": "new"}]}),
    ("PUT", "/v1/items/new-tea", {"title": "绿茶", "category": ["饮料"], "price": 9.5}),
    ("PATCH", f"/v1/items/{PHONES[0]}", {"offers": [{"price": 5.0}]}),
    ("PATCH", f"/v1/items/{PHONES[1]}", {"tags": ["5G"], "available": False}),
    ("PUT", "/v1/users/u011", {"attributes": {"city": "武汉"}}),
    ("POST", "/v1/users/u011/merge", {"from": "new"}),
    ("GET", "/v1/users/new/recommendations?placement=for_you", None),
    ("GET", "/v1/users/u011/recommendations?placement=long_tail&store=s1", None),
    ("GET", "/v1/users/u011/recommendations?placement=time_of_day", None),
    ("GET", "/v1/users/nobody/recommendations?placement=for_you", None),
    ("GET", "/v1/items/new-tea/recommendations?placement=bought_together", None),
    ("GET", "/v1/items/new-tea/recommendations?placement=viewed_together", None),
]


def test_a_bundle_that_was_replaced_is_let_go_of_without_a_collection(
    own_models: Path, tmp_path: Path, shop_engine: Engine, opened_bundles: dict[bytes, Recommender]
) -> None:
    """What is frozen is never collected: a cycle of references would keep its memory and files for good."""
    opened_bundles.clear()  # so that this app reads the bundle
    with client_of(own_models, store=tmp_path / "store.sqlite", poll_seconds=0.01) as client:
        opened_bundles.clear()  # nor do other tests keep it
        watcher = client.app.state.app_context.watcher
        for method, path, body in USES:
            assert client.request(method, path, json=body).status_code < 300, path
        served = watcher.current.recommender
        parts = [weakref.ref(each) for each in (served, served.engine, served.live)]
        gc.collect()
        n_files = len(os.listdir("/proc/self/fd"))
        gc.disable()
        try:
            del served
            version = write_another(shop_engine, own_models)
            watcher.refresh()
            client.get("/v1/users/u010/recommendations?placement=for_you")
            assert watcher.current.version == version
            assert [part() for part in parts] == [None] * len(parts)
            assert len(os.listdir("/proc/self/fd")) == n_files
        finally:
            gc.enable()
