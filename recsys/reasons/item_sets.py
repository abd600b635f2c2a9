"""Evidence for sets of items: the baskets that had all of them."""

from __future__ import annotations

from recsys.core.request import Reason
from recsys.reasons.context import ItemReasons, ReasonContext, Rows
from recsys.reasons.evidence import REASONS
from recsys.reasons.templates import Value
from recsys.retrieval.user_state import UserState


def set_reasons(state: UserState, rows: Rows, set_idx: Rows) -> list[ItemReasons]:
    """Returns the reasons of items that are listed with a set: that of the set, and the user's own purchases.

    Args:
        state: the user and the query.
        rows: int32 (n,), distinct items.
        set_idx: int32 (n,), the row of each item's set in `Engine.item_sets`.
    """
    context, sets = ReasonContext(state.engine, state, state.query), state.engine.item_sets
    of_set: dict[int, Reason] = {}
    for number in dict.fromkeys(set_idx.tolist()):
        values: dict[str, Value] = {"support": int(sets.support[number]), "lift": round(float(sets.lift[number]), 2)}
        of_set[number] = context.reason("item_set", values)
    again = REASONS["repeat"](context, rows)
    return [(of_set[number], *own) for number, own in zip(set_idx.tolist(), again, strict=True)]
