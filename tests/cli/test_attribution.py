from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from tests.cli.conftest import Run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "store.sqlite"
    shown = {
        "placement": "for_you",
        "model_version": "v1",
        "items": [{"item_id": "茶"}, {"item_id": "杯"}],
        "user_id": "u",
    }
    bought = {
        "item_id": "茶",
        "event": "purchase",
        "user_id": "u",
        "recommendation_id": "r",
        "price": 88,
        "currency": "CNY",
    }
    with closing(SqliteStore(path)) as store:
        store.append([LogEntry("impression", "r", 0.0, 0.0, shown), LogEntry("event", None, 5.0, 5.0, bought)])
    return path


def test_a_table_and_json(recsys: Run, log: Path) -> None:
    said = recsys("attribution", "--store", log)
    assert said.code == 0
    assert "50.00% [9.45%, 90.55%]" in said.out
    assert "88.00 CNY" in said.out
    told = json.loads(recsys("attribution", "--store", log, "--json").out)
    assert told["yields"][0]["conversion"]["value"] == 0.5
    assert recsys("attribution", "--store", log, "--window-days", "0.00001").out.count("1 came later") == 1


def test_an_empty_log(recsys: Run, tmp_path: Path) -> None:
    SqliteStore(tmp_path / "store.sqlite").close()
    assert "has no list" in recsys("attribution", "--store", tmp_path / "store.sqlite").out


def test_wrong_calls(recsys: Run, log: Path) -> None:
    assert recsys("attribution", "--store", log.parent / "none.sqlite").code == 2
    assert "does not exist: name the live log" in recsys("attribution", "--store", log.parent / "none.sqlite").err
    assert recsys("attribution", "--store", log, "--window-days", "-1").code == 2
