from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from serving.runtime.answer_cache import ENTRY_BYTES, AnswerCache, AnswerKey, CachedAnswer
from serving.runtime.impressions import ImpressionPayload


def answer_of(size: int) -> CachedAnswer:
    """Return a response of so many bytes besides those of every entry."""
    return CachedAnswer(
        bytes(size - size // 3), ImpressionPayload("complementary", "v", False, msgspec.Raw(bytes(size // 3)))
    )


def key(item_id: str) -> AnswerKey:
    return AnswerKey("complementary", item_id, 20, 0)


def test_the_least_recently_used_is_removed_first() -> None:
    cache = AnswerCache(2 * (ENTRY_BYTES + 10))
    cache.put(key("a"), answer_of(10))
    cache.put(key("b"), answer_of(10))
    assert cache.get(key("a")) is not None
    cache.put(key("c"), answer_of(10))
    assert [name for name in "abc" if cache.get(key(name))] == ["a", "c"]


def test_a_cache_of_no_size_keeps_nothing() -> None:
    cache = AnswerCache(0)
    cache.put(key("a"), answer_of(0))
    assert cache.get(key("a")) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900))), st.integers(0, 5000))
def test_never_more_than_the_size(puts: list[tuple[int, int]], room: int) -> None:
    cache = AnswerCache(room)
    for number, size in puts:
        if cache.get(key(str(number))) is None:
            cache.put(key(str(number)), answer_of(size))
        answers = [cache.get(key(str(n))) for n in range(10)]
        assert sum(answer.n_bytes for answer in answers if answer is not None) <= room
