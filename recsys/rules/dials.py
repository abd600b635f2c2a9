"""What the rules of a placement say of the rows of one catalogue, for one request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Dials:
    """Rules in rows.

    Attributes:
        is_filtered: whether a filter narrows what may be listed: then the list is filled from all that is left.
        boosts: items and what their scores are multiplied by.
        promotions: items and their share of the places.
        pins: rows and their ranks, ascending by rank.
    """

    is_filtered: bool = False
    boosts: tuple[tuple[Mask, float], ...] = ()
    promotions: tuple[tuple[Mask, float], ...] = ()
    pins: tuple[tuple[int, int], ...] = ()


NO_DIALS: Final = Dials()
