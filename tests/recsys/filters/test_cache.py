from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.core.errors import FilterError
from recsys.filters import FilterCache, cache, compile_filter
from recsys.filters.cache import ENTRY_BYTES

ITEMS = pl.DataFrame(
    {"price": [1.0, 2.0, 3.0], "tags": [["a"], ["b"], []]}, schema_overrides={"tags": pl.List(pl.String)}
)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts of the filters that were compiled and evaluated, in order."""
    done: list[str] = []

    def counted(text: str, schema: Any) -> Any:
        done.append(f"compile {text}")
        return compile_filter(text, schema)

    evaluate = cache.Filter.evaluate

    def evaluated(self: Any, items: pl.DataFrame, values: Any) -> Any:
        done.append(f"evaluate {self.text}")
        return evaluate(self, items, values)

    monkeypatch.setattr(cache, "compile_filter", counted)
    monkeypatch.setattr(cache.Filter, "evaluate", evaluated)
    return done


def test_the_same_filter_is_compiled_and_evaluated_once(work: list[str]) -> None:
    held = FilterCache()
    first = held.mask("price < 3", ITEMS, version=1)
    first[:] = False
    assert held.mask("price < 3", ITEMS, version=1, user={"tags": ["b"]}).tolist() == [True, True, False]
    assert work == ["compile price < 3", "evaluate price < 3"]


def test_a_changed_table_is_evaluated_anew_and_compiled_anew_where_columns_changed(work: list[str]) -> None:
    held = FilterCache()
    held.mask("price < 3", ITEMS, version=1)
    changed = ITEMS.with_columns(pl.col("price") + 1)
    assert held.mask("price < 3", changed, version=2).tolist() == [True, False, False]
    assert len(work) == 3
    wider = changed.with_columns(stock=1)
    assert held.mask("price < 3", wider, version=3).tolist() == [True, False, False]
    assert work[3:] == ["compile price < 3", "evaluate price < 3"]
    with pytest.raises(FilterError, match="unknown column"):
        held.mask("price < 3", wider.drop("price"), version=4)


def test_users_share_a_mask_if_the_filter_reads_the_same_of_them(work: list[str]) -> None:
    held = FilterCache()
    text = "has_any(tags, user.tags)"
    for tags, expected in ((["a"], [True, False, False]), (["b"], [False, True, False]), (None, [False] * 3)):
        for _ in range(2):
            assert held.mask(text, ITEMS, 1, {"tags": tags, "name": object()}).tolist() == expected
    assert work.count(f"evaluate {text}") == 3
    assert held.mask(text, ITEMS, 1).tolist() == [False] * 3
    assert work.count(f"evaluate {text}") == 3


def test_true_and_one_are_different_values() -> None:
    held = FilterCache()
    assert held.mask("price = user.x", ITEMS, 1, {"x": 1}).tolist() == [True, False, False]
    with pytest.raises(FilterError, match="true or false"):
        held.mask("price = user.x", ITEMS, 1, {"x": True})


def test_the_mask_used_longest_ago_is_removed_first(work: list[str]) -> None:
    texts = [f"price < {n}" for n in range(3)]
    held = FilterCache(max_bytes=2 * (ENTRY_BYTES + 10))
    for text in (texts[0], texts[1], texts[0], texts[2], texts[0], texts[1]):
        held.mask(text, ITEMS, 1)
    assert [line for line in work if line.startswith("evaluate")] == [
        f"evaluate {text}" for text in (texts[0], texts[1], texts[2], texts[1])
    ]


def test_compiled_filters_are_bounded(work: list[str]) -> None:
    held = FilterCache(max_filters=2)
    for text in ("price < 1", "price < 2", "price < 3", "price < 1"):
        held.compiled(text, ITEMS.schema)
    assert len(work) == 4


def test_a_cache_of_size_zero_keeps_nothing() -> None:
    held = FilterCache(max_bytes=0)
    for _ in range(2):
        assert held.mask("price < 3", ITEMS, 1).tolist() == [True, True, False]


def test_threads_may_share_one() -> None:
    items = pl.DataFrame({"price": np.arange(1000.0)})
    held = FilterCache(max_bytes=5 * ENTRY_BYTES, max_filters=5)

    def ask(number: int) -> bool:
        limit = number % 17
        return int(held.mask(f"price < {limit}", items, 1).sum()) == limit

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(2000)))
