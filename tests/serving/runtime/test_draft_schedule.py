"""The schedule of drafts: problems are logged once, and what is checked is what would be served."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from tests.serving.api.drafts import TEXT, actions, desk
from tests.serving.conftest import client_of


def test_a_problem_is_logged_once(shop_models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "placements.history").write_text("in the way", encoding="utf-8")
    (tmp_path / "placements.toml").write_text(TEXT, encoding="utf-8")
    with client_of(
        shop_models, store=tmp_path / "store.sqlite", placements=tmp_path / "placements.toml", poll_seconds=0.01
    ) as client:

        async def run() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.app.state.app_context.schedule.run()

        with caplog.at_level(logging.ERROR):
            asyncio.run(run())
    assert len([record for record in caplog.records if "not looked at" in record.message]) == 1


def test_an_edit_by_hand_is_noted(shop_models: Path, tmp_path: Path) -> None:
    with desk(shop_models, tmp_path) as client:
        (tmp_path / "placements.toml").write_text(TEXT + "#\n", encoding="utf-8")
        client.app.state.app_context.schedule.step()
        assert actions(client) == ["placements_edited"] * 2


def test_a_text_is_checked_with_the_catalog(shop_models: Path, tmp_path: Path) -> None:
    with desk(shop_models, tmp_path) as client:
        schedule = client.app.state.app_context.schedule
        schedule.check(TEXT.encode())
        with pytest.raises(ConfigError, match="prce"):
            schedule.check(TEXT.replace("limit = 5", "filter = 'prce < 3'").encode())
