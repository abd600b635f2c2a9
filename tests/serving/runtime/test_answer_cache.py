from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from serving.runtime.answer_cache import ENTRY_BYTES, AnswerCache, AnswerKey, CachedAnswer
from serving.runtime.impressions import ImpressionPayload


def held(size: int) -> CachedAnswer:
    """An answer that takes so many bytes beside those of every entry."""
    return CachedAnswer(
        bytes(size - size // 3), ImpressionPayload("complementary", "v", False, msgspec.Raw(bytes(size // 3)))
    )


def key(item_id: str) -> AnswerKey:
    return AnswerKey("complementary", item_id, 20, 0)


def test_the_one_used_longest_ago_goes_first() -> None:
    cache = AnswerCache(2 * (ENTRY_BYTES + 10))
    cache.put(key("a"), held(10))
    cache.put(key("b"), held(10))
    assert cache.get(key("a")) is not None
    cache.put(key("c"), held(10))
    assert [name for name in "abc" if cache.get(key(name))] == ["a", "c"]


def test_no_room_holds_none() -> None:
    cache = AnswerCache(0)
    cache.put(key("a"), held(0))
    assert cache.get(key("a")) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900))), st.integers(0, 5000))
def test_never_more_than_the_room(puts: list[tuple[int, int]], room: int) -> None:
    cache = AnswerCache(room)
    for number, size in puts:
        if cache.get(key(str(number))) is None:
            cache.put(key(str(number)), held(size))
        answers = [cache.get(key(str(n))) for n in range(10)]
        assert sum(answer.n_bytes for answer in answers if answer is not None) <= room
