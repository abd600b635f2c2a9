"""The audit log: entries are durable, in order, and a line that was cut short harms no other."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from recsys.drafts.audit_log import AuditLog, chosen
from recsys.drafts.records import ChangeNote

NOTE = ChangeNote("Mei", "2026-11-27T08:00:00+00:00", "k1", "双11")


def filled(path: Path, n: int) -> AuditLog:
    log = AuditLog(path)
    for number in range(n):
        log.append(log.next_entry(NOTE, "draft_changed" if number % 2 else "model_activated", f"s{number % 3}"))
    return log


def test_entries_are_numbered_and_read_by_everybody(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert AuditLog(path).entries() == ()
    entries = filled(path, 5).entries()
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert entries == AuditLog(path).entries()
    assert (entries[0].author, entries[0].key_id, entries[0].reason) == ("Mei", "k1", "双11")


@pytest.mark.parametrize("n_bytes", range(1, 60, 7))
def test_a_line_that_was_cut_short_is_not_read(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "audit.jsonl"
    log = filled(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-n_bytes])
    assert [entry.seq for entry in log.entries()] == ([1, 2] if n_bytes == 1 else [1])
    log.append(log.next_entry(NOTE, "draft_changed", "after"))
    assert path.read_bytes().startswith(whole[:-n_bytes]), "nothing is ever removed"
    last = AuditLog(path).entries()[-1]
    assert (last.subject, last.seq) == ("after", 3 if n_bytes == 1 else 2)


def test_entries_are_chosen_the_newest_first(tmp_path: Path) -> None:
    entries = filled(tmp_path / "audit.jsonl", 9).entries()
    assert [entry.seq for entry in chosen(entries, 3)] == [9, 8, 7]
    assert [entry.seq for entry in chosen(entries, 3, before=3)] == [2, 1]
    assert [entry.seq for entry in chosen(entries, 9, subject="s1")] == [8, 5, 2]
    assert [entry.seq for entry in chosen(entries, 9, action="draft")] == [8, 6, 4, 2]
    assert [entry.seq for entry in chosen(entries, 9, action="draft_changed")] == [8, 6, 4, 2]
    assert chosen(entries, 9, action="dra") == []


def test_a_line_of_a_later_release_is_read(tmp_path: Path) -> None:
    log = filled(tmp_path / "audit.jsonl", 1)
    more = {**msgspec.to_builtins(log.entries()[0]), "seq": 2, "color": "red"}
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(more) + b"\n")
    assert [entry.seq for entry in log.entries()] == [1, 2]
