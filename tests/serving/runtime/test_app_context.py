from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from recsys.core.errors import ConfigError, StoreError
from recsys.eventlog.store import LogEntry
from serving.problems import NotReadyError
from serving.runtime.app_context import AppContext, open_store
from serving.runtime.settings import load_settings


def context_of(models: Path, **settings: object) -> AppContext:
    return AppContext.of(load_settings(models=models, **settings))


def test_an_event_is_durable_once_stored_returns(tmp_path: Path) -> None:
    app_context = context_of(tmp_path)
    entry = LogEntry("event", "e", 1.0, 2.0, {"item_id": "i", "event": "view_item", "user_id": "u"})
    assert asyncio.run(app_context.stored([entry])) == ["stored"]
    app_context.close()
    store = open_store(app_context.settings)
    assert [stored.entry for stored in store.read_after(0, 10)] == [entry]
    store.close()


def test_the_store_is_opened_on_first_use_and_can_be_opened_again(tmp_path: Path) -> None:
    app_context = context_of(tmp_path / "models")
    app_context.close()
    assert not (tmp_path / "models").exists()
    first = app_context.store
    assert app_context.store is first
    app_context.close()
    assert app_context.store is not first
    app_context.close()


def test_a_store_that_cannot_be_opened_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another one with `--store`"):
        open_store(load_settings(store=tmp_path / "file" / "store.sqlite"))


def test_a_data_clock_needs_a_bundle_and_a_wall_clock_does_not(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="there is no bundle yet"):
        context_of(tmp_path, clock="data").now()
    assert context_of(tmp_path, clock="wall").now() > 1_700_000_000


def test_keys_are_read_at_once(tmp_path: Path) -> None:
    assert context_of(tmp_path).keys is None
    with pytest.raises(ConfigError, match="does not exist"):
        context_of(tmp_path, keys=tmp_path / "keys.json")


def test_ids_of_responses_differ_between_contexts(tmp_path: Path) -> None:
    contexts = [context_of(tmp_path) for _ in range(2)]
    ids = [app_context.id_generator.next() for app_context in contexts for _ in range(100)]
    assert len(set(ids)) == 200
