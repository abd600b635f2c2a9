from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.eventlog.identities import SESSION, Identities, user_key
from recsys.eventlog.store import EntryType, LogEntry

IDS = st.sampled_from("abcde")
STEPS = st.lists(st.tuples(st.sampled_from(["merge", "unmerge"]), IDS, IDS), max_size=14)


def test_the_key_is_that_of_the_user_else_the_visitor_else_the_session() -> None:
    assert user_key("u", "v", "s") == "u"
    assert user_key(None, "v", "s") == "v"
    assert user_key(None, None, "s") == SESSION + "s"
    assert user_key(None) is None


def test_merges_chain_have_a_direction_and_are_undone() -> None:
    who = Identities()
    who.merge("a", "b")
    who.merge("b", "c")
    assert [who.target(id_) for id_ in "abc"] == ["c", "c", "c"]
    assert who.aliases_of("c") == ("c", "a", "b")
    assert who.aliases_of("b") == ("b", "a")
    who.merge("c", "a")
    assert who.target("a") == "c", "a circle is ignored"
    who.merge("a", "a")
    assert who.target("a") == "c"
    who.unmerge("b")
    assert [who.target(id_) for id_ in "abc"] == ["b", "b", "c"]
    who.unmerge("never merged")


@given(STEPS)
def test_chains_are_those_of_a_list_of_arrows(steps: Sequence[tuple[str, str, str]]) -> None:
    """The reference follows arrows one by one, and refuses those that lead back."""
    who, arrows = Identities(), dict[str, str]()

    def end(id_: str) -> str:
        while id_ in arrows:
            id_ = arrows[id_]
        return id_

    for entry_type, source, target in steps:
        if entry_type == "unmerge":
            who.unmerge(source)
            arrows.pop(source, None)
        else:
            who.merge(source, target)
            before = arrows.pop(source, None)
            if end(target) != source:
                arrows[source] = target
            elif before is not None:
                arrows[source] = before
    assert who.merges == arrows
    for id_ in "abcde":
        assert who.target(id_) == end(id_)
        assert set(who.aliases_of(id_)) >= {other for other in "abcde" if end(other) == id_}
    assert who.roots("abcde") == {id_: end(id_) for id_ in "abcde" if end(id_) != id_}


def test_an_erasure_counts_from_its_latest_moment() -> None:
    who = Identities()
    who.erase("a", 5.0)
    who.erase("a", 3.0)
    assert who.erased_at("a") == 5.0
    assert who.erased_at("b") < 0


def test_what_was_never_erased_was_erased_before_all_time() -> None:
    assert Identities().erased_at("a") == -math.inf


def test_merges_of_the_tables_are_there_from_the_start() -> None:
    who = Identities({"a": "b", "c": "b"})
    assert who.merges == {"a": "b", "c": "b"}
    assert who.aliases_of("b") == ("b", "a", "c")
    assert who.erasures == {}


def test_apply_returns_whether_a_merge_was_accepted() -> None:
    who = Identities()
    assert who.merge("a", "b") is True
    assert who.merge("b", "a") is False
    assert who.merge("a", "a") is False
    assert who.merge("a", "c") is True, "an earlier merge is replaced"
    assert (who.aliases_of("b"), who.aliases_of("c")) == (("b",), ("c", "a"))


def entry(entry_type: EntryType, key: str | None, at: float = 5.0, **body: Any) -> LogEntry:
    return LogEntry(entry_type, key, at, at, body)


def test_entries_of_the_log_are_followed() -> None:
    who = Identities()
    assert who.apply(entry("merge", "a", into="b")) is True
    assert who.apply(entry("merge", "b", into="a")) is False, "a circle is ignored, and the log is told"
    assert who.merges == {"a": "b"}
    assert who.apply(entry("erasure", "b", at=7.0)) is True
    assert who.erasures == {"b": 7.0}
    assert who.apply(entry("unmerge", "a")) is True
    assert who.merges == {}


@pytest.mark.parametrize(
    "other",
    [
        entry("event", "a", into="b"),
        entry("merge", None, into="b"),
        entry("merge", "a", into=3),
        entry("merge", "a"),
        entry("erasure", None),
        entry("unmerge", None),
    ],
)
def test_other_entries_change_no_identity(other: LogEntry) -> None:
    who = Identities({"a": "c"})
    assert who.apply(other) is True
    assert (who.merges, who.erasures) == ({"a": "c"}, {})


def test_aliases_of_a_long_chain_and_of_branches_are_in_order() -> None:
    who = Identities({"b": "a", "d": "b", "c": "b", "z": "y"})
    assert who.aliases_of("a") == ("a", "b", "c", "d")
    assert who.aliases_of("b") == ("b", "c", "d")
    assert who.aliases_of("nobody") == ("nobody",)
    assert who.roots(["a", "b", "c", "nobody"]) == {"b": "a", "c": "a"}
