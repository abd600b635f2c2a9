"""The search for what lists of items have in common, so that it is stored once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import NO_ITEM
from recsys.models.packed_lists import PackedLists, counts_of

TOLERANCE: Final = 1e-6
"""Relative difference up to which a score is that of the shared list times the scale: the rounding of float32."""

FEWEST_SHARED: Final = 3
"""A list that shares fewer entries is stored whole: the reference takes their place."""

BLOCK_ROWS: Final = 4096
"""Lists that are compared at a time; bounds the memory."""

Rows = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Lists:
    """The lists as tables.

    Attributes:
        item_idx: int32 (n_items, width), -1 past the end.
        score: float32 (n_items, width), 0 past the end.
        n_together: int32 (n_items, width).
        is_sharable: bool (n_items, width), entries that say nothing of the item itself, but of its group.
    """

    item_idx: Rows
    score: npt.NDArray[np.float32]
    n_together: Rows
    is_sharable: Mask


def pack_lists(
    item_idx: Rows, score: npt.NDArray[np.float32], n_together: Rows, group: npt.NDArray[np.integer]
) -> PackedLists:
    """Pack lists so that unpacking gives the same items in the same order, and scores that differ by rounding only.

    Entries with `n_together` 0 may be shared. The shared list of a group consists of those of one item, which has the
    most of them. A list that is not the same after unpacking is stored whole.

    Args:
        item_idx: int32 (n_items, width), distinct in each list, -1 past its end.
        score: float32 (n_items, width), descending, > 0, 0 past the end.
        n_together: int32 (n_items, width), see `RelatedItems`.
        group: integer (n_items,), items whose lists may be alike; -1 for none, as where a list is not that of the item
            of its number.
    """
    lists = _Lists(item_idx, score, n_together, (n_together == 0) & (item_idx >= 0))
    model = _models(lists.is_sharable.sum(axis=1), group)
    while True:
        packed = _pack(lists, model)
        changed = [rows[_differs(packed, lists, rows)] for rows in _blocks(len(item_idx))]
        if not any(map(len, changed)):
            return packed
        model[np.concatenate(changed)] = NO_ITEM


def _blocks(n_items: int) -> list[npt.NDArray[np.int64]]:
    return np.split(np.arange(n_items), range(BLOCK_ROWS, n_items, BLOCK_ROWS))


def _models(n_sharable: npt.NDArray[np.int64], group: npt.NDArray[np.integer]) -> Rows:
    """Return the item whose entries each item's list may share: that of its group with the most; -1 for none."""
    order = np.lexsort((-n_sharable, group))
    first = order[np.flatnonzero(np.diff(group[order], prepend=NO_ITEM - 1))]
    first = first[(group[first] >= 0) & (n_sharable[first] > 0)]
    of_group = np.full(int(group.max(initial=NO_ITEM)) + 2, NO_ITEM, np.int32)
    of_group[group[first]] = first
    return of_group[group]


def _pack(lists: _Lists, model: Rows) -> PackedLists:
    n_items, width = lists.item_idx.shape
    size = (lists.item_idx >= 0).sum(axis=1).astype(np.int32)
    models = np.unique(model[model >= 0])
    place = np.full(n_items + 1, NO_ITEM, np.int32)
    place[models] = n_items + np.arange(len(models))
    parts = [_pack_block(lists, model[rows], size[rows], rows) for rows in _blocks(n_items)]
    lent = lists.is_sharable[models]
    parts.append(_Block.of(lists, models, lent, np.zeros(len(models), np.bool_), np.ones(len(models), np.float32)))
    n_together = np.concatenate([part.n_together for part in parts])
    shares = np.concatenate([part.shares for part in parts])
    return PackedLists(
        starts=np.concatenate([[0], *(part.n_own for part in parts)]).cumsum(),
        item_idx=np.concatenate([part.item_idx for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        n_together=_fewest_bytes(n_together),
        shared=np.where(shares, np.append(place[model], np.full(len(models), NO_ITEM, np.int32)), np.int32(NO_ITEM)),
        scale=np.concatenate([part.scale for part in parts]),
        size=np.append(size, lent.sum(axis=1).astype(np.int32)),
        n_items=n_items,
        width=width,
    )


def _fewest_bytes(n_together: Rows) -> npt.NDArray[np.signedinteger]:
    if not n_together.any():
        return np.empty(0, np.int16)
    return n_together.astype(np.int16 if n_together.max() <= np.iinfo(np.int16).max else np.int32)


@dataclass(frozen=True)
class _Block:
    """Some packed lists.

    Attributes:
        n_own: int64 (n,), own entries of each list.
        item_idx, score, n_together: of the own entries.
        shares: bool (n,), whether a list shares that of its group.
        scale: float32 (n,).
    """

    n_own: npt.NDArray[np.int64]
    item_idx: Rows
    score: npt.NDArray[np.float32]
    n_together: Rows
    shares: Mask
    scale: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls, lists: _Lists, rows: npt.NDArray[np.integer], is_own: Mask, shares: Mask, scale: npt.NDArray[np.float32]
    ) -> _Block:
        """Take entries of some lists."""
        item_idx, score, n_together = lists.item_idx[rows], lists.score[rows], lists.n_together[rows]
        return cls(is_own.sum(axis=1), item_idx[is_own], score[is_own], n_together[is_own], shares, scale)


def _pack_block(lists: _Lists, model: Rows, size: Rows, rows: npt.NDArray[np.int64]) -> _Block:
    """Pack some lists: entries that those of the model do not give, and zeros that hide entries of the model."""
    if (model < 0).all():
        return _Block.of(lists, rows, lists.item_idx[rows] >= 0, model >= 0, np.ones(len(rows), np.float32))
    lent_idx = np.where(lists.is_sharable[model], lists.item_idx[model], NO_ITEM)
    lent_score, mine, score = lists.score[model], lists.item_idx[rows], lists.score[rows]
    column = _find(lent_idx, mine)
    other = np.where(column >= 0, np.take_along_axis(lent_score, np.maximum(column, 0), axis=1), np.float32(np.nan))
    other[~lists.is_sharable[rows]] = np.nan
    scale = _median(score / other)
    is_own = (mine >= 0) & ~(np.abs(score - scale[:, None] * other) <= TOLERANCE * score)
    last = np.where(size > 0, np.take_along_axis(score, np.maximum(size - 1, 0)[:, None], axis=1)[:, 0], np.inf)
    is_reached = scale[:, None] * lent_score >= last[:, None] * (1 - TOLERANCE)
    is_hidden = (lent_idx >= 0) & is_reached
    is_hidden[np.nonzero(column >= 0)[0], column[column >= 0]] = False
    shares = (model >= 0) & (is_own.sum(axis=1) + is_hidden.sum(axis=1) + FEWEST_SHARED <= size)
    is_own[~shares], is_hidden[~shares], scale[~shares] = mine[~shares] >= 0, False, 1
    kept = np.hstack([is_own, is_hidden])
    nothing = np.zeros_like(lent_idx)
    return _Block(
        kept.sum(axis=1),
        np.hstack([mine, lent_idx])[kept],
        np.hstack([score, nothing.astype(np.float32)])[kept],
        np.hstack([lists.n_together[rows], nothing])[kept],
        shares,
        scale,
    )


def _find(lists: Rows, wanted: Rows) -> npt.NDArray[np.int64]:
    """Return the column of each wanted item in the list of the same row, int64 (n, width); -1 where it is not.

    Items are distinct in both, so those of both are pairs in the order of their items.
    """
    width = lists.shape[1]
    both = np.hstack([lists, wanted])
    order = np.argsort(both, axis=1)
    ordered = np.take_along_axis(both, order, axis=1)
    row, place = np.nonzero((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0))
    one, other = order[row, place], order[row, place + 1]
    column = np.full(wanted.shape, NO_ITEM, np.int64)
    column[row, np.maximum(one, other) - width] = np.minimum(one, other)
    return column


def _median(ratio: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return the median of each row's numbers, float32 (n,); 1 for rows without any."""
    known = np.isfinite(ratio).any(axis=1)
    median = np.ones(len(ratio), np.float32)
    median[known] = np.nanmedian(ratio[known], axis=1)
    return median


def _differs(packed: PackedLists, lists: _Lists, rows: npt.NDArray[np.int64]) -> Mask:
    """Return which lists are not the same after unpacking, bool (n,)."""
    item_idx, score, entry = packed.unpack(rows)
    is_same = (item_idx == lists.item_idx[rows]) & (counts_of(packed, entry) == lists.n_together[rows])
    is_near = np.abs(score - lists.score[rows]) <= 2 * TOLERANCE * lists.score[rows]
    return ~(is_same & is_near).all(axis=1)
