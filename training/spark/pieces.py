"""Counts in pieces that Spark adds: named arrays and matrices, in blocks of rows."""

from __future__ import annotations

import typing
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from scipy import sparse

from recsys.core.sums import add

if TYPE_CHECKING:
    from pyspark import RDD

BLOCK_BYTES: Final = 8 * 2**20
"""Bytes of a block of rows of an array, about."""

BLOCK_ROWS: Final = 8192
"""Rows of a block of a sparse matrix."""

T = TypeVar("T")
Key = tuple[str, int]


def sum_of(records: RDD[Any], count: Callable[[Any], T], kind: type[T], n_blocks: int = 1) -> T:
    """Count every record, and add what was counted.

    Each task adds the counts of its records, and hands them on in blocks of rows, which are added by all executors. The
    driver receives one sum of each block. There is one task per processor, as each hands on sums of the same size.

    Args:
        records: any.
        count: counts one of them.
        kind: what it returns: an array, or a dataclass of arrays, sparse matrices, numbers, and dataclasses of these.
        n_blocks: blocks of rows that the largest matrix has: results are read in as many pieces, as one is limited.
    """
    n_tasks = records.context.defaultParallelism
    n_reducers = max(n_blocks, n_tasks)
    pieces = records.coalesce(n_tasks).mapPartitions(lambda part: split_sum(part, count))
    sums = pieces.partitionBy(n_reducers).mapPartitions(added)
    return join(kind, sums.toLocalIterator(prefetchPartitions=True))


def added(pieces: Iterable[tuple[Key, Any]]) -> Iterator[tuple[Key, Any]]:
    """Yield the sum of the blocks of each name and number.

    `reduceByKey` would add them as well, but it compresses what it holds and writes it to disk as soon as a worker has
    more than 512 MB, in both halves of the shuffle; a sum of blocks is as small as one of them.
    """
    found: dict[Key, Any] = {}
    for key, value in pieces:
        found[key] = found[key] + value if key in found else value
    yield from found.items()


def split_sum(records: Iterable[Any], count: Callable[[Any], T]) -> Iterator[tuple[Key, Any]]:
    """Yield the sum of the counts of some records in blocks; nothing without records."""
    total: T | None = None
    for record in records:
        found = count(record)
        total = found if total is None else add(total, found)
    if total is not None:
        yield from split(total)


def split(value: Any, name: str = "") -> Iterator[tuple[Key, Any]]:
    """Yield the arrays, matrices and numbers of a value in blocks of rows, by name and number of the block."""
    if is_dataclass(value):
        for each in fields(value):
            yield from split(getattr(value, each.name), f"{name}.{each.name}")
    elif sparse.issparse(value):
        for number, start in enumerate(range(0, max(value.shape[0], 1), BLOCK_ROWS)):
            yield (name, number), value[start : start + BLOCK_ROWS]
    elif isinstance(value, np.ndarray) and value.ndim:
        n_rows = max(1, BLOCK_BYTES // max(value[:1].nbytes, 1))
        for number, start in enumerate(range(0, max(len(value), 1), n_rows)):
            yield (name, number), value[start : start + n_rows]
    else:
        yield (name, 0), value


def join(kind: type[T], pieces: Iterable[tuple[Key, Any]]) -> T:
    """Build a value from its blocks, in any order; the inverse of `split`."""
    blocks: dict[str, dict[int, Any]] = defaultdict(dict)
    for (name, number), value in pieces:
        blocks[name][number] = value
    built: T = _build(kind, "", blocks)
    return built


def _build(kind: Any, name: str, blocks: dict[str, dict[int, Any]]) -> Any:
    if is_dataclass(kind):
        build: Any = kind
        hints = typing.get_type_hints(kind)
        values = {each.name: _build(hints[each.name], f"{name}.{each.name}", blocks) for each in fields(kind)}
        return build(**values)
    parts = [value for _, value in sorted(blocks.pop(name).items())]
    if len(parts) == 1:
        return parts[0]
    return sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)
