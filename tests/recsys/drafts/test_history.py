"""The history of a file of placements: versions, drafts, schedules, edits by hand, crashes and races."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from recsys.core.documents import Document, FileDocument
from recsys.core.errors import ConfigError, StoreError
from recsys.core.files import DEFAULT_MODE
from recsys.drafts import history as module
from recsys.drafts.history import MAX_DRAFTS, NOTHING, PlacementHistory, digest
from recsys.drafts.records import (
    AuditEntry,
    ChangeNote,
    Draft,
    DraftConflictError,
    UnknownDraftError,
    UnknownVersionError,
)
from tests.postgres import schema_of
from tests.recsys.core.folders import KINDS, open_folder

AT = "2026-11-27T08:00:00+00:00"
NOTE = ChangeNote("Mei", AT, "k1", "because")
TEXT = '# ours\n[placements.a]\nextends = "for_you"\nlimit = 3\n\n[placements.b]\nextends = "for_you"\n'
OTHER = TEXT.replace("limit = 3", "limit = 4")
ID, SECOND = "0123456789ab", "ba9876543210"


def free(_: object) -> None:
    """Refuse nothing."""


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PlacementHistory]:
    with closing(open_folder(request.param, tmp_path)) as folder:
        yield PlacementHistory(folder / "placements.toml")


@pytest.fixture
def history(empty: PlacementHistory) -> PlacementHistory:
    edit(empty, TEXT)
    empty.observe(AT)
    return empty


def edit(history: PlacementHistory, text: str) -> None:
    """Change the file as an editor does, which knows no history."""
    with history.file.changing():
        history.file.write(text.encode())


def present(history: PlacementHistory) -> str:
    return history.file.read().decode()


def actions(history: PlacementHistory) -> list[str]:
    return [entry.action for entry in PlacementHistory(history.file).audit.entries()]


def with_text(text: str) -> Callable[[Draft], Draft]:
    return lambda draft: draft.changed(NOTE, text=text)


def scheduled(history: PlacementHistory, draft_id: str, text: str, at: int) -> Draft:
    history.begin(draft_id, "t", NOTE, text)
    return history.change(
        draft_id,
        lambda draft: draft.changed(NOTE, status="scheduled", activate_at=at, reason="sale"),
        "draft_scheduled",
        NOTE,
    )


def test_a_draft_becomes_the_file_and_its_versions_stay(history: PlacementHistory) -> None:
    before = history.version()
    draft = history.begin(ID, "more", NOTE)
    assert (draft.text, draft.base, draft.version) == (TEXT, before, 1)
    assert history.change(ID, with_text(OTHER), "draft_changed", NOTE).version == 2
    assert present(history) == TEXT
    entry = history.activate(ID, free, free, NOTE)
    assert present(history) == OTHER
    assert (entry.before, entry.after, entry.subject) == (before, digest(OTHER.encode()), ID)
    assert (history.text(before).decode(), history.text(entry.after).decode()) == (TEXT, OTHER)
    assert history.drafts() == ()
    with pytest.raises(UnknownDraftError):
        history.draft(ID)
    assert actions(history) == ["placements_edited", "draft_created", "draft_changed", "placements_activated"]
    back = history.replace(history.text(before), free, free, "placements_rolled_back", NOTE)
    assert (back.after, present(history)) == (before, TEXT)


def test_without_a_file_the_first_activation_makes_it(empty: PlacementHistory) -> None:
    history = empty
    assert (history.version(), history.text(), history.text(NOTHING), history.drafts()) == (NOTHING, b"", b"", ())
    assert not history.observe(AT)
    assert history.folder.signature() is None, "looking leaves nothing behind"
    history.begin(ID, "first", NOTE, TEXT)
    history.activate(ID, free, free, NOTE)
    assert present(history) == TEXT
    with history.file.changing():
        history.file.remove()
    assert history.observe(AT)
    assert history.audit.entries()[-1].after == NOTHING


def test_an_edit_by_hand_is_noted_once_by_all(history: PlacementHistory) -> None:
    others = [PlacementHistory(history.file) for _ in range(3)]
    edit(history, OTHER)
    assert [each.observe(AT) for each in (*others, history)] == [True, False, False, False]
    last = history.audit.entries()[-1]
    assert (last.author, last.action, last.after) == ("file", "placements_edited", digest(OTHER.encode()))
    assert history.text(last.before).decode() == TEXT
    edit(history, "[broken")
    history.begin(ID, "t", NOTE, TEXT)
    assert actions(history)[-2:] == ["placements_edited", "draft_created"], "also by the next change"


def test_a_refusal_changes_nothing(history: PlacementHistory) -> None:
    history.begin(ID, "t", NOTE, OTHER)

    def refuse(_: object) -> None:
        raise ConfigError("no")

    n = len(actions(history))
    for attempt in (
        lambda: history.activate(ID, free, refuse, NOTE),
        lambda: history.activate(ID, refuse, free, NOTE),
        lambda: history.replace(OTHER.encode(), free, refuse, "placements_imported", NOTE),
        lambda: history.change(ID, refuse, "draft_changed", NOTE),  # type: ignore[arg-type]
        lambda: history.delete(ID, refuse, NOTE),
    ):
        with pytest.raises(ConfigError, match="no"):
            attempt()
    assert (len(actions(history)), present(history)) == (n, TEXT)
    assert history.draft(ID).version == 1


def test_a_draft_of_an_earlier_version_is_not_activated(history: PlacementHistory) -> None:
    history.begin(ID, "t", NOTE, OTHER)
    edit(history, TEXT + "# more\n")
    with pytest.raises(DraftConflictError, match="rebase"):
        history.activate(ID, free, free, NOTE)
    history.change(ID, history.rebased, "draft_changed", NOTE)
    history.activate(ID, free, free, NOTE)
    assert present(history) == OTHER + "# more\n"


def test_an_edit_by_hand_during_an_activation_is_not_lost(history: PlacementHistory) -> None:
    history.begin(ID, "t", NOTE, OTHER)

    def edit_now(_: bytes) -> None:
        history.file.write(b"# in between")

    with pytest.raises(DraftConflictError, match="edited by hand"):
        history.activate(ID, free, edit_now, NOTE)
    if isinstance(history.file, FileDocument):  # in a database it is a part of the change that is refused
        assert present(history) == "# in between"
    assert history.draft(ID).text == OTHER


def test_the_same_table_changed_twice_is_a_conflict(history: PlacementHistory) -> None:
    history.begin(ID, "t", NOTE, OTHER)
    edit(history, TEXT.replace("limit = 3", "limit = 5"))
    with pytest.raises(DraftConflictError, match=r"placements\.a changed"):
        history.change(ID, history.rebased, "draft_changed", NOTE)
    edit(history, OTHER)  # the same change is none
    assert history.change(ID, history.rebased, "draft_changed", NOTE).text == OTHER


def test_ids_and_versions_name_nothing_else(history: PlacementHistory) -> None:
    with history.folder.parent.changing():
        (history.folder.parent / "secret.json").write(b"{}")
    for name in ("../../secret", "secret", "", "0" * 13, "0123456789AB", "..", "/etc/passwd", "0123456789a\n"):
        with pytest.raises(UnknownDraftError):
            history.draft(name)
        with pytest.raises(UnknownVersionError):
            history.text(name)
    with pytest.raises(UnknownVersionError, match="audit log"):
        history.text("0" * 64)


def test_drafts_are_bounded(history: PlacementHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DRAFTS", 2)
    assert MAX_DRAFTS == 100
    history.begin(ID, "t", NOTE)
    history.begin(SECOND, "t", NOTE)
    with pytest.raises(DraftConflictError, match="delete some"):
        history.begin("0" * 12, "t", NOTE)
    with pytest.raises(ConfigError, match="bytes"):
        history.change(ID, with_text("#" * 2_000_000), "draft_changed", NOTE)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    path.write_text(TEXT, encoding="utf-8")
    path.with_name("placements.history").write_text("a file", encoding="utf-8")
    with pytest.raises(StoreError, match=r"placements\.history.* cannot be read or written"):
        PlacementHistory(path).observe(AT)
    assert path.read_text(encoding="utf-8") == TEXT


def test_scheduled_drafts_are_activated_in_order_over_the_present_text(history: PlacementHistory) -> None:
    scheduled(history, SECOND, TEXT.replace("[placements.b]\n", "[placements.b]\nlimit = 9\n"), 20)
    scheduled(history, ID, OTHER, 10)
    assert history.activate_due(9, free, AT) == []
    done = history.activate_due(25, free, AT)
    assert [entry.subject for entry in done] == [ID, SECOND]
    assert (done[0].author, done[0].reason, done[0].action) == ("Mei", "sale", "placements_scheduled")
    text = present(history)
    assert "limit = 4" in text
    assert "limit = 9" in text
    assert history.activate_due(99, free, AT) == []


def test_a_schedule_that_fails_says_why(history: PlacementHistory) -> None:
    scheduled(history, ID, OTHER, 10)
    edit(history, TEXT.replace("limit = 3", "limit = 5"))
    assert history.activate_due(11, free, AT) == []
    draft = history.draft(ID)
    assert (draft.status, draft.activate_at) == ("draft", None)
    assert "placements.a changed" in draft.problem
    assert actions(history)[-1] == "schedule_failed"


def test_one_of_many_threads_activates_a_schedule(history: PlacementHistory) -> None:
    scheduled(history, ID, OTHER, 10)
    done: list[AuditEntry] = []
    threads = [
        threading.Thread(target=lambda: done.extend(PlacementHistory(history.file).activate_due(11, free, AT)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 1
    assert actions(history).count("placements_scheduled") == 1


@pytest.mark.parametrize("step", ["pending", "file", "audit", "end"])
def test_a_crash_between_two_steps_leaves_nothing_open(
    history: PlacementHistory, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change has happened with its entry, or it has not; a reader of the file never sees a part."""
    history.begin(ID, "t", NOTE, OTHER)
    kind = type(history.file)
    write, append = kind.write, kind.append

    class Crash(BaseException):
        pass

    def crashing_write(document: Document, content: bytes, mode: int = 0) -> None:
        write(document, content, mode or DEFAULT_MODE)
        if document.name == {"pending": "pending.json", "file": history.file.name}.get(step):
            raise Crash

    def crashing_append(document: Document, line: bytes) -> None:
        append(document, line)
        if step == "audit":
            raise Crash

    monkeypatch.setattr(kind, "write", crashing_write)
    monkeypatch.setattr(kind, "append", crashing_append)
    if step == "end":
        history.activate(ID, free, free, NOTE)
    else:
        with pytest.raises(Crash):
            history.activate(ID, free, free, NOTE)
    monkeypatch.undo()
    after = PlacementHistory(history.file)
    after.observe(AT)
    is_done = step == "end" or (step != "pending" and kind is FileDocument)  # a database takes all steps back
    assert present(after) == (OTHER if is_done else TEXT)
    assert [draft.draft_id for draft in after.drafts()] == ([] if is_done else [ID])
    assert actions(after).count("placements_activated") == is_done
    assert actions(after).count("placements_edited") == 1, "no edit by hand is seen in it"
    assert (after.folder / "pending.json").signature() is None


WRITER = """
import sys
from pathlib import Path
from recsys.drafts.history import PlacementHistory
from recsys.drafts.records import ChangeNote
from recsys.eventlog.opening import is_database, open_documents
place = sys.argv[1]
folder = open_documents(place) if is_database(place) else Path(place)
history, n = PlacementHistory(folder / "placements.toml"), 0
while True:
    n += 1
    note = ChangeNote("w", "2026-11-27T08:00:00+00:00", reason=str(n))
    draft_id = f"{n:012x}"
    history.begin(draft_id, "t", note, f"[placements.a]\\nextends = 'for_you'\\nlimit = {n % 100 + 1}\\n# {n}\\n")
    entry = history.activate(draft_id, lambda _: None, lambda _: None, note)
    print(n, entry.seq, entry.after, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(history: PlacementHistory, tmp_path: Path) -> None:
    place = str(tmp_path) if isinstance(history.file, FileDocument) else schema_of(tmp_path)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, place], stdout=subprocess.PIPE, text=True, env=os.environ
        )
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().split() for _ in range(5)]
        time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.split() for line in process.communicate()[0].splitlines() if len(line.split()) == 3]
        after = PlacementHistory(history.file)
        after.observe(AT)
        entries = {entry.seq: entry for entry in after.audit.entries()}
        assert sorted(entries) == list(range(1, len(entries) + 1))
        for reason, seq, version in acknowledged:
            assert (entries[int(seq)].reason, entries[int(seq)].after) == (reason, version)
        changes = [entry for entry in entries.values() if entry.after]
        assert all(one.after == two.before for one, two in pairwise(changes))
        assert changes[-1].after == after.version()
        for draft in after.drafts():
            after.delete(draft.draft_id, free, NOTE)


def test_a_damaged_draft_is_named(history: PlacementHistory) -> None:
    history.begin(ID, "t", NOTE)
    with history.folder.changing():
        (history.folder / "drafts" / f"{ID}.json").write(b"{")
    with pytest.raises(StoreError, match=ID):
        history.draft(ID)


def test_records_can_be_read_back() -> None:
    draft = Draft(ID, "t", NOTHING, TEXT, "Mei", AT, AT, "Mei")
    assert msgspec.json.decode(msgspec.json.encode(draft), type=Draft) == draft
