from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cli.keys import ROLE_NAMES, SCOPE_NAMES
from serving.runtime.auth import ROLES, SCOPES, read_keys
from tests.cli.conftest import Run


def test_a_key_is_made_listed_and_revoked(recsys: Run, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = recsys("keys", "create", "--keys", path, "--scopes", "recommend, events", "--name", "网店")
    assert made.code == 0
    secret = made.out.strip()
    assert secret not in made.err
    (key,) = read_keys(path)
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert (key.name, key.scopes) == ("网店", ("recommend", "events"))

    recsys("keys", "create", "--keys", path, "--scopes", "admin")
    listed = json.loads(recsys("keys", "list", "--keys", path, "--json").out)
    assert [row["scopes"] for row in listed] == ["recommend, events", "admin"]
    assert secret not in recsys("keys", "list", "--keys", path).out

    assert recsys("keys", "revoke", key.key_id, "--keys", path).code == 0
    assert [left.scopes for left in read_keys(path)] == [("admin",)]
    again = recsys("keys", "revoke", key.key_id, "--keys", path)
    assert (again.code, key.key_id in again.err) == (2, True)


def test_the_file_may_come_from_the_environment(recsys: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_KEYS", str(tmp_path / "keys.json"))
    assert recsys("keys", "create", "--scopes", "catalog").code == 0
    assert "catalog" in recsys("keys", "list").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create", "--scopes", "root"], "'root'"),
        (["create", "--scopes", ""], "or a --role: viewer, merchandiser, operator"),
        (["create", "--role", "boss"], "--role has 'boss', expected some of viewer, merchandiser, operator"),
        (["create", "--scopes", "view,root"], "'root'"),
        (["list"], "does not exist"),
        (["revoke", "x"], "does not exist"),
    ],
)
def test_what_cannot_be_is_refused(recsys: Run, tmp_path: Path, words: list[str], message: str) -> None:
    said = recsys("keys", *words, "--keys", tmp_path / "keys.json")
    assert (said.code, message in said.err) == (2, True), said.err
    assert not (tmp_path / "keys.json").exists()


def test_limits_of_a_key(recsys: Run, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    words = ("keys", "create", "--keys", path, "--scopes", "recommend", "--rate", "50", "--burst", "200", "--quota")
    assert recsys(*words, "1000000").code == 0
    (key,) = read_keys(path)
    assert (key.rate, key.burst, key.quota) == (50, 200, 1_000_000)
    (row,) = json.loads(recsys("keys", "list", "--keys", path, "--json").out)
    assert (row["rate"], row["burst"], row["quota"]) == (50, 200, 1_000_000)
    recsys("keys", "create", "--keys", path, "--scopes", "events")

    changed = recsys("keys", "limit", key.key_id, "--keys", path, "--rate", "0.5")
    assert (changed.code, f"limits of key {key.key_id}: rate 0.5" in changed.err) == (0, True)
    first, second = read_keys(path)
    assert (first.rate, first.burst, first.quota, first.sha256) == (0.5, None, None, key.sha256)
    assert second.rate is None
    assert "0.5" in recsys("keys", "list", "--keys", path).out
    assert "those of the server" in recsys("keys", "limit", key.key_id, "--keys", path).err
    assert "rate" not in path.read_text()
    recsys("keys", "limit", key.key_id, "--keys", path, "--rate", "0", "--quota", "0")
    assert (read_keys(path)[0].rate, read_keys(path)[0].quota) == (0, 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--burst", "5"], "--burst is 5 without a rate: give --rate"),
        (["--rate", "0", "--burst", "5"], "--burst is 5 without a rate"),
        (["--rate", "nan"], "'--rate': Input should be less than or equal to 1000000"),
        (["--rate", "-1"], "'--rate': Input should be greater than or equal to 0"),
        (["--quota", "1.5"], "'--quota': Input should be a valid integer"),
    ],
)
def test_limits_that_cannot_be_are_refused(recsys: Run, tmp_path: Path, words: list[str], message: str) -> None:
    path = tmp_path / "keys.json"
    recsys("keys", "create", "--keys", path, "--scopes", "recommend")
    before = path.read_bytes()
    for command in (["create", "--scopes", "recommend"], ["limit", read_keys(path)[0].key_id]):
        said = recsys("keys", *command, "--keys", path, *words)
        assert (said.code, message in said.err) == (2, True), said.err
    assert path.read_bytes() == before
    unknown = recsys("keys", "limit", "x", "--keys", path, "--rate", "1")
    assert (unknown.code, "has no key 'x'" in unknown.err) == (2, True)


def test_the_help_names_every_scope() -> None:
    assert SCOPE_NAMES == SCOPES
    assert tuple(ROLES) == ROLE_NAMES


def test_a_key_has_the_scopes_of_its_roles(recsys: Run, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for given in (
        ["--role", "viewer"],
        ["--role", "merchandiser, operator"],
        ["--role", "operator", "--scopes", "view,events"],
    ):
        assert recsys("keys", "create", "--keys", path, *given).code == 0
    assert [key.scopes for key in read_keys(path)] == [
        ("recommend", "view"),
        ("recommend", "view", "merchandise", "operate"),
        ("recommend", "view", "operate", "events"),
    ]
