from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recsys.live.user_changes import UserChanges


def test_only_later_entries_about_the_user_are_changes() -> None:
    changes = UserChanges()
    changes.note({"a": 5})
    assert changes.has_changed(["a"], 4)
    assert not changes.has_changed(["a"], 5)
    assert changes.has_changed(["b", "a"], 4)
    assert not changes.has_changed(["b"], 0)


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.integers(1, 4))
def test_no_change_is_forgotten(keys: list[str], max_users: int) -> None:
    changes = UserChanges(max_users)
    for seq, key in enumerate(keys, 1):
        changes.note({key: seq})
    for key in "abcdef":
        for seq in range(len(keys) + 1):
            if any(other == key for other in keys[seq:]):
                assert changes.has_changed([key], seq)
    assert not any(changes.has_changed([key], len(keys)) for key in "abcdef")
