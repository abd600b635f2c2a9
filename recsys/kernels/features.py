"""The features of a user's candidates, in one pass over the purchases and one over the candidates.

Columns come in the order of `recsys.ranking.features.FEATURES`, which has their names.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.kernels.compiled import compiled, part

DAY_S: Final = 86_400
DECAYS_DAYS: Final = (7.0, 30.0, 120.0)
RECENT_DAYS: Final = (28.0, 91.0)
RECENT_BASKETS: Final = (5, 15)
MIN_GAP_DAYS: Final = 0.5
LEAST_SHARE: Final = 1e-9

N_OF_USER, N_OF_OWN, N_OF_TYPE, N_OF_ITEM, N_OF_PAIR = 7, 17, 5, 7, 13
OWN: Final = N_OF_USER
TYPE: Final = OWN + N_OF_OWN
ITEM: Final = TYPE + N_OF_TYPE
PAIR: Final = ITEM + N_OF_ITEM
N_FEATURES: Final = PAIR + N_OF_PAIR
"""Number of columns; the others are where each block begins."""

Numbers = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int32]
Times = npt.NDArray[np.int64]


def describe_numpy(
    now: int,
    own_items: Rows,
    starts: Times,
    time: Times,
    order_times: Times,
    own: Numbers,
    rows: Rows,
    item_type: Rows,
    of_item: Numbers,
    own_price: Numbers,
    touched: Rows,
    touched_weight: Numbers,
    sources: Numbers,
) -> Numbers:
    """Return the features of some candidates, one column of candidates after the other.

    Ages and gaps are in days, counts are numbers of orders, and unknown values are NaN.

    Args:
        now: seconds since 1970.
        own_items: int32 (n_own,), items that the user bought, ascending.
        starts: int64 (n_own + 1,), where the purchases of each begin in `time`.
        time: int64, when they were bought, seconds since 1970, oldest first for each item.
        order_times: int64, when the user's orders began, ascending.
        own: float32 (3, n_own): the chance that the next order has the item, the time since its last purchase in its
            intervals, and the probability of another purchase.
        rows: int32 (n,), the candidates, ascending.
        item_type: int32 (n_items,), -1 for an unknown type.
        of_item: float32 (7, n), the block of the candidates themselves; the last row is the price.
        own_price: float32 (n_own,), 0 or NaN if not known.
        touched: int32, items of the history, ascending.
        touched_weight: float32, their weights.
        sources: float32 (6, n), the match of vectors, and the scores of sources.

    Returns:
        float32 (N_FEATURES, n).
    """
    table = np.empty((N_FEATURES, len(rows)), np.float32)
    table[:OWN] = _of_user_numpy(now, starts, time, order_times)[:, None]
    of_own, of_type = _of_own_numpy(now, starts, time, order_times, own), np.empty((N_OF_TYPE, 0), np.float32)
    table[OWN:TYPE] = _spread(own_items, of_own, rows, [0.0] * 9 + [np.nan] * 8)
    types = np.unique(item_type[own_items][item_type[own_items] >= 0])
    if len(types):
        of_type = _of_type_numpy(now, types, item_type[own_items], starts, time, own[0])
    table[TYPE:ITEM] = _spread(types, of_type, item_type[rows], [0.0] * 3 + [np.nan] * 2)
    table[ITEM:PAIR] = of_item
    score, n_baskets, idle, gap = (table[OWN + column] for column in (7, 8, 9, 10))
    known = own_price > 0
    usual = float(np.log(own_price[known]).mean()) if known.any() else float("nan")
    price = table[PAIR - 1]
    table[PAIR] = n_baskets / max(len(order_times), 1)
    table[PAIR + 1] = score / max(float(own[0].sum()), 1e-9)
    table[PAIR + 2] = idle / np.maximum(gap, MIN_GAP_DAYS)
    table[PAIR + 3] = score / np.maximum(table[TYPE + 1], 1e-9)
    table[PAIR + 4] = table[TYPE + 3] / np.maximum(table[TYPE + 4], MIN_GAP_DAYS)
    table[PAIR + 5] = np.log(np.where(price > 0, price, np.nan)) - usual
    table[PAIR + 6] = _spread(touched, touched_weight[None], rows, [0.0])[0]
    table[PAIR + 7 :] = sources
    return table


def _of_user_numpy(now: int, starts: Times, time: Times, order_times: Times) -> Numbers:
    if not len(time):
        return np.array([0, np.nan, np.nan, 0, 0, 0, 0], np.float32)
    n, n_lines, n_items = len(order_times), len(time), len(starts) - 1
    span_days = max((now - order_times[0]) / DAY_S, 1.0)
    idle_days = (now - order_times[-1]) / DAY_S
    recent = n - int(order_times.searchsorted(now - RECENT_DAYS[0] * DAY_S))
    return np.array([n, span_days / n, idle_days, n_lines / n, n_items, 1 - n_items / n_lines, recent], np.float32)


def _of_own_numpy(now: int, starts: Times, time: Times, order_times: Times, own: Numbers) -> Numbers:
    if not len(time):
        return np.empty((N_OF_OWN, 0), np.float32)
    age, first, count = (now - time) / DAY_S, starts[:-1], np.diff(starts)
    last = starts[1:] - 1
    gaps = np.maximum(count - 1, 1)
    gap = (age[first] - age[last]) / gaps
    step = np.diff(age, prepend=age[:1])
    step[first] = 0
    variance = np.add.reduceat(step * step, first) / gaps - gap * gap
    n_orders = len(order_times)
    columns = [
        *(np.add.reduceat(np.exp(age * (-1 / days)), first) for days in DECAYS_DAYS),
        *(np.add.reduceat((age < days).astype(np.float64), first) for days in RECENT_DAYS),
        *(np.add.reduceat((time >= order_times[-n:][0]).astype(np.float64), first) for n in RECENT_BASKETS),
        own[0],
        count,
        age[last],
        np.where(count > 1, gap, np.nan),
        np.where(count > 2, np.sqrt(np.maximum(variance, 0)) / np.maximum(gap, MIN_GAP_DAYS), np.nan),
        np.where(count > 1, -step[last], np.nan),
        n_orders - order_times.searchsorted(time[last], side="right"),
        count / np.maximum(n_orders - order_times.searchsorted(time[first]), 1),
        own[1],
        own[2],
    ]
    return np.stack([np.asarray(column, np.float32) for column in columns])


def _of_type_numpy(now: int, types: Rows, type_of: Rows, starts: Times, time: Times, score: Numbers) -> Numbers:
    known = type_of >= 0
    label = types.searchsorted(np.repeat(type_of, np.diff(starts))[np.repeat(known, np.diff(starts))])
    age = ((now - time) / DAY_S)[np.repeat(known, np.diff(starts))]
    count = np.bincount(label, minlength=len(types))
    idle, first_age = np.full(len(types), np.inf), np.zeros(len(types))
    np.minimum.at(idle, label, age)
    np.maximum.at(first_age, label, age)
    of_type = np.bincount(types.searchsorted(type_of[known]), score[known], len(types))
    decayed = np.bincount(label, np.exp(age * (-1 / DECAYS_DAYS[1])), len(types))
    gap = np.where(count > 1, (first_age - idle) / np.maximum(count - 1, 1), np.nan)
    return np.stack([np.asarray(column, np.float32) for column in (count, of_type, decayed, idle, gap)])


def _spread(labels: Rows, columns: Numbers, wanted: Rows, empty: list[float]) -> Numbers:
    """Return the values of some labels, (n_columns, n), `empty` for those that are not among ascending `labels`."""
    stacked = np.column_stack([columns, np.array(empty, np.float32)])
    position = np.minimum(labels.searchsorted(wanted), max(len(labels) - 1, 0))
    is_known = labels[position] == wanted if len(labels) else np.zeros(len(wanted), np.bool_)
    return stacked[:, np.where(is_known, position, len(labels))]


@part
def _fill_user(table: Any, now: Any, starts: Any, time: Any, order_times: Any) -> None:
    n, n_lines, n_items = len(order_times), len(time), len(starts) - 1
    values = np.zeros(N_OF_USER)
    values[1] = values[2] = np.nan
    if n_lines:
        values[0] = n
        values[1] = max((now - order_times[0]) / DAY_S, 1.0) / n
        values[2] = (now - order_times[n - 1]) / DAY_S
        values[3] = n_lines / n
        values[4] = n_items
        values[5] = 1 - n_items / n_lines
        values[6] = n - np.searchsorted(order_times, now - RECENT_DAYS[0] * DAY_S)
    for column in range(N_OF_USER):
        table[column, :] = values[column]


@part
def _own_columns(now: Any, starts: Any, time: Any, order_times: Any, own: Any) -> Any:
    """Return the block of the user's purchases, one row per item that was bought."""
    n, n_orders = len(starts) - 1, len(order_times)
    block = np.empty((n, N_OF_OWN), np.float32)
    for item in range(n):
        begin, end = starts[item], starts[item + 1]
        count, squares, before = end - begin, 0.0, 0.0
        sums = np.zeros(7)
        for idx in range(begin, end):
            age = (now - time[idx]) / DAY_S
            for column in range(3):
                sums[column] += np.exp(age * (-1 / DECAYS_DAYS[column]))
            for column in range(2):
                sums[3 + column] += age < RECENT_DAYS[column]
                sums[5 + column] += time[idx] >= order_times[max(n_orders - RECENT_BASKETS[column], 0)]
            if idx > begin:
                squares += (age - before) * (age - before)
            if idx < end - 1:
                before = age
        idle, first_age = (now - time[end - 1]) / DAY_S, (now - time[begin]) / DAY_S
        gaps = max(count - 1, 1)
        gap = (first_age - idle) / gaps
        for column in range(7):
            block[item, column] = sums[column]
        block[item, 7], block[item, 8], block[item, 9] = own[0, item], count, idle
        block[item, 10] = gap if count > 1 else np.nan
        deviation = np.sqrt(max(squares / gaps - gap * gap, 0.0)) / max(gap, MIN_GAP_DAYS)
        block[item, 11] = deviation if count > 2 else np.nan
        block[item, 12] = before - idle if count > 1 else np.nan
        block[item, 13] = n_orders - np.searchsorted(order_times, time[end - 1], side="right")
        block[item, 14] = count / max(n_orders - np.searchsorted(order_times, time[begin]), 1)
        block[item, 15], block[item, 16] = own[1, item], own[2, item]
    return block


@part
def _type_columns(now: Any, types: Any, type_of: Any, starts: Any, time: Any, score: Any) -> Any:
    """Return the block of the types that the user bought, one row per type; its rows by type, -1 for no row."""
    n = len(types)
    row_of = np.full(types[n - 1] + 1 if n else 0, -1)
    for label in range(n):
        row_of[types[label]] = label
    count, total, decayed = np.zeros(n, np.int64), np.zeros(n), np.zeros(n)
    idle, first_age = np.full(n, np.inf), np.zeros(n)
    for item in range(len(type_of)):
        if type_of[item] < 0:
            continue
        label = row_of[type_of[item]]
        total[label] += score[item]
        for idx in range(starts[item], starts[item + 1]):
            age = (now - time[idx]) / DAY_S
            count[label] += 1
            decayed[label] += np.exp(age * (-1 / DECAYS_DAYS[1]))
            idle[label], first_age[label] = min(idle[label], age), max(first_age[label], age)
    block = np.empty((n, N_OF_TYPE), np.float32)
    for label in range(n):
        block[label, 0], block[label, 1], block[label, 2] = count[label], total[label], decayed[label]
        gap = (first_age[label] - idle[label]) / max(count[label] - 1, 1)
        block[label, 3], block[label, 4] = idle[label], gap if count[label] > 1 else np.nan
    return block, row_of


@part
def _distinct_types(type_of: Any) -> Any:
    """Return the known types among some, ascending."""
    ordered, n = np.sort(type_of), 0
    types = np.empty(len(ordered), np.int32)
    for type_ in ordered:
        if type_ >= 0 and (n == 0 or types[n - 1] != type_):
            types[n] = type_
            n += 1
    return types[:n]


@part
def _usual_price(own_price: Any) -> Any:
    """Return the mean logarithm of the known prices, NaN without any."""
    total, n = 0.0, 0
    for price in own_price:
        if price > 0:
            total += np.log(price)
            n += 1
    return total / n if n else np.nan


@compiled("i8 i4: i8: i8: i8: f4:: i4: i4: f4:: f4: i4: f4: f4::", otherwise=describe_numpy)
def describe(
    now: Any, own_items: Any, starts: Any, time: Any, order_times: Any, own: Any, rows: Any, item_type: Any,
    of_item: Any, own_price: Any, touched: Any, touched_weight: Any, sources: Any,
) -> Any:  # fmt: skip
    """Compute `describe_numpy` candidate by candidate, along with the items of the history, which ascend too."""
    n, n_own = len(rows), len(own_items)
    table = np.empty((N_FEATURES, n), np.float32)
    _fill_user(table, now, starts, time, order_times)
    type_of = np.empty(n_own, np.int32)
    for item in range(n_own):
        type_of[item] = item_type[own_items[item]]
    types = _distinct_types(type_of)
    of_own = _own_columns(now, starts, time, order_times, own)
    of_type, row_of = _type_columns(now, types, type_of, starts, time, own[0])
    own_total = max(np.sum(own[0].astype(np.float64)), 1e-9)
    n_orders, usual = max(len(order_times), 1), _usual_price(own_price)
    place_own, place_touched = 0, 0
    for idx in range(n):
        row, type_ = rows[idx], item_type[rows[idx]]
        while place_own < n_own and own_items[place_own] < row:
            place_own += 1
        while place_touched < len(touched) and touched[place_touched] < row:
            place_touched += 1
        place = place_own if place_own < n_own and own_items[place_own] == row else -1
        of_same = row_of[type_] if 0 <= type_ < len(row_of) else -1
        for column in range(N_OF_OWN):
            empty = 0.0 if column < 9 else np.nan
            table[OWN + column, idx] = of_own[place, column] if place >= 0 else empty
        for column in range(N_OF_TYPE):
            empty = 0.0 if column < 3 else np.nan
            table[TYPE + column, idx] = of_type[of_same, column] if of_same >= 0 else empty
        score, idle, gap = table[OWN + 7, idx], table[OWN + 9, idx], table[OWN + 10, idx]
        price = of_item[N_OF_ITEM - 1, idx]
        table[PAIR, idx] = table[OWN + 8, idx] / n_orders
        table[PAIR + 1, idx] = score / own_total
        table[PAIR + 2, idx] = idle / (gap if not gap < MIN_GAP_DAYS else np.float32(MIN_GAP_DAYS))
        table[PAIR + 3, idx] = score / max(table[TYPE + 1, idx], 1e-9)
        type_gap = table[TYPE + 4, idx]
        table[PAIR + 4, idx] = table[TYPE + 3, idx] / (
            type_gap if not type_gap < MIN_GAP_DAYS else np.float32(MIN_GAP_DAYS)
        )
        table[PAIR + 5, idx] = np.log(price) - usual if price > 0 else np.nan
        is_touched = place_touched < len(touched) and touched[place_touched] == row
        table[PAIR + 6, idx] = touched_weight[place_touched] if is_touched else 0.0
    table[ITEM:PAIR] = of_item
    table[PAIR + 7 :] = sources
    return table


def describe_items_numpy(
    rows: Rows,
    share: Numbers,
    n_buyers: Rows,
    trend: Numbers,
    interval_days: Numbers,
    repeat_rate: Numbers,
    share_in_type: Numbers,
    price: Numbers,
) -> Numbers:
    """Return the block of some items themselves, float32 (N_OF_ITEM, n).

    Args:
        rows: int32 (n,).
        share: float32 (n_items,); the block has its logarithm.
        n_buyers: int32 (n_items,); the block has the logarithm of one more.
        trend: float32 (n_items,), as the others that follow.
        interval_days: see `trend`.
        repeat_rate: see `trend`.
        share_in_type: see `trend`.
        price: see `trend`.
    """
    plain = [values[rows] for values in (trend, interval_days, repeat_rate, share_in_type, price)]
    logs = [np.log(share[rows] + np.float32(LEAST_SHARE)), np.log1p(n_buyers[rows])]
    return np.stack([*logs, *plain]).astype(np.float32)


@compiled("i4: f4: i4: f4: f4: f4: f4: f4:", otherwise=describe_items_numpy)
def describe_items(
    rows: Any, share: Any, n_buyers: Any, trend: Any, interval_days: Any, repeat_rate: Any, share_in_type: Any,
    price: Any,
) -> Any:  # fmt: skip
    """Compute `describe_items_numpy` item by item."""
    block = np.empty((N_OF_ITEM, len(rows)), np.float32)
    for idx in range(len(rows)):
        row = rows[idx]
        block[0, idx] = np.log(share[row] + np.float32(LEAST_SHARE))
        block[1, idx] = np.log1p(n_buyers[row])
        block[2, idx], block[3, idx], block[4, idx] = trend[row], interval_days[row], repeat_rate[row]
        block[5, idx], block[6, idx] = share_in_type[row], price[row]
    return block
