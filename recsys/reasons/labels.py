"""Reasons of a list, those of pinned and promoted items included."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.placements import Placement
from recsys.core.request import Reason
from recsys.reasons.context import message_templates
from recsys.reasons.evidence import reasons_for
from recsys.reasons.templates import BoundMessage
from recsys.retrieval.user_state import UserState

PINNED: Final = "pinned"
"""Source of an item that the shop pinned."""

PROMOTED: Final = "promoted"


def rule_reasons(
    placement: Placement, state: UserState, rows: npt.NDArray[np.int32], sources: list[str]
) -> list[tuple[Reason, ...]]:
    """Returns the reasons of each item of a list with pins or promotions, which are marked as such.

    Args:
        placement: the list.
        state: the user and the query.
        rows: int32 (n,), listed items.
        sources: for each item, the source that contributes most to it.
    """
    overrides = state.query.overrides
    templates = message_templates(state.engine)
    pinned, promoted = (Reason(name, BoundMessage(templates, name, {})) for name in (PINNED, PROMOTED))
    is_found = np.array([source != PINNED for source in sources], np.bool_)
    found = iter(reasons_for(placement, state, rows[is_found], [source for source in sources if source != PINNED]))
    is_promoted = np.zeros(len(rows), np.bool_)
    for mask, _ in overrides.promotions:
        is_promoted |= mask[rows]
    return [
        (*(next(found) if has_evidence else (pinned,)), *([promoted] if also else []))
        for has_evidence, also in zip(is_found.tolist(), is_promoted.tolist(), strict=True)
    ]
