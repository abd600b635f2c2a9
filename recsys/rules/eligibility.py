"""The rules that keep items out of a list whatever their scores; each returns a mask of the items that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from recsys.core.placements import Placement
from recsys.core.topk import is_among, is_in
from recsys.data.dataset import DAY_S, REFUND
from recsys.fitting.engine import Engine
from recsys.kernels.eligibility import is_no_second, resting_items
from recsys.retrieval.query import Mask, Rows
from recsys.retrieval.user_state import UserState

REPURCHASE_COOLDOWN_SHARE: Final = 0.5
"""Part of an item's repurchase interval during which a user who bought it does not see it next to another item."""


Rule = Callable[[Placement, UserState, Rows], Mask]


def _is_listable(placement: Placement, state: UserState, rows: Rows) -> Mask:
    allowed = state.query.allowed
    return np.ones(len(rows), np.bool_) if allowed is None else allowed[rows]


def _is_no_seed(placement: Placement, state: UserState, rows: Rows) -> Mask:
    """Neither a seed nor a variant of one."""
    seeds, group = state.query.seeds, state.engine.catalog.group
    groups = group[seeds][group[seeds] >= 0]
    return ~(is_in(rows, seeds) | is_in(group[rows], groups))


def _complements_seeds(placement: Placement, state: UserState, rows: Rows) -> Mask:
    """Of another product type than each seed, and not what the seed is an accessory of."""
    catalog, reversed_pairs = state.engine.catalog, state.engine.copurchase.reversed_pairs
    kept, types = np.ones(len(rows), np.bool_), catalog.item_type
    for seed in state.query.seeds.tolist():
        kept &= (types[rows] != types[seed]) | (types[seed] < 0)
        kept &= ~reversed_pairs.is_reversed(seed, rows, catalog)
    return kept


def _is_wanted(placement: Placement, state: UserState, rows: Rows) -> Mask:
    """Neither bought nor seen before; or not bought, or due again, where the placement says so."""
    if placement.own in ("drop", "drop_types"):
        kept = ~is_in(rows, state.query.history.item_idx)
        return kept & ~_is_of_known_category(state, rows) if placement.own == "drop_types" else kept
    own = state.own
    return ~is_in(rows, own.item_idx[own.elapsed(state.query.now) < REPURCHASE_COOLDOWN_SHARE])


def _is_of_known_category(state: UserState, rows: Rows) -> Mask:
    """Of a category that the user bought from, or of unknown category; the type, where its path has one level."""
    catalog = state.engine.catalog
    types, bought = catalog.item_type, state.own.item_idx
    category = catalog.item_category
    own_types, own_categories = types[bought], category[bought]
    is_known = is_in(types[rows], own_types) | (types[rows] < 0)
    return is_known | ((category[rows] >= 0) & is_in(category[rows], own_categories))


def _is_kept(placement: Placement, state: UserState, rows: Rows) -> Mask:
    """Not returned by the user since the last purchase that was kept."""
    history, target = state.query.history, state.engine.dataset_info.target_event
    orders = history.take((history.event_type == REFUND) | (history.event_type == target))
    latest = len(orders) - 1 - np.unique(orders.item_idx[::-1], return_index=True)[1]
    return ~is_in(rows, orders.item_idx[latest[orders.event_type[latest] == REFUND]])


def _has_rested(placement: Placement, state: UserState, rows: Rows) -> Mask:
    """Not bought so lately that almost nobody buys it again, nor a variant of such an item; own repeats count."""
    own, group = state.own, state.engine.catalog.group
    rest_days = state.engine.repeat.rest.days
    bought = (own.item_idx, own.starts, own.time, own.interval_days)
    resting = resting_items(*bought, rest_days, state.query.now, REPURCHASE_COOLDOWN_SHARE)
    kept = ~is_among(rows, resting)
    if state.engine.catalog.has_groups and len(resting):
        kept &= ~is_in(group[rows], group[resting][group[resting] >= 0]) | is_among(rows, own.item_idx)
    return kept


def _is_no_second(placement: Placement, state: UserState, rows: Rows) -> Mask:
    """Not of a type that is bought once and that the user has; items that the user bought are for other rules."""
    engine = state.engine
    kept: Mask = is_no_second(rows, state.own.item_idx, engine.catalog.item_type, engine.repeat.rest.is_durable_type)
    return kept


def _is_unseen(placement: Placement, state: UserState, rows: Rows) -> Mask:
    """Without a recent event other than a purchase, which `own` is for."""
    query = state.query
    history = query.history
    since = query.now - placement.seen_days * DAY_S
    seen = history.item_idx[
        (history.timestamp > since) & (history.event_type != state.engine.dataset_info.target_event)
    ]
    return ~is_in(rows, seen)


ELIGIBILITY_RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "unavailable": _is_listable,
        "seed": _is_no_seed,
        "no complement": _complements_seeds,
        "own": _is_wanted,
        "returned": _is_kept,
        "not again so soon": _has_rested,
        "has one already": _is_no_second,
        "seen": _is_unseen,
    }
)
"""By name, in the order in which they apply."""


def rules_for(placement: Placement, state: UserState) -> dict[str, Rule]:
    """Returns the rules that can remove anything from a list, by name, in the order in which they apply."""
    query = state.query
    applies = {
        "unavailable": query.allowed is not None,
        "seed": placement.anchor == "item" and len(query.seeds) > 0,
        "no complement": placement.only_complements and len(query.seeds) > 0,
        "own": placement.own != "keep" and state.has_history,
        "returned": bool((query.history.event_type == REFUND).any()),
        "not again so soon": placement.rests and state.has_history,
        "has one already": placement.rests and state.has_history and state.engine.repeat.rest.is_any_durable,
        "seen": placement.seen_days > 0 and state.has_history,
    }
    return {name: rule for name, rule in ELIGIBILITY_RULES.items() if applies[name]}


def eligible_mask(placement: Placement, state: UserState, rows: Rows) -> Mask:
    """Returns the items that every rule keeps, bool (n,)."""
    kept = np.ones(len(rows), np.bool_)
    for keep in rules_for(placement, state).values():
        kept &= keep(placement, state, rows)
    return kept


def dedupe_variants(engine: Engine, rows: Rows) -> Mask:
    """Returns the rows that are the first variant of their product, bool (n,)."""
    if not engine.catalog.has_groups:
        return np.ones(len(rows), np.bool_)
    group = engine.catalog.group[rows]
    _, first = np.unique(np.where(group >= 0, group, -2 - np.arange(len(group))), return_index=True)
    kept = np.zeros(len(rows), np.bool_)
    kept[first] = True
    return kept
