"""Sums over lists, quotas and the table of scores: the compiled loops beside their NumPy forms, on many inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.kernels import candidates
from recsys.kernels.candidates import choose_top, score_table, sum_lists
from recsys.kernels.scratch import NONE, positions_table

N_ITEMS = 12
i4, f4 = np.int32, np.float32
row = st.integers(-1, N_ITEMS - 1)
value = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0])  # sums of these are exact in any order


def forms(name: str) -> list[Callable[..., Any]]:
    """The loop as it is compiled, the same loop as Python runs it, and the NumPy form."""
    loop = getattr(candidates, f"{name}_loop")
    return [loop, loop.py_func, getattr(candidates, f"{name}_numpy")]


@st.composite
def found(draw: st.DrawFn) -> tuple[npt.NDArray[i4], npt.NDArray[f4], npt.NDArray[np.int64]]:
    """What some sources found: distinct rows within each, and where each begins."""
    sources = draw(st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True), min_size=1, max_size=4))
    rows = np.array([each for source in sources for each in source], i4)
    scores = draw(st.lists(value.filter(bool), min_size=len(rows), max_size=len(rows)))
    starts = np.cumsum([0, *map(len, sources)])
    return rows, np.array(scores, f4), starts


@given(st.integers(0, 4), st.integers(1, 5), st.data())
def test_lists_are_summed_by_row(n_lists: int, width: int, data: st.DataObject) -> None:
    size = n_lists * width
    rows = np.array(data.draw(st.lists(row, min_size=size, max_size=size)), i4).reshape(n_lists, width)
    signed = st.tuples(value, st.sampled_from([-1, 1])).map(lambda pair: pair[0] * pair[1])
    score = np.array(data.draw(st.lists(signed, min_size=size, max_size=size)), f4).reshape(n_lists, width)
    factor = np.array(data.draw(st.lists(value, min_size=n_lists, max_size=n_lists)), f4)
    mask = data.draw(st.none() | st.lists(st.booleans(), min_size=N_ITEMS, max_size=N_ITEMS))
    allowed = np.array([] if mask is None else mask, np.bool_)
    expected: dict[int, float] = {}
    product = score * factor[:, None]
    for item, part in zip(rows.ravel().tolist(), product.ravel().tolist(), strict=True):
        if item >= 0 and part > 0 and (mask is None or mask[item]):
            expected[item] = expected.get(item, 0) + part
    for loop in forms("sum_lists"):
        summed = loop(rows, score, factor, allowed, positions_table(N_ITEMS))
        assert dict(zip(*(each.tolist() for each in summed), strict=True)) == expected
        assert (positions_table(N_ITEMS) == NONE).all()


@given(found(), st.lists(st.integers(0, N_ITEMS - 1), unique=True), st.integers(0, 5), st.integers(-1, 3))
def test_each_source_gives_its_best_new_rows(
    found: tuple[Any, Any, Any], owned: list[int], quota: int, repeat: int
) -> None:
    rows, score, starts = found
    own, quotas = np.array(sorted(owned), i4), np.full(len(starts) - 1, quota, np.int64)
    expected = set()
    for source in range(len(quotas)):
        of_source = range(starts[source], starts[source + 1])
        eligible = [n for n in of_source if len(of_source) <= quota or source == repeat or rows[n] not in owned]
        expected |= {int(rows[n]) for n in sorted(eligible, key=lambda n: (-score[n], rows[n]))[:quota]}
    for loop in forms("choose_top"):
        chosen = loop(rows, score, starts, quotas, repeat, own, positions_table(N_ITEMS))
        assert chosen.tolist() == sorted(expected)
        assert chosen.dtype == i4
        assert (positions_table(N_ITEMS) == NONE).all()


@given(found(), st.lists(st.integers(0, N_ITEMS - 1), unique=True))
def test_scores_are_shares_of_the_best(found: tuple[Any, Any, Any], chosen: list[int]) -> None:
    rows, score, starts = found
    for loop in forms("score_table"):
        table, best = loop(rows, score, starts, np.array(chosen, i4), positions_table(N_ITEMS))
        assert table.shape == (len(starts) - 1, len(chosen))
        for source in range(len(best)):
            of_source = slice(starts[source], starts[source + 1])
            scores = dict(zip(rows[of_source].tolist(), score[of_source].tolist(), strict=True))
            assert best[source] == max(scores.values(), default=0)
            shares = [f4(scores.get(item, 0)) / f4(best[source] or 1) for item in chosen]
            assert table[source].tolist() == [float(share) for share in shares]
        assert (positions_table(N_ITEMS) == NONE).all()


@pytest.mark.parametrize("n_rows", [200, 5000])
def test_many_rows_are_chosen_as_by_sorting(n_rows: int) -> None:
    """Heaps of a real size, with equal scores."""
    rng = np.random.default_rng(n_rows)
    rows = np.concatenate([rng.permutation(n_rows)[: n_rows // 2] for _ in range(3)]).astype(i4)
    score = rng.integers(1, 40, len(rows)).astype(f4)
    starts, quota = np.arange(4, dtype=np.int64) * (n_rows // 2), np.array([60, 80, n_rows], np.int64)
    owned = np.sort(rng.permutation(n_rows)[:50]).astype(i4)
    chosen = choose_top(rows, score, starts, quota, 0, owned, n_rows)
    np.testing.assert_array_equal(
        chosen, candidates.choose_top_numpy(rows, score, starts, quota, 0, owned, np.empty(0, i4))
    )


def test_sums_and_tables_of_nothing_are_empty() -> None:
    none, nothing = np.empty(0, i4), np.empty(0, f4)
    assert [len(each) for each in sum_lists(none.reshape(0, 3), nothing.reshape(0, 3), nothing, None, 5)] == [0, 0]
    table, best = score_table(none, nothing, np.zeros(3, np.int64), none, 5)
    assert table.shape == (2, 0)
    assert best.tolist() == [0, 0]


@given(st.integers(1, 5), st.integers(1, 6), st.data())
def test_weights_of_either_sign_are_summed_by_neighbor(n: int, width: int, data: st.DataObject) -> None:
    neighbor = np.array(data.draw(st.lists(st.integers(-1, n - 1), min_size=n * width, max_size=n * width)), np.int16)
    signed = st.tuples(value, st.sampled_from([-1, 1])).map(lambda pair: pair[0] * pair[1])
    weight = np.array(data.draw(st.lists(signed, min_size=n * width, max_size=n * width)), f4)
    weight[neighbor < 0] = 0
    neighbor, weight = neighbor.reshape(n, width), weight.reshape(n, width)
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1), unique=True)), i4)
    factor = np.array(data.draw(st.lists(value, min_size=len(rows), max_size=len(rows))), f4)
    total = np.zeros(n)
    for row, by in zip(rows.tolist(), factor.tolist(), strict=True):
        for other, each in zip(neighbor[row].tolist(), weight[row].tolist(), strict=True):
            total[other] += each * by
    sums = candidates.sum_weights
    for loop in (sums, sums.py_func, candidates.sum_weights_numpy):  # type: ignore[attr-defined]
        found, summed = loop(neighbor, weight, rows, factor)
        assert found.tolist() == np.flatnonzero(total > 0).tolist()
        assert summed.tolist() == total[total > 0].tolist()
