"""What a moment is asked with, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.core.occasions import Occasion
from recsys.core.topk import top_k
from recsys.data.history import UserHistory
from recsys.fitting.engine import Engine
from recsys.models.moments.config import MomentsConfig
from recsys.models.temporal.repeat import PurchaseStats

N_FOUND: Final = 200
"""Largest number of items that a moment finds."""

NEVER: Final = 0
"""Where an item has no due time, or no expiry."""


Values = Mapping[str, npt.NDArray[Any]]
"""What the reasons of some items state, one array per name."""


@dataclass(frozen=True)
class MomentQuery:
    """A user at a moment.

    Attributes:
        engine: the models, over the catalog with the offers that apply.
        history: the user's events up to the moment.
        own: the user's purchases.
        liked: rows of the items that the user likes most, int32, and their weights, float32, > 0.
        now: seconds since 1970 UTC.
        local: the moment in the user's zone.
        allowed: bool (n_items,), items that may be listed; None for all.
        context: values of the request.
        attributes: returns those of the user.
        occasions: those of the placement.
    """

    engine: Engine
    history: UserHistory
    own: PurchaseStats
    liked: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
    now: int
    local: datetime
    allowed: npt.NDArray[np.bool_] | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    attributes: Callable[[], Mapping[str, Any]] = dict
    occasions: tuple[Occasion, ...] = ()

    @property
    def config(self) -> MomentsConfig:
        """Settings of the moment lists."""
        return self.engine.config.moments


@dataclass(frozen=True)
class MomentItems:
    """The items of a moment; arrays of one length.

    Attributes:
        item_idx: int32 (n,), distinct.
        score: float32 (n,), > 0.
        message: object (n,), names in the message catalog of what the reasons state.
        values: what the messages state, one array per name.
        due_at: int64 (n,), when the item is due, seconds since 1970; `NEVER` for none.
        expires_at: int64 (n,), from when on the reason is no longer true; `NEVER` for none.
    """

    item_idx: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    message: npt.NDArray[np.object_]
    values: Values
    due_at: npt.NDArray[np.int64]
    expires_at: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        item_idx: npt.NDArray[np.integer],
        score: npt.NDArray[np.floating | np.integer],
        message: str | npt.NDArray[np.object_],
        values: Values,
        due_at: npt.NDArray[np.floating | np.integer] | None = None,
        expires_at: npt.NDArray[np.floating | np.integer] | None = None,
    ) -> MomentItems:
        """Build the items from columns; a single message is that of all items."""
        n = len(item_idx)
        names = np.full(n, message, np.object_) if isinstance(message, str) else message
        due, expires = (
            np.full(n, NEVER, np.int64) if moment is None else np.asarray(moment).astype(np.int64)
            for moment in (due_at, expires_at)
        )
        return cls(item_idx.astype(np.int32), score.astype(np.float32), names, values, due, expires)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> MomentItems:
        """Return the items at some positions."""
        values = {name: column[rows] for name, column in self.values.items()}
        return MomentItems(
            self.item_idx[rows],
            self.score[rows],
            self.message[rows],
            values,
            self.due_at[rows],
            self.expires_at[rows],
        )

    def best(self, allowed: npt.NDArray[np.bool_] | None) -> MomentItems:
        """Return the items that may be listed, at most `N_FOUND`, the best ones first."""
        kept = self if allowed is None else self.take(allowed[self.item_idx])
        return kept.take(top_k(kept.score, N_FOUND, kept.item_idx))


def no_items() -> MomentItems:
    """Return no items."""
    return MomentItems.of(np.empty(0, np.int32), np.empty(0, np.float32), "", {})
