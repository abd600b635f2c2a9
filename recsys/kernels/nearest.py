"""The nearest vectors to a query: those that may be, found by products of small integers, and their inner products."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled, part, reordered_part

BLOCK: Final = 256
"""Vectors that share the unit of their codes, the bounds of their errors and lengths, and a look at the bound."""

QUERY_UNITS: Final = 8191
"""Largest number of a query's code, int16; sums of products stay within 32 bits for up to 2,000 factors."""

TINY: Final = 1e-38
"""Least unit of a code."""

Numbers = npt.NDArray[np.float32]


def scan_codes_numpy(
    code: npt.NDArray[np.int8],
    scale: Numbers,
    error: Numbers,
    length: Numbers,
    row: npt.NDArray[np.int32],
    query: Numbers,
    k: int,
    allowed: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int32], bool]:
    """Return the rows of the vectors that may be among the k nearest, and whether no other may be.

    With codes `ĉ` and `q̂` of a vector `v` and a query `q`, the product `q·v` differs from `ĉ·q̂` times both scales by
    at most `|q|·|v − v̂| + |q − q̂|·|v|`. A vector whose upper bound is below k lower bounds is not among the k nearest.
    As `q·v <= |q|·|v|` and the longest vectors come first, the scan ends where no vector is long enough.

    Args:
        code: int8 (n, n_factors), by descending length of the vectors.
        scale: float32 (n_blocks,), value of a unit of the codes of each `BLOCK` vectors.
        error: float32 (n_blocks,), at least `|v − v̂|` of each of them.
        length: float32 (n_blocks + 1,), at least `|v|`; the last one is that of all vectors without a code.
        row: int32 (n,), row of each vector, and its place in `allowed`.
        query: float32 (n_factors,).
        k: >= 1.
        allowed: bool, the only rows that count; empty for all.
    """
    exact = query.astype(np.float64)
    unit = max(float(np.abs(exact).max(initial=0)), TINY) / QUERY_UNITS
    query_code = np.rint(exact / unit)
    query_length, query_error = np.sqrt(exact @ exact), np.sqrt(np.square(exact - query_code * unit).sum())
    threshold, kept, lower, upper = -np.inf, [np.empty(0, np.int64)], np.empty(0), np.empty(0)
    for block in range(len(scale)):
        if query_length * length[block] < threshold:
            break
        found = np.arange(block * BLOCK, min((block + 1) * BLOCK, len(code)))
        if len(allowed):
            found = found[allowed[row[found]]]
        product = (code[found].astype(np.float64) @ query_code) * (scale[block] * unit)
        margin = query_length * error[block] + query_error * length[block]
        kept.append(found)
        lower, upper = np.append(lower, product - margin), np.append(upper, product + margin)
        if len(lower) >= k:
            threshold = float(np.partition(lower, -k)[-k])
    return row[np.concatenate(kept)[upper >= threshold]], bool(query_length * length[len(scale)] < threshold)


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


@part
def _coded(query: Any) -> Any:
    """Return the code of a query, int16, the value of its unit, and the lengths of the query and of its error."""
    n, largest, squares, errors = len(query), 0.0, 0.0, 0.0
    for column in range(n):
        largest = max(largest, abs(np.float64(query[column])))
    unit = max(largest, TINY) / QUERY_UNITS
    code = np.empty(n, np.int16)
    for column in range(n):
        value = np.float64(query[column])
        code[column] = np.int16(np.rint(value / unit))
        squares += value * value
        errors += (value - code[column] * unit) ** 2
    return code, unit, np.sqrt(squares), np.sqrt(errors)


@compiled("i1:: f4: f4: f4: i4: f4: i8 bool:", otherwise=scan_codes_numpy)
def scan_codes(code: Any, scale: Any, error: Any, length: Any, row: Any, query: Any, k: Any, allowed: Any) -> Any:
    """Compute `scan_codes_numpy` with a heap of the k largest lower bounds, which integers are compared with."""
    n, n_factors = code.shape
    query_code, query_unit, query_length, query_error = _coded(query)
    is_filtered, n_kept = len(allowed) > 0, 0
    kept, upper = np.empty(n, np.int32), np.empty(n)
    heap = np.full(k, -np.inf)
    for block in range(len(scale)):
        if query_length * length[block] < heap[0]:
            break
        unit = scale[block] * query_unit
        margin = query_length * error[block] + query_error * length[block]
        least = (heap[0] - margin) / unit
        for idx in range(block * BLOCK, min((block + 1) * BLOCK, n)):
            if is_filtered and not allowed[row[idx]]:
                continue
            line, total = code[idx], np.int32(0)
            for column in range(n_factors):
                total = np.int32(total + np.int32(line[column]) * np.int32(query_code[column]))
            if total < least:
                continue
            product = total * unit
            kept[n_kept], upper[n_kept] = row[idx], product + margin
            n_kept += 1
            if product - margin > heap[0]:
                _replace_least(heap, product - margin)
                least = (heap[0] - margin) / unit
    n_found = 0
    for idx in range(n_kept):
        if upper[idx] >= heap[0]:
            kept[n_found] = kept[idx]
            n_found += 1
    return kept[:n_found].copy(), query_length * length[len(scale)] < heap[0]


def best_products_numpy(
    halves: npt.NDArray[np.int16], rows: npt.NDArray[np.int32], query: Numbers, k: int
) -> tuple[Numbers, npt.NDArray[np.int32]]:
    """Return the k largest inner products of a query and some vectors in half precision, and their rows, best first.

    Args:
        halves: int16 (n_items, n_factors), the bits of the numbers.
        rows: int32 (n,), distinct; the first of equal products is that of the lowest row.
        query: float32 (n_factors,).
        k: >= 0.

    Returns:
        float32 and int32, both (at most k,).
    """
    products: Numbers = halves[rows].view(np.float16).astype(np.float32) @ query
    best = np.lexsort((rows, -products))[:k]
    return products[best], rows[best]


@reordered_part
def _half_product(halves: Any, row: Any, query: Any) -> Any:
    """Multiply a vector and a query; a half has the bits of a float, 13 places lower and with 112 less as exponent."""
    total = np.float32(0)
    for column in range(len(query)):
        bits = np.int32(halves[row, column])
        size = np.int32((bits & np.int32(0x7FFF)) << np.int32(13)).view(np.float32) * np.float32(2.0**112)
        total += (-size if bits < 0 else size) * query[column]
    return total


@part
def _ascending(bits: Any) -> Any:
    """Turn the bits of a float into an integer of the same order, or such an integer into the bits."""
    return bits if bits >= 0 else np.int32(bits ^ np.int32(0x7FFFFFFF))


@compiled("i2:: i4: f4: i8", otherwise=best_products_numpy)
def best_products(halves: Any, rows: Any, query: Any, k: Any) -> Any:
    """Compute `best_products_numpy` by sorting integers: the product, whose bits are made to descend, and the row."""
    n, n_best = len(rows), min(k, len(rows))
    products, keys = np.empty(n, np.float32), np.empty(n, np.int64)
    for idx in range(n):
        products[idx] = _half_product(halves, rows[idx], query) + np.float32(0)  # a negative zero is below zero
    bits = products.view(np.int32)
    for idx in range(n):
        keys[idx] = (-np.int64(_ascending(bits[idx])) << 32) | np.int64(rows[idx])
    keys.sort()
    best, found = np.empty(n_best, np.int32), np.empty(n_best, np.int32)
    for idx in range(n_best):
        best[idx], found[idx] = _ascending(np.int32(-(keys[idx] >> 32))), keys[idx] & 0xFFFFFFFF
    return best.view(np.float32), found
