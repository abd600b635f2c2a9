"""Reasons of moment lists: what each moment found out about its items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recsys.moments.found import NEVER
from recsys.moments.registry import MOMENTS
from recsys.reasons.context import NOTHING, ItemReasons, ReasonContext, Rows
from recsys.retrieval.user_state import UserState

Times = tuple[int, int]
"""When an item is due and when its reason expires, seconds since 1970; `NEVER` for none."""


def of_moment(name: str) -> Callable[[ReasonContext, Rows], list[ItemReasons]]:
    """Returns the function that states what the moment of a source found about some rows."""

    def reasons(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
        found = context.state.moment(name)
        position = {row: n for n, row in enumerate(found.item_idx.tolist())}
        stated: list[ItemReasons] = []
        for row in rows.tolist():
            at = position.get(row)
            if at is None:
                stated.append(NOTHING)
                continue
            values = {key: _plain(column[at]) for key, column in found.values.items()}
            stated.append((context.reason(str(found.message[at]), values),))
        return stated

    return reasons


def moment_times(state: UserState, rows: Rows, sources: list[str]) -> list[Times]:
    """Returns when each item is due, and when its reason expires.

    Args:
        state: the user and the query.
        rows: int32 (n,), listed items.
        sources: for each item, the source that contributes most to it.
    """
    times: list[Times] = [(NEVER, NEVER)] * len(rows)
    for name in {*sources} & MOMENTS.keys():
        found = state.moment(name)
        position = {row: n for n, row in enumerate(found.item_idx.tolist())}
        for n, (row, source) in enumerate(zip(rows.tolist(), sources, strict=True)):
            if source == name and row in position:
                at = position[row]
                times[n] = int(found.due_at[at]), int(found.expires_at[at])
    return times


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
