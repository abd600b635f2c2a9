"""Features of a candidate for the rankers: one function for training and for serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.topk import look_up
from recsys.data.dataset import DAY_S
from recsys.retrieval.candidates import Candidates
from recsys.retrieval.user_state import UserState

Column = npt.NDArray[np.floating | np.integer]

DECAYS_DAYS: Final = (7.0, 30.0, 120.0)
RECENT_DAYS: Final = (28.0, 91.0)
RECENT_BASKETS: Final = (5, 15)
MIN_GAP_DAYS: Final = 0.5

OF_USER: Final = (
    "shopper_baskets",
    "shopper_basket_gap_days",
    "shopper_idle_days",
    "shopper_basket_size",
    "shopper_distinct_items",
    "shopper_repeat_share",
    "shopper_baskets_28d",
)
OF_OWN: Final = (
    *(f"own_decayed_{days:.0f}d" for days in DECAYS_DAYS),
    *(f"own_{days:.0f}d" for days in RECENT_DAYS),
    *(f"own_last_{n}" for n in RECENT_BASKETS),
    "own_score",
    "own_baskets",
    "own_idle_days",
    "own_gap_days",
    "own_gap_deviation",
    "own_last_gap_days",
    "own_baskets_since",
    "own_rate_since_first",
    "own_elapsed_intervals",
    "own_chance_of_another",
)
OF_TYPE: Final = (
    "type_baskets",
    "type_score",
    "type_decayed_30d",
    "type_idle_days",
    "type_gap_days",
)
OF_ITEM: Final = (
    "log_share",
    "log_buyers",
    "trend",
    "interval_days",
    "repeat_rate",
    "share_in_type",
    "price",
)
OF_PAIR: Final = (
    "own_rate",
    "own_score_share",
    "own_elapsed_gaps",
    "own_share_of_type",
    "type_elapsed_gaps",
    "price_to_usual",
    "touch_weight",
    "als",
    "together",
    "affinity",
    "ease",
    "around",
    "after",
)
FEATURES: Final = (*OF_USER, *OF_OWN, *OF_TYPE, *OF_ITEM, *OF_PAIR)
"""Names of the columns, in order."""


def features(state: UserState, candidates: Candidates) -> npt.NDArray[np.float32]:
    """Describe each candidate to a ranker; the same function serves past requests in training and live requests.

    Ages and gaps are in days, counts are numbers of baskets, and unknown values are NaN.

    Args:
        state: the user's history up to the moment of the request.
        candidates: the candidates with the scores of their sources; the columns of sources that the placement does not
            use are 0.

    Returns:
        float32 (n_candidates, len(FEATURES)).
    """
    rows = candidates.item_idx
    table = np.empty((len(rows), len(FEATURES)), np.float32)
    runs, times = PurchaseRuns.of_items(state), _basket_times(state)
    blocks: tuple[tuple[tuple[str, ...], npt.NDArray[np.float32]], ...] = (
        (OF_USER, _of_user(state, runs, times)),
        (OF_OWN, _of_own(state, runs, rows, times)),
        (OF_TYPE, _of_type(state, runs, rows)),
        (OF_ITEM, _of_item(state, rows)),
    )
    start = 0
    for names, block in blocks:
        table[:, start : start + len(names)] = block
        start += len(names)
    known = {name: table[:, idx] for idx, name in enumerate(FEATURES[:start])}
    for idx, column in enumerate(_of_pair(state, candidates, known), start):
        table[:, idx] = column
    return table


def _basket_times(state: UserState) -> npt.NDArray[np.int64]:
    """Return when each basket of the user began, ascending, seconds since 1970."""
    bought = state.bought
    order = np.argsort(bought.basket_idx, kind="stable")
    basket = bought.basket_idx[order]
    is_first = np.concatenate([basket[:1] == basket[:1], basket[1:] != basket[:-1]])
    return np.sort(bought.timestamp[order[is_first]])


def _of_user(state: UserState, runs: PurchaseRuns, times: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    n_lines, now = len(runs.timestamp), state.query.now
    if not n_lines:
        return np.array([0, np.nan, np.nan, 0, 0, 0, 0], np.float32)
    span_days = max((now - times[0]) / DAY_S, 1.0)
    idle_days = (now - times[-1]) / DAY_S
    recent = len(times) - int(times.searchsorted(now - RECENT_DAYS[0] * DAY_S))
    n = len(times)
    return np.array([n, span_days / n, idle_days, n_lines / n, len(runs), 1 - len(runs) / n_lines, recent], np.float32)


def _of_own(
    state: UserState, runs: PurchaseRuns, rows: npt.NDArray[np.int32], times: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    empty = [0.0] * 9 + [np.nan] * 8
    if not len(runs):
        return np.broadcast_to(np.array(empty, np.float32), (len(rows), len(OF_OWN)))
    now, model, own = state.query.now, state.engine.repeat, state.own
    age = (now - runs.timestamp) / DAY_S
    count, starts = runs.count, runs.starts
    ends = starts + count - 1
    idle, first_age = age[ends], age[starts]
    gaps = np.maximum(count - 1, 1)
    gap = (first_age - idle) / gaps
    step = np.diff(age, prepend=age[:1])
    step[starts] = 0
    deviation = np.sqrt(np.maximum(runs.summed(step * step) / gaps - gap * gap, 0)) / np.maximum(gap, MIN_GAP_DAYS)
    columns: list[Column] = [
        *(runs.summed(np.exp(age * (-1 / days))) for days in DECAYS_DAYS),
        *(runs.summed((age < days).astype(np.float64)) for days in RECENT_DAYS),
        *(runs.summed((runs.timestamp >= times[-n:][0]).astype(np.float64)) for n in RECENT_BASKETS),
        own.score,
        count,
        idle,
        np.where(count > 1, gap, np.nan),
        np.where(count > 2, deviation, np.nan),
        np.where(count > 1, -step[ends], np.nan),
        len(times) - times.searchsorted(runs.timestamp[ends], side="right"),
        count / np.maximum(len(times) - times.searchsorted(runs.timestamp[starts]), 1),
        own.elapsed(now),
        model.repeat_probability(own),
    ]
    return runs.spread(columns, rows, empty)


def _of_type(state: UserState, runs: PurchaseRuns, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    empty, types = [0.0, 0.0, 0.0, np.nan, np.nan], state.engine.catalog.item_type
    of_type = runs.by(types)
    if not len(of_type):
        return np.broadcast_to(np.array(empty, np.float32), (len(rows), len(OF_TYPE)))
    age = (state.query.now - of_type.timestamp) / DAY_S
    count, starts = of_type.count, of_type.starts
    idle, own = age[starts + count - 1], state.own
    known = types[own.item_idx] >= 0
    position = of_type.label.searchsorted(types[own.item_idx[known]])
    columns: list[Column] = [
        count,
        np.bincount(position, own.score[known], len(of_type)),
        of_type.summed(np.exp(age * (-1 / DECAYS_DAYS[1]))),
        idle,
        np.where(count > 1, (age[starts] - idle) / np.maximum(count - 1, 1), np.nan),
    ]
    return of_type.spread(columns, types[rows], empty)


def _of_item(state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    engine = state.engine
    popularity, repeat = engine.popularity, engine.repeat
    block = np.empty((len(rows), len(OF_ITEM)), np.float32)
    block[:, 0] = np.log(popularity.share[rows] + np.float32(1e-9))
    block[:, 1] = np.log1p(popularity.n_buyers[rows])
    block[:, 2] = popularity.trend[rows]
    block[:, 3] = repeat.interval_days[rows]
    block[:, 4] = repeat.repeat_rate[rows]
    block[:, 5] = engine.share_in_type[rows]
    block[:, 6] = engine.catalog.price[rows]
    return block


def _of_pair(state: UserState, candidates: Candidates, known: dict[str, npt.NDArray[np.float32]]) -> list[Column]:
    """Return columns that relate others to each other, and the scores of the sources."""
    engine, rows = state.engine, candidates.item_idx
    own_rows, weight = state.own.item_idx, state.top_history_items[1]
    usual = _mean_log(engine.catalog.price[own_rows])
    own_total = max(float(state.own.score.sum()), 1e-9)
    price = known["price"]
    columns: list[Column] = [
        known["own_baskets"] / max(float(known["shopper_baskets"][0]) if len(rows) else 1.0, 1.0),
        known["own_score"] / own_total,
        known["own_idle_days"] / np.maximum(known["own_gap_days"], MIN_GAP_DAYS),
        known["own_score"] / np.maximum(known["type_score"], 1e-9),
        known["type_idle_days"] / np.maximum(known["type_gap_days"], MIN_GAP_DAYS),
        np.log(np.where(price > 0, price, np.nan)) - usual,
        look_up(rows, *state.weighted_history),
        engine.hybrid.vectors[rows] @ state.vector,
    ]
    per_weight = 1 / max(float(weight.sum()), 1e-9)
    for name, unit in (
        ("together", per_weight),
        ("affinity", 1.0),
        ("ease", 1.0),
        ("around", 1.0),
        ("after", 1.0),
    ):
        found = candidates.scores.get(name)
        columns.append(np.zeros(len(rows)) if found is None else found * (candidates.best.get(name, 0.0) * unit))
    return columns


def _mean_log(price: npt.NDArray[np.float32]) -> float:
    known = price[price > 0]
    return float(np.log(known).mean()) if len(known) else float("nan")


@dataclass(frozen=True)
class PurchaseRuns:
    """A user's purchases, one per label and basket, sorted by label and then by time; a run has one label.

    Attributes:
        label: int32 (n_runs,), items or product types, distinct and ascending.
        starts: int64 (n_runs,), where each run begins.
        timestamp: int64 (n,), seconds since 1970.
        line: int32 (n,), label of each purchase.
    """

    label: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    timestamp: npt.NDArray[np.int64]
    line: npt.NDArray[np.int32]

    @classmethod
    def of_items(cls, state: UserState) -> PurchaseRuns:
        """Group a user's purchases by item."""
        bought = state.bought
        return cls._sorted(bought.item_idx, bought.timestamp, bought.basket_idx)

    @classmethod
    def _sorted(
        cls, label: npt.NDArray[np.int32], timestamp: npt.NDArray[np.int64], basket: npt.NDArray[np.int32] | None = None
    ) -> PurchaseRuns:
        order = np.argsort(label, kind="stable")
        line, when = label[order], timestamp[order]
        if basket is not None and len(line):
            of_basket = basket[order]
            kept = np.concatenate([[True], (line[1:] != line[:-1]) | (of_basket[1:] != of_basket[:-1])])
            line, when = line[kept], when[kept]
        starts = np.flatnonzero(np.concatenate([line[:1] == line[:1], line[1:] != line[:-1]]))
        return cls(line[starts], starts, when, line)

    def by(self, group: npt.NDArray[np.int32]) -> PurchaseRuns:
        """Group the same purchases by another label; purchases with an unknown label (-1) are left out.

        Args:
            group: int32 (n_items,), label of each item of the shop.
        """
        label = group[self.line]
        order = np.argsort(self.timestamp, kind="stable")
        order = order[label[order] >= 0]
        return PurchaseRuns._sorted(label[order], self.timestamp[order])

    def __len__(self) -> int:
        return len(self.label)

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Length of each run, int64 (n_runs,)."""
        return np.diff(self.starts, append=len(self.timestamp))

    def summed(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Sum values over each run.

        Args:
            values: (n,), one per purchase.

        Returns:
            (n_runs,).
        """
        return np.add.reduceat(values, self.starts)

    def spread(self, columns: list[Column], rows: npt.NDArray[np.int32], empty: list[float]) -> npt.NDArray[np.float32]:
        """Copy the values of runs to rows with the same label.

        Args:
            columns: values of the runs, (n_runs,) each.
            rows: int32 (n_rows,), labels.
            empty: one value per column for rows without a run.

        Returns:
            float32 (n_rows, n_columns).
        """
        stacked = np.empty((len(self) + 1, len(columns)), np.float32)
        stacked[-1] = empty
        for number, column in enumerate(columns):
            stacked[:-1, number] = column
        position = np.minimum(self.label.searchsorted(rows), len(self) - 1)
        return stacked[np.where(self.label[position] == rows, position, len(self))]
