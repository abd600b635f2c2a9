"""Generated baskets: independent ones of any skew, season and size, and the same with planted sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import DAY_S
from recsys.data.incidence import incidence
from recsys.models.pairs.basket_pairs import Baskets

YEAR_DAYS = 365


@dataclass(frozen=True)
class BasketShop:
    """How independent baskets are drawn: items without replacement, by weights that fall as `1 / rank^skew`."""

    n_items: int = 150
    n_baskets: int = 4000
    n_users: int = 800
    skew: float = 1.0
    seasons: float = 0.0
    size_spread: float = 0.8

    def baskets(self, seed: int) -> Baskets:
        """Draws the baskets."""
        rng = np.random.default_rng(seed)
        size = 1 + rng.lognormal(1.0, self.size_spread, self.n_baskets).astype(np.int64)
        size = np.minimum(size, self.n_items // 2)
        day = np.sort(rng.uniform(0, YEAR_DAYS, self.n_baskets))
        peak = rng.uniform(0, YEAR_DAYS, self.n_items)
        weight = -self.skew * np.log(np.arange(1, self.n_items + 1)) + self.seasons * np.cos(
            2 * np.pi * (day[:, None] - peak) / YEAR_DAYS
        )
        order = np.argsort(-(weight + rng.gumbel(size=weight.shape)), axis=1)[:, : size.max()]
        taken = np.arange(order.shape[1]) < size[:, None]
        users = rng.integers(0, self.n_users, self.n_baskets).astype(np.int32)
        return Baskets(
            incidence(np.nonzero(taken)[0], order[taken], (self.n_baskets, self.n_items)),
            (day * DAY_S).astype(np.int64),
            users,
        )


def with_sets(baskets: Baskets, sets: Sequence[Sequence[int]], n: int, seed: int) -> Baskets:
    """Puts each set into some baskets as a whole."""
    rng, matrix = np.random.default_rng(seed), baskets.matrix.tocoo()
    rows: list[npt.NDArray[np.integer]] = [matrix.row]
    columns: list[npt.NDArray[np.integer]] = [matrix.col]
    for items in sets:
        chosen = rng.choice(matrix.shape[0], n, replace=False)
        rows.append(np.repeat(chosen, len(items)))
        columns.append(np.tile(np.array(items), n))
    return replace(baskets, matrix=incidence(np.concatenate(rows), np.concatenate(columns), matrix.shape))


def baskets_of(contents: Sequence[Sequence[int]], n_items: int, users: npt.ArrayLike | None = None) -> Baskets:
    """Returns given baskets, each a day after the one before, of a user of their own if none are given."""
    row = np.repeat(np.arange(len(contents)), [len(items) for items in contents])
    column = np.array([item for items in contents for item in items], np.int64)
    return Baskets(
        incidence(row, column, (len(contents), n_items)),
        np.arange(len(contents), dtype=np.int64) * DAY_S,
        np.asarray(np.arange(len(contents)) if users is None else users, np.int32),
    )
