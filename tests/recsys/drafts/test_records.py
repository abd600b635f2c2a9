"""A draft and its next versions."""

from __future__ import annotations

from recsys.drafts.records import ChangeNote, Draft


def test_a_change_counts_and_names_its_author() -> None:
    draft = Draft("0" * 12, "t", "b", "", "Mei", "one", "one", "Mei")
    changed = draft.changed(ChangeNote("Li", "two"), title="u")
    assert (changed.version, changed.title, changed.author, changed.changed_by, changed.changed_at) == (
        2,
        "u",
        "Mei",
        "Li",
        "two",
    )
    assert (draft.version, draft.title) == (1, "t")
