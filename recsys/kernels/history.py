"""What a history says of a user's taste: distinct items with weights, and the product types that these are of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled

Rows = npt.NDArray[np.int32]
Weights = npt.NDArray[np.float32]
EVERY = np.empty(0, np.bool_)
"""Mask that keeps all items."""


def sum_events_numpy(
    item: Rows,
    kind: npt.NDArray[np.int8],
    age_s: npt.NDArray[np.int64],
    rating: Weights,
    event_weight: Weights,
    rate: float,
) -> tuple[Rows, Weights]:
    """Return the distinct items of some events, ascending, and the sums of their decayed weights.

    Args:
        item: int32 (n,).
        kind: int8 (n,), code of each event's type.
        age_s: int64 (n,), seconds, >= 0.
        rating: float32 (n,), factor of each event.
        event_weight: float32 (n_types,), weight of an event of each type.
        rate: the weight of an event is `2^(−rate · age)`.
    """
    decayed = rating * event_weight[kind] * np.exp2(age_s * -rate)
    distinct, inverse = np.unique(item, return_inverse=True)
    return distinct, np.bincount(inverse, decayed, len(distinct)).astype(np.float32)


@compiled("i4: i1: i8: f4: f4: f8", otherwise=sum_events_numpy)
def sum_events(item: Any, kind: Any, age_s: Any, rating: Any, event_weight: Any, rate: Any) -> Any:
    """Compute `sum_events_numpy` over the events sorted by item: the low half of a key is the event's number."""
    n, n_items = len(item), 0
    keys = np.empty(n, np.int64)
    for idx in range(n):
        keys[idx] = (np.int64(item[idx]) << 32) | idx
    keys.sort()
    items, total = np.empty(n, np.int32), np.empty(n, np.float64)
    for key in keys:
        row = key & 0xFFFFFFFF
        if n_items == 0 or item[row] != items[n_items - 1]:
            items[n_items], total[n_items] = item[row], 0.0
            n_items += 1
        total[n_items - 1] += rating[row] * event_weight[kind[row]] * np.exp2(age_s[row] * -rate)
    return items[:n_items].copy(), total[:n_items].astype(np.float32)


def weigh_types_numpy(types: Rows, weight: Weights, max_types: int) -> tuple[Rows, npt.NDArray[np.float64]]:
    """Return the heaviest types of some items, int32, and the share of each in the weight of all, float64.

    Args:
        types: int32 (n,), type of each item, -1 if not known.
        weight: float32 (n,); items of 0 or less are left out.
        max_types: largest number of types.
    """
    known = (types >= 0) & (weight > 0)
    owned, inverse = np.unique(types[known], return_inverse=True)
    total = np.bincount(inverse, weight[known], len(owned))
    top = np.argsort(-total, kind="stable")[:max_types]
    return owned[top], total[top] / max(total.sum(), 1e-300)


@compiled("i4: f4: i8", otherwise=weigh_types_numpy)
def weigh_types(types: Any, weight: Any, max_types: Any) -> Any:
    """Compute `weigh_types_numpy` over the items sorted by type."""
    n, n_types = len(types), 0
    order = np.argsort(types, kind="mergesort")
    owned, total = np.empty(n, np.int32), np.empty(n, np.float64)
    for idx in range(n):
        row = order[idx]
        if types[row] < 0 or not weight[row] > 0:
            continue
        if n_types == 0 or types[row] != owned[n_types - 1]:
            owned[n_types], total[n_types] = types[row], 0.0
            n_types += 1
        total[n_types - 1] += weight[row]
    top = np.argsort(-total[:n_types], kind="mergesort")[:max_types]
    return owned[:n_types][top], total[:n_types][top] / max(np.sum(total[:n_types]), 1e-300)


def best_of_types_numpy(
    indptr: npt.NDArray[np.int64],
    item_idx: Rows,
    share: Weights,
    types: Rows,
    weight: npt.NDArray[np.float64],
    n_per_type: int,
    allowed: npt.NDArray[np.bool_],
) -> tuple[Rows, Weights]:
    """Return the best items of some types, and their shares times the weights of the types.

    Args:
        indptr: int64 (n_types + 1,), where the items of each type begin.
        item_idx: int32, items of each type, best-selling first.
        share: float32, parallel to `item_idx`.
        types: int32 (n,).
        weight: float64 (n,), of each type.
        n_per_type: largest number of items of a type.
        allowed: bool (n_items,), the only items that count; `EVERY` for all.
    """
    rows, score = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    for type_, of_type in zip(types.tolist(), weight.tolist(), strict=True):
        entry = np.arange(indptr[type_], indptr[type_ + 1])
        if len(allowed):
            entry = entry[allowed[item_idx[entry]]]
        entry = entry[:n_per_type]
        rows.append(item_idx[entry])
        score.append((share[entry] * np.float64(of_type)).astype(np.float32))
    return np.concatenate(rows), np.concatenate(score)


@compiled("i8: i4: f4: i4: f8: i8 bool:", otherwise=best_of_types_numpy)
def best_of_types(
    indptr: Any, item_idx: Any, share: Any, types: Any, weight: Any, n_per_type: Any, allowed: Any
) -> Any:
    """Compute `best_of_types_numpy`; of a type, no more items are looked at than its best ones need."""
    rows, score = np.empty(len(types) * n_per_type, np.int32), np.empty(len(types) * n_per_type, np.float32)
    is_filtered, n = len(allowed) > 0, 0
    for idx in range(len(types)):
        entry, stop, full = indptr[types[idx]], indptr[types[idx] + 1], n + n_per_type
        while entry < stop and n < full:
            row = item_idx[entry]
            if not is_filtered or allowed[row]:
                rows[n], score[n] = row, share[entry] * weight[idx]
                n += 1
            entry += 1
    return rows[:n].copy(), score[:n].copy()


def weigh_recent_items_numpy(
    item: Rows, time: npt.NDArray[np.int64], n_recent: int, decay: float
) -> tuple[Rows, Weights]:
    """Return the latest distinct items of some events, latest first, and weights that sum to 1.

    An item weighs `exp(−p / decay)`, where `p` counts the later moments; events of one moment share a position.

    Args:
        item: int32 (n,), oldest first.
        time: int64 (n,).
        n_recent: largest number of items.
        decay: > 0.
    """
    item, time = item[::-1], time[::-1]
    position = np.cumsum(np.concatenate([np.zeros(len(time[:1]), np.bool_), time[1:] != time[:-1]]))
    first = np.sort(np.unique(item, return_index=True)[1])[:n_recent]
    weight = np.exp(-position[first] / decay)
    return item[first], (weight / max(float(weight.sum()), 1e-12)).astype(np.float32)


@compiled("i4: i8: i8 f8", otherwise=weigh_recent_items_numpy)
def weigh_recent_items(item: Any, time: Any, n_recent: Any, decay: Any) -> Any:
    """Compute `weigh_recent_items_numpy` from the end; few items are compared with each other."""
    found, weight, n, position = np.empty(n_recent, np.int32), np.empty(n_recent), 0, 0
    for idx in range(len(item) - 1, -1, -1):
        if idx < len(item) - 1 and time[idx] != time[idx + 1]:
            position += 1
        if n == n_recent:
            break
        is_new = True
        for place in range(n):
            if found[place] == item[idx]:
                is_new = False
                break
        if is_new:
            found[n], weight[n] = item[idx], np.exp(-position / decay)
            n += 1
    return found[:n].copy(), (weight[:n] / max(np.sum(weight[:n]), 1e-12)).astype(np.float32)
