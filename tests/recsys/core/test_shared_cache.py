from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from recsys.core.shared_cache import SharedCache


def test_the_value_used_longest_ago_is_removed_first() -> None:
    cache: SharedCache[str, int] = SharedCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    assert len(cache) == 2


def test_a_value_replaces_the_one_of_its_key() -> None:
    cache: SharedCache[str, int] = SharedCache(1)
    cache.put("a", 1)
    cache.put("a", 2)
    assert (cache.get("a"), len(cache)) == (2, 1)


def test_a_value_larger_than_the_cache_is_not_kept() -> None:
    cache: SharedCache[str, str] = SharedCache(3, size_of=len)
    cache.put("a", "abc")
    cache.put("b", "abcd")
    assert (cache.get("a"), cache.get("b")) == ("abc", None)
    nothing: SharedCache[str, str] = SharedCache(0, size_of=lambda _: 1)
    nothing.put("a", "")
    assert nothing.get("a") is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9))), st.integers(0, 12))
def test_the_sizes_together_stay_within_the_bound(puts: list[tuple[int, int]], bound: int) -> None:
    cache: SharedCache[int, int] = SharedCache(bound, size_of=lambda value: value)
    for key, value in puts:
        cache.put(key, value)
        assert cache.get(key) == (value if value <= bound else cache.get(key))
        assert sum(cache.get(key) or 0 for key in range(6)) <= bound


def test_threads_share_one() -> None:
    cache: SharedCache[int, int] = SharedCache(5)

    def use(number: int) -> bool:
        key = number % 17
        cache.put(key, key)
        return cache.get(key) in (key, None)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(2000)))
    assert len(cache) == 5
