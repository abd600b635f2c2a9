"""Questions of past baskets: which other items were in the basket of an item."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.topk import is_among
from recsys.ranking.holdout import Holdout

K: Final = 10


@dataclass(frozen=True)
class BasketQuestions:
    """One item of each of some baskets.

    Attributes:
        seed: int32 (n,), the item that is known.
        basket: int64 (n,), the basket, or the user where orders hold one item.
        line: int64, ascending, `basket · n_items + item` of every item of the baskets.
        n_items: size of the catalog.
    """

    seed: npt.NDArray[np.int32]
    basket: npt.NDArray[np.int64]
    line: npt.NDArray[np.int64]
    n_items: int

    def __len__(self) -> int:
        return len(self.seed)

    def take(self, chosen: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> BasketQuestions:
        """Return some of the questions."""
        return replace(self, seed=self.seed[chosen], basket=self.basket[chosen])

    def is_taken(self, basket: npt.NDArray[np.int64], item_idx: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Return whether items were in baskets, bool of the shape that the two broadcast to; -1 never was."""
        line = basket * self.n_items + item_idx
        return np.asarray(is_among(line.ravel(), self.line).reshape(line.shape) & (item_idx >= 0))

    def hits(self, item_idx: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Return 1 for each question with an item of its basket among the first `K`, else 0.

        Args:
            item_idx: int32 (n, length), the list of each question, -1 past its end.

        Returns:
            float64 (n,).
        """
        return np.asarray(self.is_taken(self.basket[:, None], item_idx[:, :K]).any(axis=1), np.float64)


def draw_baskets(cut: Holdout, n: int, rng: np.random.Generator, *, by_basket: bool) -> BasketQuestions:
    """Draw one item of each of some past baskets.

    Args:
        cut: the hold-out whose answers are asked for.
        n: most baskets.
        rng: source of the draws.
        by_basket: whether a basket is an order, else all that a user bought.

    Returns:
        Questions by basket, ascending; baskets of one item ask nothing.
    """
    later = cut.answers.take(cut.answers.event_type == cut.known.target_event)
    group = later.basket_idx if by_basket else later.user_idx
    n_items = len(cut.known.items)
    line = np.unique(group[group >= 0].astype(np.int64) * n_items + later.item_idx[group >= 0])
    basket, size = np.unique(line // max(n_items, 1), return_counts=True)
    start = np.cumsum(size) - size
    chosen = np.flatnonzero(size >= 2)
    chosen = np.sort(rng.permutation(chosen)[:n])
    seed = line[start[chosen] + (rng.random(len(chosen)) * size[chosen]).astype(np.int64)] % max(n_items, 1)
    return BasketQuestions(seed.astype(np.int32), basket[chosen], line, n_items)
