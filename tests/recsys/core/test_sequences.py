from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.sequences import ExtendedSequence

TEXTS = st.lists(st.text(max_size=3), max_size=6)


@given(base=TEXTS, more=TEXTS, later=TEXTS, data=st.data())
def test_it_equals_a_tuple_whatever_is_added_later(
    base: list[str], more: list[str], later: list[str], data: st.DataObject
) -> None:
    n = len(base) + len(more)
    replaced = data.draw(st.dictionaries(st.integers(0, max(n - 1, 0)), st.text(max_size=2), max_size=3)) if n else {}
    expected = tuple(replaced.get(place, text) for place, text in enumerate([*base, *more]))
    texts = ExtendedSequence.texts(tuple(base), more, n, replaced)
    more += later
    assert tuple(texts) == expected == texts
    assert len(texts) == n
    assert [texts[place] for place in range(n)] == list(expected)
    assert [texts[place - n] for place in range(n)] == list(expected)
    assert texts[1:3] == expected[1:3]
    assert hash(texts) == hash(expected)


def test_values_that_replace_others_may_come_later() -> None:
    replaced: dict[int, str] = {}
    texts = ExtendedSequence.texts(("a", "b"), [], 2, replaced)
    replaced[1] = "c"
    assert tuple(texts) == ("a", "c")
    assert tuple(ExtendedSequence.texts(("a", "b"), [], 2)) == ("a", "b")


def test_a_position_outside_is_an_index_error() -> None:
    texts = ExtendedSequence.texts(("a",), ["b", "c"], 2)
    for place in (2, -3):
        with pytest.raises(IndexError):
            texts[place]
    assert texts != 3
