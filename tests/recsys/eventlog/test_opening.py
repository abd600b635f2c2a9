from __future__ import annotations

import builtins
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from recsys.core.errors import ConfigError
from recsys.eventlog.opening import create_log, file_of, is_database, log_name, open_log
from recsys.eventlog.store import LogEntry
from tests.postgres import schema_of

ADDRESS = "postgresql://shop:secret@db.example/shop"


@pytest.mark.parametrize("is_file", [True, False])
def test_a_log_is_opened_by_where_it_is(tmp_path: Path, is_file: bool) -> None:
    location = tmp_path / "store.sqlite" if is_file else schema_of(tmp_path)
    with closing(create_log(location)) as log:
        assert log.append([LogEntry("item_put", "tea", 1.0, 1.0, {})]) == ["stored"]
        assert log.size_bytes() > 0
    with closing(open_log(str(location))) as log:
        assert [each.entry.key for each in log.read_after(0, 9)] == ["tea"]


def test_a_file_that_does_not_exist_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        open_log(tmp_path / "store.sqlite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [ADDRESS, "postgres://u@h/d"])
def test_an_address_is_told_from_a_path(text: str) -> None:
    assert is_database(text)
    assert not is_database(Path("postgresql"))
    assert "secret" not in log_name(text)
    with pytest.raises(ConfigError, match="is a database: copy it with pg_dump") as raised:
        file_of(text, "copy it with pg_dump")
    assert "secret" not in str(raised.value)
    assert file_of("models/store.sqlite", "") == Path("models/store.sqlite")


@pytest.mark.parametrize("password", ["secret", "sec:ret", "sec/ret", "sec@ret", "sec?ret", "sec%zzret"])
def test_no_part_of_a_password_is_shown(password: str) -> None:
    address = f"postgresql://shop:{password}@db.example:5432/shop"
    assert log_name(address) == "postgresql://shop:…@db.example:5432/shop"
    unread = f"postgresql://db.example:5432/shop?user=shop&password={password}&sslmode=require"
    assert log_name(unread) == "postgresql://db.example:5432/shop?user=shop&password=…&sslmode=require"


def test_an_address_as_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a path: give the address of a database as text"):
        create_log(Path(ADDRESS))


def test_a_missing_driver_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without_driver(name: str, *given: Any, **more: Any) -> Any:
        if name.startswith("recsys.eventlog.postgres"):
            raise ImportError("No module named 'psycopg'")
        return load(name, *given, **more)

    monkeypatch.setattr(builtins, "__import__", without_driver)
    with pytest.raises(ConfigError, match=r"needs psycopg .*pip install 'recsys\[postgres\]'"):
        open_log(ADDRESS)
