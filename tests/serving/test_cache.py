from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.cache import ENTRY_BYTES, AnswerCache, AnswerKey


def key(item_id: str) -> AnswerKey:
    return AnswerKey("complementary", item_id, 20, 0)


def test_the_one_used_longest_ago_goes_first() -> None:
    cache = AnswerCache(2 * (ENTRY_BYTES + 10))
    cache.put(key("a"), b"x" * 10)
    cache.put(key("b"), b"x" * 10)
    assert cache.get(key("a")) is not None
    cache.put(key("c"), b"x" * 10)
    assert [name for name in "abc" if cache.get(key(name))] == ["a", "c"]


def test_no_room_holds_none() -> None:
    cache = AnswerCache(0)
    cache.put(key("a"), b"")
    assert cache.get(key("a")) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900))), st.integers(0, 5000))
def test_never_more_than_the_room(puts: list[tuple[int, int]], room: int) -> None:
    cache = AnswerCache(room)
    for number, size in puts:
        if cache.get(key(str(number))) is None:
            cache.put(key(str(number)), bytes(size))
        held = [cache.get(key(str(n))) for n in range(10)]
        assert sum(len(answer) + ENTRY_BYTES for answer in held if answer is not None) <= room
