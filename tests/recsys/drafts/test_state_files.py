"""The state of a shop is copied into a database, edited there, and written as files again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recsys.core.documents import EXPERIMENTS, KEYS, PLACEMENTS
from recsys.core.errors import ConfigError
from recsys.drafts.history import PENDING, PlacementHistory
from recsys.drafts.records import ChangeNote
from recsys.drafts.state_files import export_state, import_experiments, import_placements
from recsys.eventlog.postgres.documents import PostgresDocuments
from recsys.experiments.state import change_state, read_experiments, states_of
from recsys.experiments.transitions import start
from tests.postgres import schema_of
from tests.recsys.experiments.files import EXPERIMENTS as EXPERIMENTS_TEXT
from tests.recsys.experiments.files import write_experiments

AT = "2026-11-27T08:00:00+00:00"
NOTE = ChangeNote("Mei", AT, "", "moved")
TEXT = '[placements.a]\nextends = "for_you"\nlimit = 3\n'
OTHER = TEXT.replace("3", "4")
ID = "0123456789ab"


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[PostgresDocuments]:
    with closing(PostgresDocuments(schema_of(tmp_path))) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a history: an edit by hand, an activation and a draft."""
    path = tmp_path / PLACEMENTS
    path.write_text(TEXT, encoding="utf-8")
    history = PlacementHistory(path)
    history.observe(AT)
    history.begin("f" * 12, "first", NOTE, OTHER)
    history.activate("f" * 12, lambda _: None, lambda _: None, NOTE)
    history.begin(ID, "later", NOTE, TEXT)
    return path


def actions(history: PlacementHistory) -> list[str]:
    return [entry.action for entry in history.audit.entries()]


def test_the_first_import_takes_the_history_along(documents: PostgresDocuments, path: Path, tmp_path: Path) -> None:
    (tmp_path / "placements.history" / PENDING).write_bytes(b"{}")
    assert import_placements(path, tmp_path / "placements.history", documents, NOTE)
    files, stored = PlacementHistory(path), PlacementHistory(documents / PLACEMENTS)
    assert (stored.text(), stored.drafts()) == (files.text(), files.drafts())
    assert stored.audit.entries() == files.audit.entries()
    before = stored.audit.entries()[0].after
    assert stored.text(before).decode() == TEXT
    assert stored.draft(ID).title == "later"
    assert {each.name for each in stored.folder.documents("")} == {"audit.jsonl"}, "no lock, no change that has begun"
    assert not stored.observe(AT)


def test_a_history_that_cannot_be_read_is_named_and_nothing_is_imported(
    documents: PostgresDocuments, path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "placements.history"
    (folder / "drafts" / "lost.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"lost\.json cannot be read \(No such file or directory\): check"):
        import_placements(path, folder, documents, NOTE)
    assert documents.names("", "") == []


def test_later_imports_are_changes_that_the_audit_log_notes(
    documents: PostgresDocuments, path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "placements.history"
    import_placements(path, folder, documents, NOTE)
    n = len(PlacementHistory(documents / PLACEMENTS).audit.entries())
    assert not import_placements(path, folder, documents, NOTE), "nothing has changed"
    path.write_text(TEXT, encoding="utf-8")
    assert not import_placements(path, folder, documents, NOTE)
    stored = PlacementHistory(documents / PLACEMENTS)
    assert stored.text().decode() == TEXT
    assert actions(stored)[n:] == ["placements_imported"]
    assert stored.audit.entries()[-1].reason == "moved"


def test_without_a_history_the_text_begins_one(documents: PostgresDocuments, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(TEXT, encoding="utf-8")
    assert not import_placements(path, tmp_path / "ours.history", documents, NOTE)
    assert actions(PlacementHistory(documents / PLACEMENTS)) == ["placements_edited"]


def test_a_text_that_cannot_be_served_changes_nothing(documents: PostgresDocuments, path: Path, tmp_path: Path) -> None:
    for content in (b"[placements.a]\n", b"\xff", b"[broken"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="placements"):
            import_placements(path, tmp_path / "placements.history", documents, NOTE)
    with pytest.raises(ConfigError, match="cannot be read"):
        import_placements(tmp_path / "nowhere.toml", tmp_path, documents, NOTE)
    assert documents.names("", "") == []


def test_experiments_are_imported_with_their_states_once(documents: PostgresDocuments, tmp_path: Path) -> None:
    path = write_experiments(tmp_path)
    change_state(path, start("calm", AT))
    assert import_experiments(path, documents)
    target = documents / EXPERIMENTS
    assert read_experiments(target).state("calm").status == "running"
    change_state(target, start("tail", AT))
    path.write_text(EXPERIMENTS_TEXT + "\n# more\n", encoding="utf-8")
    assert not import_experiments(path, documents), "those of the database stay"
    assert read_experiments(target).state("tail").status == "running"
    assert target.read().endswith(b"# more\n")


def test_experiments_that_do_not_fit_what_runs_change_nothing(documents: PostgresDocuments, tmp_path: Path) -> None:
    path = write_experiments(tmp_path)
    import_experiments(path, documents)
    change_state(documents / EXPERIMENTS, start("calm", AT))
    before = (documents / EXPERIMENTS).read()
    for text in ("", EXPERIMENTS_TEXT.replace("weight = 3", "weight = -3"), EXPERIMENTS_TEXT.replace("0.5]", "0.4]")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError):
            import_experiments(path, documents)
    assert (documents / EXPERIMENTS).read() == before


def test_files_that_were_written_are_the_same_shop(documents: PostgresDocuments, path: Path, tmp_path: Path) -> None:
    import_placements(path, tmp_path / "placements.history", documents, NOTE)
    import_experiments(write_experiments(tmp_path), documents)
    change_state(documents / EXPERIMENTS, start("calm", AT))
    with documents.changing():
        (documents / KEYS).write(b"{}")
    out = tmp_path / "out" / "shop"
    names = export_state(documents, out)
    assert {KEYS, PLACEMENTS, EXPERIMENTS, f"placements.history/drafts/{ID}.json"} <= set(names)
    for name in names:
        assert (out / name).read_bytes() == (documents / name).read()
    assert (out / KEYS).stat().st_mode & 0o777 == 0o600
    assert (out / "placements.history" / "audit.jsonl").stat().st_mode & 0o007 == 0
    history = PlacementHistory(out / PLACEMENTS)
    assert not history.observe(AT)
    assert history.audit.entries() == PlacementHistory(documents / PLACEMENTS).audit.entries()
    assert states_of(out / EXPERIMENTS).read() == states_of(documents / EXPERIMENTS).read()
    with pytest.raises(ConfigError, match="not empty"):
        export_state(documents, out)
    with pytest.raises(ConfigError, match="cannot be written"):
        export_state(documents, path)
