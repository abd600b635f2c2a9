from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from recsys.live.view import LiveView
from serving.runtime.answer_cache import ENTRY_BYTES, MAX_STALE_S, AnswerCache, AnswerKey, CachedAnswer
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
    cache.put(key("a"), answer_of(10), cache.state())
    cache.put(key("b"), answer_of(10), cache.state())
    assert cache.get(key("a")) is not None
    cache.put(key("c"), answer_of(10), cache.state())
    assert [name for name in "abc" if cache.get(key(name))] == ["a", "c"]


def test_a_cache_of_no_size_keeps_nothing() -> None:
    cache = AnswerCache(0)
    cache.put(key("a"), answer_of(0), cache.state())
    assert cache.get(key("a")) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900))), st.integers(0, 5000))
def test_never_more_than_the_size(puts: list[tuple[int, int]], room: int) -> None:
    cache = AnswerCache(room)
    for number, size in puts:
        if cache.get(key(str(number))) is None:
            cache.put(key(str(number)), answer_of(size), cache.state())
        answers = [cache.get(key(str(n))) for n in range(10)]
        assert sum(answer.n_bytes for answer in answers if answer is not None) <= room


class Changes:
    """The part of a live view that a cache reads."""

    def __init__(self) -> None:
        self.catalog_version = self.position = self.seq = 0
        self.changed: dict[int, int] = {}

    def change(self, row: int) -> None:
        self.catalog_version += 1
        self.position += 1
        self.changed[row] = self.position

    def has_changed(self, rows: Iterable[int], position: int) -> bool:
        return any(self.changed.get(row, 0) > position for row in rows)


def test_an_answer_that_names_a_changed_item_is_never_returned() -> None:
    live, now = Changes(), [0.0]
    cache = AnswerCache(100_000, cast(LiveView, live), lambda: now[0])
    live.change(9)
    assert cache.get(key("a")) is None
    for name, rows in (("a", (1, 2)), ("b", (3,))):
        cache.put(key(name), answer_of(10)._replace(rows=rows), cache.state())
    live.change(7)
    assert cache.get(key("b")) is None, "the first change counts at once"
    cache.put(key("b"), answer_of(10)._replace(rows=(3,)), cache.state())
    for second in range(1, 20):
        now[0] = second / 20
        live.change(100 + second)
        assert cache.get(key("b")) is not None
    live.change(3)
    assert cache.get(key("b")) is None
    cache.put(key("b"), answer_of(10)._replace(rows=(3,)), cache.state())
    live.change(8)
    assert cache.get(key("b")) is not None
    now[0] = MAX_STALE_S
    assert cache.get(key("b")) is None, "no answer misses a change for longer"


def test_a_list_of_what_has_changed_is_made_again_after_any_change() -> None:
    live, now = Changes(), [0.0]
    cache = AnswerCache(100_000, cast(LiveView, live), lambda: now[0])
    live.change(9)
    assert cache.get(key("a")) is None
    moment = answer_of(10)._replace(rows=(3,), follows_catalog=True)
    for change in range(100, 120):
        cache.put(key("a"), moment, cache.state())
        cache.put(key("b"), answer_of(10)._replace(rows=(3,)), cache.state())
        assert cache.get(key("a")) is not None
        live.change(change)
        assert cache.get(key("a")) is None
