from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.console.pages.drafts import N_GROUPS, _extremes, _tables
from tests.serving.conftest import client_of
from tests.serving.console.conftest import Browser

TEXT = "# ours\n[placements.for_you]\nlimit = 4\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "placements.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def editor(own_models: Path, file: Path) -> Iterator[Browser]:
    with client_of(own_models, placements=file) as client:
        yield Browser(client)


def begun(editor: Browser) -> str:
    reply = editor.post("/drafts", {"list": "for_you"})
    assert reply.status_code == 303
    return reply.headers["location"].removeprefix("/console").partition("?")[0]


def version(editor: Browser, path: str) -> str:
    found = re.search(r'name="version" value="(\d+)"', editor.get(path).text)
    assert found is not None
    return found[1]


def test_a_list_is_changed_previewed_activated_and_rolled_back(editor: Browser, file: Path) -> None:
    path = begun(editor)
    form = {"list": "for_you", "version": version(editor, path), "limit": "3", "tail_share": "0.5"}
    assert editor.post(path, form).status_code == 303
    text = editor.get(path).text
    assert 'name="limit" inputmode="decimal" value="3"' in text
    assert "for_you · changed" in text
    preview = editor.get(f"{path}/preview?list=for_you&user={editor.sample.user_id}").text
    assert preview.count('<ol class="cards">') == 2
    assert "for_you" in editor.get(f"{path}/difference?n=3").text
    assert file.read_text() == TEXT, "a draft changes nothing that is served"
    for step in ("review", "activate"):
        reply = editor.post(f"{path}/{step}", {"version": version(editor, path), "reason": "<test>"})
        assert reply.status_code == 303
    assert "limit = 3" in file.read_text()
    assert "# ours" in file.read_text(), "comments stay"
    log = editor.get("/audit").text
    assert "placements_activated" in log
    assert "&lt;test&gt;" in log
    present = re.search(r'name="present" value="(\w+)"', log)
    assert present is not None
    assert editor.post("/audit/rollback", {"present": "another"}).status_code == 409
    assert editor.post("/audit/rollback", {"present": present[1]}).status_code == 303
    assert file.read_text() == TEXT


def test_two_who_change_one_draft_do_not_overwrite_each_other(editor: Browser) -> None:
    path = begun(editor)
    seen = version(editor, path)
    assert editor.post(path, {"list": "for_you", "version": seen, "limit": "3"}).status_code == 303
    reply = editor.post(path, {"list": "for_you", "version": seen, "limit": "5"})
    assert reply.status_code == 409
    assert 'name="limit" inputmode="decimal" value="3"' in editor.get(path).text


def test_what_is_wrong_with_a_draft_is_said(editor: Browser) -> None:
    path = begun(editor)
    form = {"list": "for_you", "version": version(editor, path)}
    assert editor.post(path, {**form, "limit": "many"}).status_code == 422
    assert editor.post(path, {**form, "limit": "1000", "filter": "nonsense <"}).status_code == 303
    text = editor.get(path).text
    assert 'role="alert"' in text
    assert "1000" in text
    broken = {"list": "for_you", "version": version(editor, path), "toml": "[placements\r\n"}
    assert editor.post(path, broken).status_code == 303
    assert "[placements" in editor.get(path).text
    assert editor.post(f"{path}/delete", {"version": version(editor, path)}).status_code == 303
    assert editor.get(path).status_code == 404


def test_the_text_of_a_draft_is_kept_as_it_is(editor: Browser) -> None:
    path = begun(editor)
    text = "[placements.for_you]\nlimit = 7  # seven\n\n[placements.for_you.sources]\nals = 1.0\n"
    form = {"list": "for_you", "version": version(editor, path), "toml": text.replace("\n", "\r\n")}
    assert editor.post(path, form).status_code == 303
    assert "seven" in editor.get(path).text
    assert 'value="7"' in editor.get(path).text


def test_tables_are_those_of_the_lists() -> None:
    assert _tables("[placements.a]\nlimit = 1\n") == {"a": {"limit": 1}}
    assert _tables("x = [") == _tables("placements = 3") == _tables("") == {}


def test_the_largest_gains_and_losses_are_named() -> None:
    assert _extremes(range(3)) == [0, 1, 2]
    assert _extremes(range(30)) == [*range(N_GROUPS), *range(30 - N_GROUPS, 30)]
