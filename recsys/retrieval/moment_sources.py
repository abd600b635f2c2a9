"""Moments as sources of candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from recsys.moments.registry import MOMENTS
from recsys.retrieval.candidates import Scored
from recsys.retrieval.user_state import UserState


def source_of(name: str) -> Callable[[UserState], Scored]:
    """Returns the source that finds the items of a moment."""

    def source(state: UserState) -> Scored:
        found = state.moment(name)
        return found.item_idx, found.score

    return source


MOMENT_SOURCES: Final[Mapping[str, Callable[[UserState], Scored]]] = MappingProxyType(
    {name: source_of(name) for name in MOMENTS}
)
"""By name of the moment."""
