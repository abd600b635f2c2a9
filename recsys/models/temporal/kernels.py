"""Elapsed-time kernels: how a purchase raises the chance of the next one, by days and by orders since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.config.ranges import PositiveFloat, PositiveInt
from recsys.data.catalog import Catalog
from recsys.data.dataset import DAY_S, Dataset
from recsys.data.incidence import incidence
from recsys.models.arrays import shrink

DAYS: Final = np.array([0, 0.5, 2, 4, 6, 8, 11, 15, 20, 27, 36, 50, 70, 100, 140, 200, 300])
"""First day of each interval of age, in half days; the last one has no end."""

ORDERS: Final = np.array([0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 30, 45, 70, 120])
"""First number of later orders of each interval."""

N_STEPS: Final = len(DAYS) + len(ORDERS)
N_ITERATIONS: Final = 20
HALF_DAY_S: Final = DAY_S // 2
STEP_OF_HALF_DAYS: Final = DAYS.searchsorted(np.arange(2 * DAYS[-1] + 1) / 2, side="right") - 1
STEP_OF_ORDERS: Final = len(DAYS) + ORDERS.searchsorted(np.arange(ORDERS[-1] + 1), side="right") - 1

Numbers = npt.NDArray[np.int64]
Rates = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KernelConfig:
    """Settings of the elapsed-time kernels.

    Attributes:
        n_orders: latest orders of each user that the kernels are fitted to.
        max_purchases: purchases that the fit reads; of more, it reads those of every k-th user.
        shrinkage: repeat purchases that pull the kernel of an item to that of its type, this to the shop's, and this to
            the decay of the settings.
        item_shrinkage: repeat purchases that pull the height of an item's kernel to that of its type; items with as
            many have a kernel of their own.
    """

    n_orders: PositiveInt = 12
    max_purchases: PositiveInt = 2_000_000
    shrinkage: PositiveFloat = 500.0
    item_shrinkage: PositiveFloat = 100.0


@dataclass(frozen=True)
class KernelModel:
    """Step functions of the days and of the orders since a purchase.

    Attributes:
        curves: float32 (n_curves, N_STEPS), repeat purchases per order, > 0; rows of the shop, of each type, and of
            items that are often bought again.
        curve_of: int32 (n_items,), row of each item: its own, else that of its type, else the shop's.
        height: float32 (n_items,), factor of each item, > 0.
    """

    curves: npt.NDArray[np.float32]
    curve_of: npt.NDArray[np.int32]
    height: npt.NDArray[np.float32]

    def rate(
        self, item_idx: npt.NDArray[np.int32], age_s: npt.NDArray[np.int64], n_later: Numbers
    ) -> npt.NDArray[np.float32]:
        """Return what each purchase adds to the chance that the user's next order contains the item.

        `height_i · (k_days(age) + k_orders(n_later))` with the kernels of the item.

        Args:
            item_idx: int32 (n,), the items.
            age_s: int64 (n,), time since each purchase, in seconds, >= 0.
            n_later: int64 (n,), later orders of the user.

        Returns:
            float32 (n,), > 0.
        """
        steps, first = self.curves.ravel(), self.curve_of[item_idx].astype(np.int64) * N_STEPS
        day, order = _steps(age_s, n_later)
        return self.height[item_idx] * (steps[first + day] + steps[first + order])


def fit_kernels(
    dataset: Dataset, catalog: Catalog, decay_days: float, decay_power: float, config: KernelConfig
) -> KernelModel:
    """Fit the kernels to the latest orders of all users by expectation maximization.

    An order of user u contains an item that u had bought before with rate `Σ k_days(age) + k_orders(n_later)` over u's
    earlier purchases of it. Each repeat purchase is shared among the steps that explain it, in proportion to their
    rates; a step is then `(shares + κ·prior/Σprior) / (exposure + κ/Σprior)`, where the exposure counts orders and
    earlier purchases. The prior of the shop is `(1 + age/decay_days)^−decay_power` and `(1 + n_later)^−decay_power`,
    that of a type is the shop's kernel, and that of an item is the kernel of its type times the height of the item: its
    repeat purchases over what that kernel expects, both shrunk. Where no time is known, or all are equal, the orders
    since the purchase tell all.

    Args:
        dataset: the shop.
        catalog: product types.
        decay_days: time scale of the prior, in days, > 0.
        decay_power: exponent of the prior, > 0.
        config: settings.

    Returns:
        The model; without repeat purchases it is the prior.

    Reference:
        Marsan & Lengliné (2008), Extending Earthquakes' Reach Through Cascading, Science (the fit); Romanov, Lashinin,
        Ananyeva & Kolesnikov (2023), Time-Aware Item Weighting for the Next Basket Recommendations, RecSys. Deviations:
        steps for the mixture of an exponential and a normal kernel, the number of later orders beside the days, and
        shrinkage for gradient descent.
    """
    curve_of = (catalog.item_type + 1).astype(np.int32)
    n_curves, n_items = len(catalog.type_names) + 1, len(dataset.items)
    prior = np.concatenate([(1 + DAYS / decay_days) ** -decay_power, (1.0 + ORDERS) ** -decay_power])
    past = _RepeatedPurchases.of(dataset, config)
    n_repeats = np.bincount(past.item[past.is_first], minlength=len(past.items)).astype(np.float64)
    expected = past.exposure.sum(axis=0) @ prior
    prior = prior * ((n_repeats.sum() + 1) / (expected + 1))
    shop = past.fit(np.zeros(len(past.items), np.int64), prior[None], config.shrinkage)
    curve = curve_of[past.items]
    curves = past.fit(curve, np.repeat(shop, n_curves, axis=0), config.shrinkage)
    height = np.ones(n_items)
    expected = (past.exposure * curves[curve]).sum(axis=1)
    height[past.items] = shrink(n_repeats, expected, 1.0, config.item_shrinkage)
    is_frequent = n_repeats >= config.item_shrinkage
    own, label = past.items[is_frequent], np.where(is_frequent, np.cumsum(is_frequent), 0)
    prior = np.concatenate([shop, curves[curve_of[own]] * height[own, None]])
    curves = np.concatenate([curves, past.fit(label, prior, config.shrinkage)[1:]])
    curve_of[own], height[own] = n_curves + np.arange(len(own)), 1
    return KernelModel(curves.astype(np.float32), curve_of, height.astype(np.float32))


@dataclass(frozen=True)
class _RepeatedPurchases:
    """The latest orders of all users beside their earlier purchases of the same items.

    Attributes:
        items: int (n,), the distinct items; other arrays number them.
        exposure: float64 (n, N_STEPS), pairs of an earlier purchase of the item and a later order, by step.
        item, day, order: int64 (n_pairs,), item and steps of each pair whose order contains the item again.
        is_first: bool (n_pairs,), where the pairs of another repeat purchase begin.
    """

    items: npt.NDArray[np.integer]
    exposure: Rates
    item: Numbers
    day: Numbers
    order: Numbers
    is_first: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, dataset: Dataset, config: KernelConfig) -> _RepeatedPurchases:
        """Pair the latest orders with the purchases before them."""
        user, items, item, time, n_later, times, ends = _purchases(dataset, config.max_purchases)
        run = np.cumsum(np.concatenate([[0], (user[1:] != user[:-1]) | (item[1:] != item[:-1])])[: len(user)])
        exposure = np.zeros(len(items) * N_STEPS)
        found: list[tuple[npt.NDArray[np.integer], ...]] = []
        for latest in range(config.n_orders):
            before = np.flatnonzero(n_later > latest)
            is_taken = np.zeros(int(run.max(initial=-1)) + 1, np.bool_)
            is_taken[run[n_later == latest]] = True
            age_s = times[ends[user[before]] - 1 - latest] - time[before]
            day, order = _steps(age_s, n_later[before] - latest - 1)
            for step in (day, order):
                exposure += np.bincount(item[before] * N_STEPS + step, minlength=len(exposure))
            again = is_taken[run[before]]
            rows = run[before[again]]
            is_first = np.concatenate([rows[:1] == rows[:1], rows[1:] != rows[:-1]])
            found.append((item[before[again]], day[again], order[again], is_first))
        columns = (np.concatenate(column) for column in zip(*found, strict=True))
        return cls(items, exposure.reshape(-1, N_STEPS), *columns)

    def fit(self, label: npt.NDArray[np.integer], prior: Rates, pseudo_count: float) -> Rates:
        """Estimate the kernel of each label, float64 (n_labels, N_STEPS), > 0; see `fit_kernels`.

        Args:
            label: int (n,), label of each item.
            prior: float64 (n_labels, N_STEPS), > 0.
            pseudo_count: κ, repeat purchases that the prior is worth, > 0.
        """
        shape = prior.shape
        members = incidence(label, np.arange(len(label)), (len(prior), len(label)))
        exposure = members.astype(np.float64) @ self.exposure
        weight = pseudo_count / prior.sum(axis=1, keepdims=True)
        cells = [label[self.item].astype(np.int64) * N_STEPS + step for step in (self.day, self.order)]
        starts, repeat = np.flatnonzero(self.is_first), np.cumsum(self.is_first) - 1
        rates = prior.copy()
        for _ in range(N_ITERATIONS if len(starts) else 0):
            parts = [rates.ravel()[cell] for cell in cells]
            share = 1 / np.add.reduceat(parts[0] + parts[1], starts)[repeat]
            shares = sum(np.bincount(cell, part * share, rates.size) for cell, part in zip(cells, parts, strict=True))
            rates = (np.reshape(shares, shape) + weight * prior) / (exposure + weight)
        return rates


def _steps(age_s: npt.NDArray[np.integer], n_later: npt.NDArray[np.integer]) -> tuple[Numbers, Numbers]:
    """Return the columns of `KernelModel.curves` for ages and for numbers of later orders."""
    half_days = np.minimum(age_s // HALF_DAY_S, len(STEP_OF_HALF_DAYS) - 1)
    return STEP_OF_HALF_DAYS[np.maximum(half_days, 0)], STEP_OF_ORDERS[np.minimum(n_later, ORDERS[-1])]


def _purchases(dataset: Dataset, max_purchases: int) -> tuple[npt.NDArray[np.integer], ...]:
    """Return purchases by user, item and time, one per order, and the orders of all users.

    Returns:
        User, distinct items, number of the item, time and number of later orders of each purchase; times of all orders
        by user, oldest first; end of each user's orders.
    """
    bought = dataset.target_events
    is_known = bought.user_idx >= 0
    stride = -(-int(is_known.sum()) // max_purchases)
    bought = bought.take(is_known & (bought.user_idx % max(stride, 1) == 0))
    user = bought.user_idx.astype(np.int64)
    key = user * (int(bought.basket_idx.max(initial=0)) + 2) + bought.basket_idx + 1
    _, first, order = np.unique(key, return_index=True, return_inverse=True)
    by_user = np.lexsort((first, user[first]))
    ends = np.cumsum(np.bincount(user[first], minlength=len(dataset.users)))
    n_later = np.empty(len(first), np.int64)
    n_later[by_user] = ends[user[first[by_user]]] - 1 - np.arange(len(first))
    items, item = np.unique(bought.item_idx, return_inverse=True)
    rows = np.lexsort((-n_later[order], item, user))
    pair = np.stack([user[rows], item[rows], order[rows]])
    rows = rows[np.concatenate([pair[0, :1] == pair[0, :1], (pair[:, 1:] != pair[:, :-1]).any(axis=0)])]
    times = bought.timestamp[first[by_user]]
    return user[rows], items, item[rows], bought.timestamp[rows], n_later[order[rows]], times, ends
