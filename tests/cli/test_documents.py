"""Commands read and write keys, experiments and placements where they are: in files or in a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recsys.core.documents import EXPERIMENTS, KEYS, PLACEMENTS
from recsys.eventlog.postgres.documents import PostgresDocuments
from recsys.experiments.state import read_experiments
from serving.runtime.auth import read_keys
from tests.cli.conftest import Run
from tests.postgres import schema_of
from tests.recsys.experiments.files import EXPERIMENTS as EXPERIMENTS_TEXT


@pytest.fixture
def place(tmp_path: Path) -> str:
    return schema_of(tmp_path)


@pytest.fixture
def documents(place: str) -> Iterator[PostgresDocuments]:
    with closing(PostgresDocuments(place)) as opened:
        yield opened


def fresh(place: str, name: str) -> bytes:
    with closing(PostgresDocuments(place)) as opened:
        return (opened / name).read()


def test_keys_of_a_database(recsys: Run, place: str) -> None:
    missing = recsys("keys", "list", "--keys", place)
    assert (missing.code, "`recsys keys create --keys postgresql://…`" in missing.err) == (2, True)
    secret = recsys("keys", "create", "--keys", place, "--scopes", "recommend").out.strip()
    assert secret.encode() not in fresh(place, KEYS), "only its digest is stored"
    recsys("keys", "create", "--keys", place, "--scopes", "admin")
    first, second = json.loads(recsys("keys", "list", "--keys", place, "--json").out)
    assert (first["scopes"], second["scopes"]) == ("recommend", "admin")
    assert recsys("keys", "limit", first["key_id"], "--keys", place, "--rate", "5").code == 0
    assert recsys("keys", "revoke", second["key_id"], "--keys", place).code == 0
    with closing(PostgresDocuments(place)) as opened:
        (left,) = read_keys(opened / KEYS)
    assert (left.key_id, left.rate) == (first["key_id"], 5)


def test_experiments_of_a_database(recsys: Run, place: str, documents: PostgresDocuments) -> None:
    with documents.changing():
        (documents / EXPERIMENTS).write(EXPERIMENTS_TEXT.encode())
        (documents / PLACEMENTS).write(b'[placements.for_you]\nlimit = 7\n[placements.mine]\nextends = "popular"\n')
    assert recsys("experiments", "check", place).code == 0
    assert recsys("experiments", "start", place, "calm", "--share", "0.5").code == 0
    assert recsys("experiments", "ramp", place, "calm", "--share", "0.7").code == 0
    with closing(PostgresDocuments(place)) as opened:
        assert read_experiments(opened / EXPERIMENTS).state("calm").share == 0.7
    rows = json.loads(recsys("experiments", "list", place, "--json").out)["experiments"]
    assert [row["status"] for row in rows] == ["running", "draft", "draft"]
    with documents.changing():
        (documents / PLACEMENTS).write(b'[placements.for_you]\nextends = "nothing"\n')
    refused = recsys("experiments", "stop", place, "calm")
    assert (refused.code, "nothing" in refused.err) == (2, True), "with the placements of the database"


def test_lists_of_a_database(recsys: Run, place: str, documents: PostgresDocuments, shop_models: Path) -> None:
    words = ("recommend", "--models", shop_models, "--placement", "mine", "--json")
    missing = recsys(*words, "--placements", place)
    assert (missing.code, "there is no placements.toml in the database" in missing.err) == (2, True)
    with documents.changing():
        (documents / PLACEMENTS).write(b'[placements.mine]\nextends = "popular"\nlimit = 4\n')
    said = recsys(*words, "--placements", place)
    assert said.code == 0, said.err
    assert len(json.loads(said.out)["items"]) == 4


def test_an_address_without_a_database_is_refused(recsys: Run) -> None:
    said = recsys("keys", "list", "--keys", "postgresql://127.0.0.1:1/none")
    assert (said.code, "could not be opened" in said.err) == (2, True)
