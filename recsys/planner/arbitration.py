"""The arbitration: which messages each shopper gets, greedily by expected value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

NO_ITEM: Final = -1

ALL_STAGES: Final = -1
"""All bits."""

ToProbability = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""Calibrates the probabilities of messages, float64 (n_users, n_lists), one column per list."""


@dataclass(frozen=True)
class CandidateLists:
    """The lists of some shoppers.

    Attributes:
        item_idx: int32 (n_users, n_lists, n_places), best first; `NO_ITEM` beyond the end of a list.
        probability: float64, same shape; that the shopper buys the item within the horizon, in [0, 1).
        is_blocked: bool, same shape; items that may not be sent.
        stages: int64 (n_dates, n_users, n_lists, n_places), bits of the stages of life that an item fits, 0 for all;
            no message has items of different stages of one date. None for items that all fit together.
    """

    item_idx: npt.NDArray[np.int32]
    probability: npt.NDArray[np.float64]
    is_blocked: npt.NDArray[np.bool_]
    stages: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class ArbitrationRules:
    """The limits of the arbitration.

    Attributes:
        n_messages: messages per shopper, >= 1.
        n_per_list: messages per shopper and list, >= 1.
        n_items: items per message, >= 1.
        min_expected_value: a message needs more than 0, and at least this.
    """

    n_messages: int
    n_per_list: int
    n_items: int
    min_expected_value: float = 0.0


@dataclass(frozen=True)
class ChosenMessages:
    """Messages, grouped by shopper, the best of each first.

    Attributes:
        user: int64 (n,), position of the shopper.
        order: int64 (n,), 0 for the first message of a shopper.
        list_idx: int64 (n,), position of the list.
        places: int64 (n, n_items), positions of the items in the list, `NO_ITEM` beyond the last.
        raw: float64 (n,), `1 − Π(1 − p)` over the items.
        probability: float64 (n,), the same calibrated.
        value: float64 (n,), of the purchase: `Σ p·v / Σ p`.
    """

    user: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    list_idx: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    raw: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]

    @property
    def expected_value(self) -> npt.NDArray[np.float64]:
        """Probability × value."""
        return self.probability * self.value

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> ChosenMessages:
        """Return some messages."""
        return ChosenMessages(**{name: column[rows] for name, column in vars(self).items()})


def arbitrate(
    lists: CandidateLists,
    value: npt.NDArray[np.float64],
    to_probability: ToProbability,
    rules: ArbitrationRules,
) -> ChosenMessages:
    """Choose messages greedily: of each shopper the one of the highest expected value, again and again.

    A message has the first items of its list that may be sent, fit together, and are in no message of the shopper yet.
    Expected values only fall as items are taken, so the greedy choice is exact for one message, and within `1 − 1/e` of
    the best set where the items of messages are substitutes (Nemhauser, Wolsey & Fisher 1978).

    Args:
        lists: of all shoppers.
        value: float64 (n_items,), of each item of the catalog, >= 0.
        to_probability: calibrates `1 − Π(1 − p)`.
        rules: the limits.

    Returns:
        The messages; a shopper without a valuable message has none. Equal values: the earlier list.
    """
    n_users, n_lists, _ = lists.item_idx.shape
    free = (lists.item_idx != NO_ITEM) & ~lists.is_blocked
    left = np.full((n_users, n_lists), rules.n_per_list)
    worth = np.where(lists.item_idx != NO_ITEM, value[lists.item_idx], 0.0) if value.size else np.zeros(free.shape)
    found: list[ChosenMessages] = []
    users = np.arange(n_users)
    for order in range(rules.n_messages if n_lists else 0):
        chosen = _first_fitting(free, lists.stages, rules.n_items)
        p = np.where(chosen, lists.probability, 0.0)
        raw = -np.expm1(np.log1p(-p).sum(axis=2))
        probability = to_probability(raw)
        total = p.sum(axis=2)
        of_value = np.divide((p * worth).sum(axis=2), total, out=np.zeros_like(total), where=total > 0)
        expected = np.where((left > 0) & chosen.any(axis=2), probability * of_value, 0.0)
        best = expected.argmax(axis=1)
        kept = (expected[users, best] > 0) & (expected[users, best] >= rules.min_expected_value)
        rows, of = users[kept], best[kept]
        if not len(rows):
            break
        places = _places(chosen[rows, of], rules.n_items)
        picks = (rows, of)
        found.append(
            ChosenMessages(rows, np.full(len(rows), order), of, places, raw[picks], probability[picks], of_value[picks])
        )
        left[picks] -= 1
        free[rows] &= ~_are_taken(lists.item_idx[rows], lists.item_idx[rows, of], places)
    return _joined(found, rules.n_items)


def _first_fitting(
    free: npt.NDArray[np.bool_], stages: npt.NDArray[np.int64] | None, n_items: int
) -> npt.NDArray[np.bool_]:
    """Return the first free items of each list that fit together, bool (n_users, n_lists, n_places)."""
    if stages is None:
        return free & (free.cumsum(axis=2) <= n_items)
    chosen = np.zeros_like(free)
    common = np.full((*stages.shape[:1], *free.shape[:2]), ALL_STAGES)
    n_chosen = np.zeros(free.shape[:2], np.int64)
    for place in range(free.shape[2]):
        of_item = np.where(stages[..., place] == 0, ALL_STAGES, stages[..., place])
        fits = free[..., place] & (n_chosen < n_items) & (common & of_item != 0).all(axis=0)
        common = np.where(fits, common & of_item, common)
        n_chosen += fits
        chosen[..., place] = fits
    return chosen


def _places(chosen: npt.NDArray[np.bool_], n_items: int) -> npt.NDArray[np.int64]:
    """Return the positions of the chosen items of each row, int64 (n, n_items)."""
    row, place = np.nonzero(chosen)
    places = np.full((len(chosen), n_items), NO_ITEM)
    places[row, chosen.cumsum(axis=1)[row, place] - 1] = place
    return places


def _are_taken(
    item_idx: npt.NDArray[np.int32], in_list: npt.NDArray[np.int32], places: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return which items of any list are in the message, bool (n, n_lists, n_places)."""
    taken = np.zeros(item_idx.shape, np.bool_)
    for place in places.T:
        item = np.where(place != NO_ITEM, np.take_along_axis(in_list, place[:, None], 1)[:, 0], NO_ITEM)
        taken |= (item_idx == item[:, None, None]) & (item != NO_ITEM)[:, None, None]
    return taken


def _joined(found: list[ChosenMessages], n_items: int) -> ChosenMessages:
    if not found:
        none = np.empty(0)
        rows = np.empty(0, np.int64)
        return ChosenMessages(rows, rows, rows, np.empty((0, n_items), np.int64), none, none, none)
    names = vars(found[0])
    joined = ChosenMessages(**{name: np.concatenate([getattr(each, name) for each in found]) for name in names})
    return joined.take(np.lexsort((joined.order, joined.user)))
