from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from serving.console.sessions import SESSION_S, check_form_token, form_token, open_session, read_session
from serving.runtime.auth import KeyRing, new_key, write_keys

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEY = new_key("one", ("view",), AT)[0]
OTHER = new_key("other", ("admin",), AT)[0]


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    write_keys(tmp_path / "keys.json", [KEY, OTHER])
    return KeyRing(tmp_path / "keys.json")


def test_a_session_lasts_a_working_day(keys: KeyRing) -> None:
    text = open_session(KEY, 1000.0)
    assert read_session(text, keys, 1000.0) == KEY
    assert read_session(text, keys, 999.0 + SESSION_S) == KEY
    assert read_session(text, keys, 1000.0 + SESSION_S) is None


def test_a_session_ends_with_its_key(keys: KeyRing, tmp_path: Path) -> None:
    text = open_session(KEY, 0.0)
    write_keys(tmp_path / "keys.json", [OTHER])
    assert read_session(text, keys, 1.0) is None


@pytest.mark.parametrize("position", range(3))
def test_no_part_of_a_session_can_be_changed(keys: KeyRing, position: int) -> None:
    parts = open_session(KEY, 0.0).split(".")
    parts[position] = [OTHER.key_id, str(10**9), "0" * 64][position]
    assert read_session(".".join(parts), keys, 1.0) is None


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "é.1.x", "{key}.1.é", "1" * 1000, "{key}.-1.x"])
def test_what_is_no_session_is_none(keys: KeyRing, text: str) -> None:
    assert read_session(text.replace("{key}", KEY.key_id), keys, 0.0) is None


def test_a_form_belongs_to_one_session_of_one_key() -> None:
    session = open_session(KEY, 0.0)
    check_form_token(KEY, session, form_token(KEY, session))
    wrong = [form_token(KEY, open_session(KEY, 1.0)), form_token(OTHER, session), session, "", "é"]
    for token in wrong:
        with pytest.raises(HTTPException) as caught:
            check_form_token(KEY, session, token)
        assert caught.value.status_code == 403
