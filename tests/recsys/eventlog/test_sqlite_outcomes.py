"""The short way for commits of new events decides as the general one."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.sqlite_outcomes import AppendJudge
from recsys.eventlog.store import LogEntry


def entries(random: Random) -> list[LogEntry]:
    """Events with few ids, some without, some of several items, merges, and lists of anonymous shoppers."""
    found: list[LogEntry] = []
    for _ in range(random.randrange(1, 7)):
        key, body = f"e{random.randrange(300)}", {"item_id": "a", "user_id": f"u{random.randrange(3)}"}
        match random.randrange(8):
            case 0:
                found.append(LogEntry("event", None, 1.0, 1.0, body))
            case 1:
                found += [LogEntry("event", f"{key}#{n}", 1.0, 1.0, body, part=(key, n)) for n in (1, 2)]
            case 2:
                found.append(LogEntry("event", f"{key}#1", 1.0, 1.0, body))
            case 3:
                found.append(LogEntry("merge", body["user_id"], 1.0, 1.0, {"into": f"u{random.randrange(3)}"}))
            case 4:
                found.append(LogEntry("impression", key, 1.0, 1.0, {"session_id": "s", "items": []}))
            case _:
                found.append(LogEntry("event", key, 1.0, 1.0, body))
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("erased", [False, True])
def test_the_short_way_gives_the_outcomes_of_the_general_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, erased: bool
) -> None:
    def outcomes(name: str) -> list[list[str]]:
        random, store = Random(seed), SqliteStore(tmp_path / name)
        try:
            if erased:
                store.erase(["u1"], 2.0)
            return [list(store.append(entries(random))) for _ in range(60)]
        finally:
            store.close()

    short: list[bool] = []
    is_short = AppendJudge._are_all_new
    monkeypatch.setattr(AppendJudge, "_are_all_new", lambda *given: short.append(is_short(*given)) or short[-1])
    found = outcomes("short")
    monkeypatch.setattr(AppendJudge, "_are_all_new", lambda *given: False)
    assert outcomes("general") == found
    assert any(short) is not erased
    assert {"stored", "duplicate", "conflict"} <= {each for batch in found for each in batch}
