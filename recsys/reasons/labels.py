"""Reasons of the items that rules put into a list, beside those that have evidence of their own."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.placements import Placement
from recsys.core.request import Reason
from recsys.reasons.evidence import reasons_for
from recsys.retrieval.user_state import UserState

PINNED: Final = "pinned"
"""Source of an item that is in a list because the shop put it there."""

PINNED_REASON: Final = Reason("pinned", "chosen by the shop", text_zh="店铺精选")
PROMOTED_REASON: Final = Reason("promoted", "promoted by the shop", text_zh="店铺推广")


def rule_reasons(
    placement: Placement, state: UserState, rows: npt.NDArray[np.int32], sources: tuple[str, ...]
) -> list[tuple[Reason, ...]]:
    """Reasons of each listed item; what is pinned or promoted says so.

    Args:
        placement: the list.
        state: whom, and what, the request is about.
        rows: int32 (n,), listed items.
        sources: for each item, the source that spoke most for it.
    """
    overrides = state.query.overrides
    if not overrides.pins and not overrides.promotions:
        return reasons_for(placement, state, rows, sources)
    found = np.array([source != PINNED for source in sources], np.bool_)
    others = tuple(source for source in sources if source != PINNED)
    told = iter(reasons_for(placement, state, rows[found], others))
    lists = [next(told) if is_found else (PINNED_REASON,) for is_found in found]
    for mask, _ in overrides.promotions:
        lists = [
            (*why, PROMOTED_REASON) if is_promoted and PROMOTED_REASON not in why else why
            for why, is_promoted in zip(lists, mask[rows].tolist(), strict=True)
        ]
    return lists
