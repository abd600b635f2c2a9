from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from recsys.eventlog.identities import Identities, user_key

IDS = st.sampled_from("abcde")
STEPS = st.lists(st.tuples(st.sampled_from(["merge", "unmerge"]), IDS, IDS), max_size=14)


def test_a_shopper_is_the_user_else_the_visitor_else_the_session() -> None:
    assert user_key("u", "v", "s") == "u"
    assert user_key(None, "v", "s") == "v"
    assert user_key(None, None, "s") not in ("s", None)
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

    for kind, source, target in steps:
        if kind == "unmerge":
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
    assert who.ends("abcde") == {id_: end(id_) for id_ in "abcde" if end(id_) != id_}


def test_an_erasure_counts_from_its_latest_moment() -> None:
    who = Identities()
    who.erase("a", 5.0)
    who.erase("a", 3.0)
    assert who.erased_at("a") == 5.0
    assert who.erased_at("b") < 0
