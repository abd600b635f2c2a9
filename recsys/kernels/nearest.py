"""The nearest vectors to a query: those that may be, found by products of small integers, and their inner products."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled, part

BLOCK: Final = 256
"""Vectors between two looks at the bound."""

Numbers = npt.NDArray[np.float32]


def scan_codes_numpy(
    code: npt.NDArray[np.int8],
    scale: Numbers,
    error: Numbers,
    length: Numbers,
    row: npt.NDArray[np.int32],
    query: npt.NDArray[np.int16],
    query_scale: float,
    query_error: float,
    query_length: float,
    k: int,
    allowed: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int32], bool]:
    """Return the positions of the vectors that may be among the k nearest, ascending, and whether no other may be.

    With codes `ĉ` and `q̂` of a vector `v` and a query `q`, the product `q·v` differs from `ĉ·q̂` times both scales by
    at most `|q|·|v − v̂| + |q − q̂|·|v|`. A vector whose upper bound is below k lower bounds is not among the k nearest.
    As `q·v <= |q|·|v|` and the longest vectors come first, the scan ends where no vector is long enough.

    Args:
        code: int8 (n, n_factors), by descending length of the vectors.
        scale: float32 (n,), value of a unit of each code.
        error: float32 (n,), at least `|v − v̂|`.
        length: float32 (n + 1,), at least `|v|`; the last one is that of all vectors without a code.
        row: int32 (n,), place of each vector in `allowed`.
        query: int16 (n_factors,).
        query_scale: value of a unit of the query.
        query_error: at least `|q − q̂|`.
        query_length: at least `|q|`.
        k: >= 1.
        allowed: bool, the only vectors that count; empty for all.
    """
    threshold, start, n = -np.inf, 0, len(code)
    kept, lower, upper = [np.empty(0, np.int64)], np.empty(0), np.empty(0)
    while start < n and query_length * length[start] >= threshold:
        found = np.arange(start, min(start + BLOCK, n))
        if len(allowed):
            found = found[allowed[row[found]]]
        product = (code[found].astype(np.float64) @ query.astype(np.float64)) * (scale[found] * query_scale)
        margin = query_length * error[found] + query_error * length[found]
        kept.append(found)
        lower, upper = np.append(lower, product - margin), np.append(upper, product + margin)
        if len(lower) >= k:
            threshold = float(np.partition(lower, -k)[-k])
        start += BLOCK
    return np.concatenate(kept)[upper >= threshold].astype(np.int32), bool(query_length * length[n] < threshold)


@part
def _replace_least(heap: Any, value: Any) -> None:
    """Replace the first entry of a heap, its least, by a larger value."""
    idx, n = 0, len(heap)
    while True:
        child = 2 * idx + 1
        if child >= n:
            break
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[idx] = heap[child]
        idx = child
    heap[idx] = value


@compiled("i1:: f4: f4: f4: i4: i2: f8 f8 f8 i8 bool:", otherwise=scan_codes_numpy)
def scan_codes(
    code: Any, scale: Any, error: Any, length: Any, row: Any, query: Any, query_scale: Any, query_error: Any,
    query_length: Any, k: Any, allowed: Any,
) -> Any:  # fmt: skip
    """Compute `scan_codes_numpy` with a heap of the k largest lower bounds."""
    n, n_factors = code.shape
    is_filtered, n_kept = len(allowed) > 0, 0
    kept, upper = np.empty(n, np.int32), np.empty(n)
    heap = np.full(k, -np.inf)
    for idx in range(n):
        if idx % BLOCK == 0 and query_length * length[idx] < heap[0]:
            break
        if is_filtered and not allowed[row[idx]]:
            continue
        line, total = code[idx], np.int32(0)
        for column in range(n_factors):
            total = np.int32(total + np.int32(line[column]) * np.int32(query[column]))
        product = total * (scale[idx] * query_scale)
        margin = query_length * error[idx] + query_error * length[idx]
        if product + margin < heap[0]:
            continue
        kept[n_kept], upper[n_kept] = idx, product + margin
        n_kept += 1
        if product - margin > heap[0]:
            _replace_least(heap, product - margin)
    n_found = 0
    for idx in range(n_kept):
        if upper[idx] >= heap[0]:
            kept[n_found] = kept[idx]
            n_found += 1
    return kept[:n_found].copy(), query_length * length[n] < heap[0]


def half_products_numpy(halves: npt.NDArray[np.int16], rows: npt.NDArray[np.int32], query: Numbers) -> Numbers:
    """Return the inner products of a query and some vectors in half precision, float32 (n,).

    Args:
        halves: int16 (n_items, n_factors), the bits of the numbers.
        rows: int32 (n,).
        query: float32 (n_factors,).
    """
    products: Numbers = halves[rows].view(np.float16).astype(np.float32) @ query
    return products


@compiled("i2:: i4: f4:", otherwise=half_products_numpy, reorders=True)
def half_products(halves: Any, rows: Any, query: Any) -> Any:
    """Compute `half_products_numpy`; a half has the bits of a float, 13 places lower and with 112 less as exponent."""
    products = np.empty(len(rows), np.float32)
    for idx in range(len(rows)):
        line, total = halves[rows[idx]], np.float32(0)
        for column in range(len(query)):
            bits = np.int32(line[column])
            size = np.int32((bits & np.int32(0x7FFF)) << np.int32(13)).view(np.float32) * np.float32(2.0**112)
            total += (-size if bits < 0 else size) * query[column]
        products[idx] = total
    return products
