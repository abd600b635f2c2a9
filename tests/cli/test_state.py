"""The state of a shop is copied into a database and back."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from recsys.core.documents import EXPERIMENTS, KEYS, PLACEMENTS
from recsys.drafts.history import PlacementHistory
from recsys.eventlog.postgres.documents import PostgresDocuments
from recsys.experiments.state import change_state, read_experiments
from recsys.experiments.transitions import start
from serving.runtime.auth import read_keys
from tests.cli.conftest import Run
from tests.postgres import schema_of
from tests.recsys.experiments.files import write_experiments

AT = "2026-11-27T08:00:00+00:00"
TEXT = '[placements.a]\nextends = "for_you"\nlimit = 3\n'


def test_a_shop_moves_into_a_database_and_back(recsys: Run, tmp_path: Path) -> None:
    place, placements, keys = schema_of(tmp_path), tmp_path / PLACEMENTS, tmp_path / KEYS
    placements.write_text(TEXT, encoding="utf-8")
    PlacementHistory(placements, tmp_path / "log").observe(AT)
    experiments = write_experiments(tmp_path)
    change_state(experiments, start("calm", AT))
    recsys("keys", "create", "--keys", keys, "--scopes", "admin")
    folder = tmp_path / "log" / "placements.history"
    words = ("state", "import", "--store", place, "--placements", placements, "--history", folder)
    said = recsys(*words, "--experiments", experiments, "--keys", keys)
    assert said.code == 0, said.err
    assert f"{placements} is placements.toml, with the history of {folder}" in said.out
    assert f"{experiments} is experiments.toml, with its states" in said.out
    assert f"1 keys of {keys} are in keys.json" in said.out
    recsys("keys", "create", "--keys", place, "--scopes", "events")
    again = recsys("state", "import", "--store", place, "--keys", keys)
    assert again.code == 0
    with closing(PostgresDocuments(place)) as documents:
        assert {key.scopes for key in read_keys(documents / KEYS)} == {("admin",), ("events",)}
        assert read_experiments(documents / EXPERIMENTS).state("calm").status == "running"
    out = tmp_path / "out"
    written = recsys("state", "export", "--store", place, "--out", out)
    assert (written.code, "experiments.state.json, experiments.toml, keys.json" in written.out) == (0, True)
    assert (out / PLACEMENTS).read_text(encoding="utf-8") == TEXT
    assert len(PlacementHistory(out / PLACEMENTS).audit.entries()) == 1


def test_one_wrong_file_stops_all(recsys: Run, tmp_path: Path) -> None:
    place, placements, keys = schema_of(tmp_path), tmp_path / PLACEMENTS, tmp_path / KEYS
    placements.write_text(TEXT, encoding="utf-8")
    keys.write_text("[]", encoding="utf-8")
    said = recsys("state", "import", "--store", place, "--placements", placements, "--keys", keys)
    assert (said.code, "keys.json is not a file of keys" in said.err) == (2, True)
    with closing(PostgresDocuments(place)) as documents:
        assert documents.names("", "") == []
    nothing = recsys("state", "import", "--store", place)
    assert (nothing.code, "nothing to import" in nothing.err) == (2, True)
    absent = tmp_path / "typing-error.history"
    for words in (("--placements", placements, "--history", absent), ("--keys", keys, "--history", tmp_path)):
        said = recsys("state", "import", "--store", place, *words)
        assert (said.code, "give an existing folder, and --placements" in said.err) == (2, True)
    other = recsys("state", "import", "--store", tmp_path / "store.sqlite", "--keys", keys)
    assert (other.code, "is not a database" in other.err) == (2, True)
