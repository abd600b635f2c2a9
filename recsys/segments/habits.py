"""Habitual hour, weekday and channel, and the categories that a user is interested in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import UNKNOWN
from recsys.data.catalog import PATH_SEPARATOR, Catalog
from recsys.data.dataset import NO_INTEREST, PURCHASE
from recsys.segments.config import HabitConfig
from recsys.segments.visits import Visits

N_HOURS: Final = 24
N_WEEKDAYS: Final = 7
CELLS: Final = 4_000_000
"""Counts of users and values that are kept at a time."""

TOUCH_WEIGHT: Final = 0.25
"""Weight of an event that is no purchase."""


@dataclass(frozen=True)
class InterestModel:
    """Categories of the catalog, and how much of the shop's demand each has.

    The category of an item is the level above its product type, or the only level of a path of one.

    Attributes:
        names: path of each category, levels joined by " > ".
        of_type: int32 (n_types,), category of each product type.
        share: float64 (n_categories,), share of all weighted events.
    """

    names: tuple[str, ...] = ()
    of_type: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    share: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def categories(self, item_type: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Return the category of each product type, int32 (n,), -1 for an unknown type and one that is new."""
        found = np.full(len(item_type), UNKNOWN, np.int32)
        known = (item_type >= 0) & (item_type < len(self.of_type))
        found[known] = self.of_type[item_type[known]]
        return found


@dataclass(frozen=True)
class Touches:
    """Events of users with items, in any order; arrays of one length.

    Attributes:
        user_idx: int, row of the user.
        item_type: int32, product type of the item, -1 for unknown.
        event_type: int8.
    """

    user_idx: npt.NDArray[np.integer]
    item_type: npt.NDArray[np.int32]
    event_type: npt.NDArray[np.int8]

    @property
    def weight(self) -> npt.NDArray[np.float64]:
        """1 for a purchase, less for another event, 0 for an impression or a refund."""
        weight = np.where(self.event_type == PURCHASE, 1, TOUCH_WEIGHT)
        return np.where(np.isin(self.event_type, NO_INTEREST), 0, weight)


def fit_interests(touches: Touches, catalog: Catalog) -> InterestModel:
    """Number the categories of a catalog and count their share of all events."""
    labels = [name.rpartition(PATH_SEPARATOR)[0] or name for name in catalog.type_names]
    names = tuple(sorted(set(labels)))
    code = {name: number for number, name in enumerate(names)}
    model = InterestModel(names, np.array([code[label] for label in labels], np.int32))
    category = model.categories(touches.item_type)
    known = category >= 0
    count = np.bincount(category[known], touches.weight[known], minlength=len(names))
    return replace(model, share=count / max(count.sum(), 1e-12))


def top_interests(
    touches: Touches, model: InterestModel, config: HabitConfig, n_users: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Find the categories that each user prefers more than the shop does.

    The score of a category is its part of the divergence between the user's and the shop's shares:
    `p_uc · ln(p_uc / p_c)` with `p_uc = (w_uc + κ·p_c) / (w_u + κ)`.

    Args:
        touches: events of the users.
        model: categories of the shop.
        config: settings.
        n_users: number of users.

    Returns:
        The user of each interest, int64 ascending, and its category, int32, the highest score first.
    """
    category = model.categories(touches.item_type)
    kept = category >= 0
    weight = touches.weight[kept]
    pair = touches.user_idx[kept].astype(np.int64) * max(len(model.names), 1) + category[kept]
    pairs, of_pair = np.unique(pair, return_inverse=True)
    count = np.bincount(of_pair, weight, minlength=len(pairs))
    user, category = pairs // max(len(model.names), 1), (pairs % max(len(model.names), 1)).astype(np.int32)
    total = np.bincount(user, count, minlength=n_users)[user]
    share = model.share[category] if len(pairs) else count
    own = (count + config.shrinkage * share) / (total + config.shrinkage)
    score = own * np.log(np.maximum(own, 1e-12) / np.maximum(share, 1e-12))
    wanted = np.flatnonzero((score > 0) & (count >= config.min_touches))
    wanted = wanted[np.lexsort((category[wanted], -score[wanted], user[wanted]))]
    rank = np.arange(len(wanted)) - np.searchsorted(user[wanted], user[wanted], side="left")
    best = wanted[rank < config.n_interests]
    return user[best], category[best]


def habitual(
    visits: Visits, values: npt.NDArray[np.integer], n_values: int, min_visits: int, *, circular: bool = False
) -> npt.NDArray[np.int64]:
    """Return the most frequent value of each user's visits, int64 (n_users,), -1 with too few visits.

    Args:
        visits: visits of the users.
        values: int (n_visits,), in [0, n_values); -1 for unknown.
        n_values: number of values.
        min_visits: visits of known value without which there is no habit.
        circular: whether half of the visits at the values before and after count too, as for hours; of two values
            with equal counts the lower one wins.
    """
    found = np.full(visits.n_users, UNKNOWN, np.int64)
    step = max(CELLS // n_values, 1)
    for first in range(0, visits.n_users, step):
        last = min(first + step, visits.n_users)
        part = slice(int(visits.indptr[first]), int(visits.indptr[last]))
        known = values[part] >= 0
        cell = (visits.user_idx[part][known] - first) * n_values + values[part][known]
        count = np.bincount(cell, minlength=(last - first) * n_values).reshape(-1, n_values)
        near = np.roll(count, 1, axis=1) + np.roll(count, -1, axis=1) if circular else 0
        best = np.where(count > 0, count + 0.5 * near, 0).argmax(axis=1)
        found[first:last] = np.where(count.sum(axis=1) >= min_visits, best, UNKNOWN)
    return found
