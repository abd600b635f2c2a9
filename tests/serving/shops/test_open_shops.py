"""Shops are opened by their first call, and closed when others need the room, or when they are gone."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from recsys.fitting.engine import Engine
from serving.runtime import pace
from serving.runtime.settings import load_settings
from serving.shops.folders import Shop, read_shop
from serving.shops.open_shops import OpenShops
from tests.serving.runtime.test_bundle_watcher import write_another
from tests.serving.shops.conftest import add_shop


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory, shop_models: Path) -> list[Shop]:
    root = tmp_path_factory.mktemp("shops")
    for name in ("a", "b", "c"):
        add_shop(root, name, shop_models, guarded=False)
    return [read_shop(root / name) for name in ("a", "b", "c")]


def opened(shops: list[Shop], **settings: int) -> OpenShops:
    return OpenShops(load_settings(shops=shops[0].folder.parent, clock="data", **settings))


def test_the_least_recently_called_shops_are_closed_but_none_that_is_in_use(shops: list[Shop]) -> None:
    a, b, c = shops
    names = frozenset(shop.name for shop in shops)

    async def run() -> None:
        places = opened(shops, max_open_shops=1)
        async with places.use(a):
            async with places.use(b), places.use(c):
                await places.keep(names)
                assert places.n_open == 3
            await places.keep(names)
            assert places.n_open == 1
            async with places.use(a) as app:
                first = app
        async with places.use(a) as app:
            assert app is first, "it was in use"
        async with places.use(b):
            pass
        await places.keep(names)
        async with places.use(a) as app:
            assert app is not first
        await places.close()
        assert places.n_open == 0

    asyncio.run(run())


def test_a_shop_is_opened_once_for_many_calls_and_anew_when_it_has_changed(shops: list[Shop]) -> None:
    a = shops[0]
    changed = Shop(a.name, a.folder, ("a.example",))

    async def run() -> None:
        places = opened(shops)

        async def call(shop: Shop) -> object:
            async with places.use(shop) as app:
                await asyncio.sleep(0)
                return app

        first = await asyncio.gather(*(call(a) for _ in range(20)))
        assert len(set(map(id, first))) == 1
        second = await asyncio.gather(*(call(changed) for _ in range(5)))
        assert len(set(map(id, second))) == 1
        assert second[0] is not first[0]
        assert places.n_open == 1
        await places.close()

    asyncio.run(run())


def test_a_shop_whose_folder_is_gone_is_closed(tmp_path: Path, shop_models: Path) -> None:
    add_shop(tmp_path, "gone", shop_models, guarded=False)
    shop = read_shop(tmp_path / "gone")

    async def run() -> None:
        places = opened([shop])
        async with places.use(shop):
            pass
        shutil.rmtree(shop.folder)
        await places.keep(frozenset())
        assert places.n_open == 0

    asyncio.run(run())


def test_a_slow_call_delays_no_new_form_of_a_shop(shops: list[Shop]) -> None:
    a = shops[0]
    changed = Shop(a.name, a.folder, ("b.example",))

    async def run() -> None:
        places = opened(shops)
        async with places.use(a) as old:
            async with places.use(changed) as new:
                assert new is not old
            assert places.n_open == 1
        await places.close()

    asyncio.run(run())


def test_a_shop_that_rests_serves_a_newer_bundle_from_its_next_call(
    tmp_path: Path, shop_models: Path, shop_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "QUIET_S", 0.0)
    add_shop(tmp_path, "calm", shop_models, guarded=False)
    shop = read_shop(tmp_path / "calm")

    async def run() -> None:
        places = opened([shop])
        async with places.use(shop) as app:
            assert app.state.app_context.watcher.current is not None
        await asyncio.sleep(0.2)
        newer = write_another(shop_engine, shop.models)
        async with places.use(shop) as app:
            assert app.state.app_context.watcher.current.version == newer
        await places.close()

    asyncio.run(run())
