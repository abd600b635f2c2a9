"""Partners of items in two matrices and a list: the compiled loop beside its NumPy form, on many inputs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels import pair_candidates
from recsys.kernels.pair_candidates import NOWHERE

N_ITEMS = 7
FORMS = [
    pair_candidates.join_partners_loop,
    pair_candidates.join_partners_loop.py_func,
    pair_candidates.join_partners_numpy,
]
Partners = list[set[int]]
partners = st.lists(st.sets(st.integers(0, N_ITEMS - 1)), min_size=N_ITEMS, max_size=N_ITEMS).map(
    lambda rows: [row - {own} for own, row in enumerate(rows)]
)


def entries(rows: Partners) -> tuple[np.ndarray, np.ndarray]:
    """`indptr` and `indices` of a matrix."""
    return np.cumsum([0, *map(len, rows)]), np.array([each for row in rows for each in sorted(row)], np.int32)


@given(partners, partners, st.sets(st.integers(0, N_ITEMS - 1)), st.lists(st.integers(0, N_ITEMS - 1), unique=True))
def test_each_item_has_its_partners_and_the_list(
    first: Partners, second: Partners, listed: set[int], items: list[int]
) -> None:
    (first_starts, first_rows), (second_starts, second_rows) = entries(first), entries(second)
    shortlist = np.array(sorted(listed), np.int32)
    for form in FORMS:
        starts, rows, *places = form(
            np.array(items, np.int32), first_starts, first_rows, second_starts, second_rows, shortlist
        )
        for idx, item in enumerate(items):
            span = slice(starts[idx], starts[idx + 1])
            assert rows[span].tolist() == sorted((first[item] | second[item] | listed) - {item})
            for place, known, ends, columns in zip(
                places, (first, second), (first_starts, second_starts), (first_rows, second_rows), strict=True
            ):
                for row, at in zip(rows[span].tolist(), place[span].tolist(), strict=True):
                    assert (at != NOWHERE) is (row in known[item])
                    assert at == NOWHERE or (columns[at] == row and ends[item] <= at < ends[item + 1])
