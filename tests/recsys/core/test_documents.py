"""What documents keep to, in files and in a database."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recsys.core.documents import Document, FileDocument, document_of, present, stem_of
from tests.recsys.core.folders import KINDS, Folder, open_folder


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(kind: str, tmp_path: Path) -> Iterator[Folder]:
    with closing(open_folder(kind, tmp_path)) as folder:
        yield folder


def write(document: Document, content: bytes) -> None:
    with document.changing():
        document.write(content)


def test_a_document_is_written_read_replaced_and_removed(folder: Folder) -> None:
    document = folder / "placements.toml"
    assert (document.signature(), document.name, stem_of(document)) == (None, "placements.toml", "placements")
    with pytest.raises(FileNotFoundError):
        document.read()
    seen = set()
    for content in (b"one", "zwei ü\r\n\0".encode(), b"", b"one"):
        write(document, content)
        assert document.read() == (folder / "placements.toml").read() == content
        assert document.signature() == document.signature()
        seen.add(document.signature())
    assert len(seen) == 4, "another signature after each change, also back to an earlier text"
    with document.changing():
        document.remove()
        document.remove()
    assert document.signature() is None
    write(document, b"again")
    assert document.read() == b"again"
    assert document.signature() not in seen


def test_a_folder_has_its_own_documents(folder: Folder) -> None:
    inner = folder / "placements.history"
    drafts = inner / "drafts"
    assert (inner.signature(), drafts.documents(".json")) == (None, [])
    drafts.make_folder()
    with (folder / "placements.history").changing():
        for name in ("a.json", "b.json", "c.toml"):
            (drafts / name).write(name.encode())
        (inner / "pending.json").write(b"x")
    assert sorted(each.name for each in drafts.documents(".json")) == ["a.json", "b.json"]
    assert {each.read() for each in drafts.documents("")} == {b"a.json", b"b.json", b"c.toml"}
    assert [each.name for each in inner.documents(".json")] == ["pending.json"]
    assert (drafts / "a.json").parent.parent.name == "placements.history"
    assert inner.signature() is not None
    assert str(drafts / "a.json") != str(drafts / "b.json")
    with inner.changing():
        (drafts / "a.json").remove()
    assert [each.name for each in drafts.documents(".json")] == ["b.json"]


def test_lines_are_added_to_a_journal(folder: Folder) -> None:
    inner = folder / "placements.history"
    inner.make_folder()
    journal, seen = inner / "audit.jsonl", set()
    for n in range(3):
        with inner.changing():
            journal.append(f"line {n}".encode())
            assert journal.read().count(b"\n") == n + 1, "who changes a document sees it"
        seen.add(journal.signature())
    assert journal.read() == b"line 0\nline 1\nline 2\n"
    assert len(seen) == 3
    with inner.changing():
        journal.write(b"head\n")
        journal.append(b"tail")
    assert journal.read() == b"head\ntail\n"
    with inner.changing():
        journal.write(b"head\ncut sho")
        for line in (b"tail", b"end"):
            journal.append(line)
    assert journal.read() == b"head\ncut sho\ntail\nend\n"
    with inner.changing():
        journal.remove()
        journal.append(b"new")
    assert journal.read() == b"new\n"


def test_a_journal_may_be_outside_of_folders(folder: Folder) -> None:
    journal = folder / "journal"
    write(journal, b"head\n")
    with journal.changing():
        journal.append(b"tail")
    assert journal.read() == b"head\ntail\n"


def test_one_changes_documents_at_a_time(kind: str, folder: Folder, tmp_path: Path) -> None:
    document = folder / "placements.history" / "pending.json"
    document.parent.make_folder()
    with document.parent.changing():
        document.write(b"0")

    def count(place: Folder) -> None:
        own = place / "placements.history" / "pending.json"
        for _ in range(10):
            with own.parent.changing():
                own.write(b"%d" % (int(own.read()) + 1))

    with closing(open_folder(kind, tmp_path)) as other:
        threads = [threading.Thread(target=count, args=(place,)) for place in (folder, folder, other, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with document.parent.changing():
        assert document.read() == b"40"


def test_a_place_is_a_path_or_a_document(folder: Folder, tmp_path: Path) -> None:
    document = folder / "keys.json"
    assert document_of(document) is document
    assert str(document_of(tmp_path / "keys.json")) == str(tmp_path / "keys.json")
    assert present(document, is_optional=True) is None
    assert present(document, is_optional=False) is document
    assert present(None, is_optional=False) is None


def test_files_are_written_with_their_permissions_and_through_links(tmp_path: Path) -> None:
    path, link = tmp_path / "keys.json", tmp_path / "link.json"
    FileDocument(path).write(b"secret", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    link.symlink_to(path)
    FileDocument(link).write(b"other")
    assert (path.read_bytes(), link.is_symlink()) == (b"other", True)


def test_a_line_that_a_crash_cut_short_stays_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"whole\ncut sho")
    FileDocument(path).append(b"next")
    assert path.read_bytes() == b"whole\ncut sho\nnext\n"


def test_a_file_that_was_replaced_before_it_was_locked_is_locked_anew(tmp_path: Path) -> None:
    """Many processes that each read a file and replace it as the last step lose no change."""
    path = tmp_path / "keys.json"
    path.write_bytes(b"0")
    processes = [
        subprocess.Popen([sys.executable, "-c", COUNTER, str(path)], env=os.environ, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in processes:
        _, err = process.communicate()
        assert process.returncode == 0, err
    assert path.read_bytes() == b"30"


COUNTER = """
import sys
from pathlib import Path
from recsys.core.documents import FileDocument
document = FileDocument(Path(sys.argv[1]))
for _ in range(10):
    with document.changing():
        document.write(b"%d" % (int(document.read()) + 1))
"""


def test_a_file_that_does_not_exist_is_not_locked_and_a_folder_by_a_file_in_it(tmp_path: Path) -> None:
    with FileDocument(tmp_path / "keys.json").changing():
        assert list(tmp_path.iterdir()) == []
    with FileDocument(tmp_path).changing():
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
