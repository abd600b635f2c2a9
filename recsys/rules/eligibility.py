"""What may not be in a list whatever its score: each rule says which candidates it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.placements import Placement
from recsys.data.dataset import DAY_S
from recsys.fitting.engine import Engine
from recsys.retrieval.user_state import UserState

REPURCHASE_COOLDOWN_SHARE: Final = 0.5
"""Part of an item's interval for which a shopper who just bought it is not shown it beside another item."""


def _is_listable(placement: Placement, state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    allowed = state.query.allowed
    return np.ones(len(rows), np.bool_) if allowed is None else allowed[rows]


def _is_no_seed(placement: Placement, state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    seeds = state.query.seeds
    if not len(seeds):
        return np.ones(len(rows), np.bool_)
    group = state.engine.catalog.group
    groups = group[seeds][group[seeds] >= 0]
    return ~(np.isin(rows, seeds) | np.isin(group[rows], groups))


def _is_wanted(placement: Placement, state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    if placement.own == "keep" or not len(state.query.history):
        return np.ones(len(rows), np.bool_)
    own = state.own
    dropped = own.item_idx
    if placement.own == "not_yet_due":
        dropped = dropped[own.elapsed(state.query.now) < REPURCHASE_COOLDOWN_SHARE]
    return ~np.isin(rows, dropped)


def _complements_seeds(placement: Placement, state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    kept = np.ones(len(rows), np.bool_)
    if placement.only_complements:
        catalog, reversed_pairs = state.engine.catalog, state.engine.copurchase.reversed_pairs
        types = catalog.item_type
        for seed in state.query.seeds.tolist():
            kept &= (types[rows] != types[seed]) | (types[seed] < 0)
            kept &= ~reversed_pairs.is_reversed(seed, rows, catalog)
    return kept


def _is_unseen(placement: Placement, state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Without what the shopper did anything with of late, but for buying it: that is `own`'s."""
    query = state.query
    history = query.history
    if not placement.seen_days or not len(history):
        return np.ones(len(rows), np.bool_)
    since = query.now - placement.seen_days * DAY_S
    seen = history.item_idx[(history.timestamp > since) & (history.kind != state.engine.dataset_info.target_event)]
    return ~np.isin(rows, seen)


ELIGIBILITY_RULES: Final[
    Mapping[str, Callable[[Placement, UserState, npt.NDArray[np.int32]], npt.NDArray[np.bool_]]]
] = MappingProxyType(
    {
        "unavailable": _is_listable,
        "seed": _is_no_seed,
        "no complement": _complements_seeds,
        "own": _is_wanted,
        "seen": _is_unseen,
    }
)
"""What may leave a list, in order; each says which candidates it keeps."""


def eligible_mask(placement: Placement, state: UserState, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Which items no rule takes out, bool (n,)."""
    kept = np.ones(len(rows), np.bool_)
    for keep in ELIGIBILITY_RULES.values():
        kept &= keep(placement, state, rows)
    return kept


def dedupe_variants(engine: Engine, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Which rows are the first variant of their product, bool (n,)."""
    if not engine.catalog.has_groups:
        return np.ones(len(rows), np.bool_)
    group = engine.catalog.group[rows]
    _, first = np.unique(np.where(group >= 0, group, -2 - np.arange(len(group))), return_index=True)
    kept = np.zeros(len(rows), np.bool_)
    kept[first] = True
    return kept
