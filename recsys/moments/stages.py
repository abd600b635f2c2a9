"""Stages of life, such as those of a child: what fits one stage does not fit together with what fits another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.core.occasions import Occasion
from recsys.fitting.engine import Engine
from recsys.moments.occasions import tagged

ANY: Final = -1
"""All bits: every stage."""


@dataclass(frozen=True)
class Stages:
    """The stages of each item, by the user's date that they count from.

    Attributes:
        occasions: the stages of each date, at most 63.
        of_item: int64 (n_dates, n_items), bit k for the k-th stage of the date; 0 for an item that fits every stage.
    """

    occasions: tuple[tuple[Occasion, ...], ...]
    of_item: npt.NDArray[np.int64]

    def of_user(self, local: datetime, attributes: Mapping[str, Any]) -> npt.NDArray[np.int64]:
        """Return the open stages of a user, int64 (n_dates,); `ANY` where none is, as without a date or long after it.

        Args:
            local: the moment, in the shopper's zone.
            attributes: of the user.
        """
        found = np.zeros(len(self.occasions), np.int64)
        for n, stages in enumerate(self.occasions):
            for bit, occasion in enumerate(stages):
                if occasion.open_times(local, {}, attributes) is not None:
                    found[n] |= 1 << bit
        return np.where(found == 0, ANY, found)


def stages_of(engine: Engine, occasions: Iterable[Occasion]) -> Stages:
    """Return the stages of each item; a date of which no item has a stage is left out.

    Args:
        engine: the models over the current catalog.
        occasions: of any kind; those with a date are stages.
    """
    by_date: dict[str, list[Occasion]] = {}
    for occasion in dict.fromkeys(occasions):
        if occasion.date and len(by_date.setdefault(occasion.date, [])) < 63:
            by_date[occasion.date].append(occasion)
    masks = [
        sum((tagged(engine, each.tags).astype(np.int64) << bit for bit, each in enumerate(stages)), np.int64(0))
        for stages in by_date.values()
    ]
    kept = [(tuple(stages), mask) for stages, mask in zip(by_date.values(), masks, strict=True) if np.any(mask)]
    of_item = np.array([mask for _, mask in kept], np.int64).reshape(len(kept), engine.n_items)
    return Stages(tuple(stages for stages, _ in kept), of_item)
