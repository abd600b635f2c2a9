"""The evidence for each item of a list, read from the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import chain
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.placements import Placement
from recsys.core.request import Reason
from recsys.core.schema import EVENT_NAMES
from recsys.core.topk import is_among
from recsys.data.dataset import DAY_S
from recsys.models.temporal.repeat import PurchaseStats
from recsys.models.temporal.timeofday import HOURS_A_DAY
from recsys.moments.registry import MOMENTS
from recsys.reasons import related
from recsys.reasons.context import NOTHING, ItemReasons, ReasonContext, Rows
from recsys.reasons.moments import of_moment
from recsys.reasons.templates import Value
from recsys.retrieval.user_state import UserState

NOTABLE_LIFT: Final = 1.005

FEW: Final = 0.05
"""Largest share of shoppers that are few: only then an item is of a niche."""

FEW_BASKETS: Final = 2
LATEST_DUE: Final = (1.5, 2.0)
"""Intervals since the last purchase after which an item is not said to be due any more: of an item that was bought in
at most `FEW_BASKETS`, whose interval is that of others or a single one, and of one with a rhythm."""


def reasons_for(
    placement: Placement, state: UserState, rows: npt.NDArray[np.int32], sources: list[str]
) -> list[tuple[Reason, ...]]:
    """Returns the reasons of each listed item: the placement's own evidence first, then that of its source.

    Args:
        placement: the list.
        state: the user and the query.
        rows: int32 (n,), listed items.
        sources: for each item, the source that contributes most to it.

    Returns:
        At least one reason per item: the number of buyers where neither has evidence.
    """
    context = ReasonContext(state.engine, state, state.query)
    kinds = [REASONS[kind](context, rows) for kind in placement.evidence]
    found: list[ItemReasons] = [NOTHING] * len(rows)
    by_source: dict[str, list[int]] = {}
    for position, source in enumerate(sources):
        by_source.setdefault(source, []).append(position)
    for source, positions in by_source.items():
        _put(found, positions, REASONS[source](context, rows[positions]))
    if kinds:
        found = [_distinct(of_item) for of_item in zip(*kinds, found, strict=True)]
    missing = [position for position, of_item in enumerate(found) if not of_item]
    if missing:
        _put(found, missing, _popular(context, rows[missing]))
    return found


def _put(found: list[ItemReasons], positions: list[int], reasons: list[ItemReasons]) -> None:
    for position, of_item in zip(positions, reasons, strict=True):
        found[position] = of_item


def _distinct(kinds: tuple[ItemReasons, ...]) -> ItemReasons:
    """The reasons of some kinds of evidence, the first of each code."""
    by_code: dict[str, Reason] = {}
    for reason in chain.from_iterable(kinds):
        by_code.setdefault(reason.code, reason)
    return tuple(by_code.values())


def _own_positions(own: PurchaseStats, rows: Rows) -> npt.NDArray[np.int64]:
    """The position of each row among the purchases, -1 where it is not."""
    return np.where(is_among(rows, own.item_idx), own.item_idx.searchsorted(rows), -1)


def _again(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    own = context.state.own
    position = _own_positions(own, rows)
    if not len(own.item_idx):
        return [NOTHING] * len(rows)
    days_ago = (context.query.now - own.last[position]) // DAY_S
    columns = zip((position >= 0).tolist(), own.n_baskets[position].tolist(), days_ago.tolist(), strict=True)
    return [
        (context.reason("bought_before", {"n_baskets": n, "last_days_ago": days}),) if is_own else NOTHING
        for is_own, n, days in columns
    ]


def _due(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """When each item is due again; what is long overdue is not due any more, but a habit that stopped."""
    own = context.state.own
    reasons: list[ItemReasons] = []
    for position in _own_positions(own, rows).tolist():
        if position < 0:
            reasons.append(NOTHING)
            continue
        n, last, interval = int(own.n_baskets[position]), int(own.last[position]), float(own.interval_days[position])
        reasons.append((context.reason(*_due_message(context, n, last, interval)),))
    return reasons


def _due_message(context: ReasonContext, n: int, last: int, interval: float) -> tuple[str, dict[str, Value]]:
    """The message about an item that was bought in `n` baskets, with its values."""
    elapsed = (context.query.now - last) / DAY_S
    values: dict[str, Value] = {"n_baskets": n, "last_days_ago": context.days_since(last)}
    if elapsed > LATEST_DUE[n > FEW_BASKETS] * interval:
        if n <= FEW_BASKETS:
            return "bought_before", values
        return "lapsed_favorite", values | {"interval_days": round(interval, 1)}
    values["interval_days"] = round(interval, 1)
    values["due_at"] = datetime.fromtimestamp(last + interval * DAY_S, UTC).date().isoformat()
    return "due_again" if n > 1 else "due_a_second_time", values


def _similar_users(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    n_buyers = context.engine.popularity.n_buyers[rows].tolist()
    return [(context.reason("shoppers_alike", {"n_buyers": n}),) if n else NOTHING for n in n_buyers]


def _of_type(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    engine, own = context.engine, context.state.own
    types, is_sold = engine.catalog.item_type, context.target_event == "purchase"
    owned = set(types[own.item_idx].tolist()) if is_sold else set()
    reasons: list[ItemReasons] = []
    for row, type_ in zip(rows.tolist(), types[rows].tolist(), strict=True):
        if type_ < 0:
            reasons.append(NOTHING)
            continue
        name = "type_you_buy" if type_ in owned else "type_you_view"
        is_first = row in engine.affinity.top_items(type_)
        reasons.append((context.reason(f"first_of_{name}" if is_first else name, {"type": context.type_name(type_)}),))
    return reasons


def _touched(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """The user's latest event with each item."""
    history = context.query.history
    reasons: list[ItemReasons] = []
    for row in rows.tolist():
        positions = np.flatnonzero(history.item_idx == row)
        if not len(positions):
            reasons.append(NOTHING)
            continue
        values: dict[str, Value] = {
            "event": EVENT_NAMES[history.event_type[positions[-1]]],
            "last_days_ago": context.days_since(int(history.timestamp[positions[-1]])),
        }
        reasons.append((context.reason("touched", values),))
    return reasons


def _popular(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    n_buyers = context.engine.popularity.n_buyers[rows].tolist()
    return [(context.reason("popular" if n else "new", {"n_buyers": n}),) for n in n_buyers]


def _hour(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """The lift of each item at the hour; no reason where it is below 1, or hours are unknown."""
    timeofday, bucket = context.engine.timeofday, context.query.bucket
    if not timeofday.is_fitted:
        return [NOTHING] * len(rows)
    first, last = timeofday.hours(bucket)
    hours: dict[str, Value] = {"from_hour": first, "to_hour": (last + 1) % HOURS_A_DAY}
    return [
        NOTHING if lift < NOTABLE_LIFT else (context.reason("hour", {"lift": round(lift, 3)} | hours),)
        for lift in timeofday.lift[rows, bucket].tolist()
    ]


def _popular_by_hour(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    both = zip(_popular(context, rows), _hour(context, rows), strict=True)
    return [(*popular, *hour) for popular, hour in both]


def _tail(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """The share of buyers of each item, where they are few, and its type, where the user bought it."""
    popularity, types = context.engine.popularity, context.engine.catalog.item_type
    owned = set(types[context.state.own.item_idx].tolist())
    reasons: list[ItemReasons] = []
    for n, type_ in zip(popularity.n_buyers[rows].tolist(), types[rows].tolist(), strict=True):
        share = n / max(popularity.n_users, 1)
        niche = (context.reason("niche", {"buyer_share": round(share, 5)}),) if share <= FEW else NOTHING
        is_close = type_ >= 0 and type_ in owned
        close = (context.reason("close_to_yours", {"type": context.type_name(type_)}),) if is_close else NOTHING
        reasons.append((*niche, *close))
    return reasons


def _new_category(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """The type of each item, which the user has not bought yet; none for a user without purchases."""
    if not len(context.state.own.item_idx):
        return [NOTHING] * len(rows)
    types = context.engine.catalog.item_type[rows].tolist()
    return [
        (context.reason("new_category", {"type": context.type_name(type_)}),) if type_ >= 0 else NOTHING
        for type_ in types
    ]


REASONS: Final[Mapping[str, Callable[[ReasonContext, Rows], list[ItemReasons]]]] = MappingProxyType(
    {
        "repeat": _again,
        "due": _due,
        "als": _similar_users,
        "together": related.with_own,
        "affinity": _of_type,
        "ease": related.supporting_items,
        "touched": _touched,
        "around": related.around_latest,
        "after": related.after_latest,
        "content": related.like_own,
        "popular": _popular,
        "hour": _hour,
        "popular_by_hour": _popular_by_hour,
        "bought_together": related.with_seed,
        "complementary": related.goes_with_seed,
        "similar": related.like_seed,
        "viewed_together": related.around_seed,
        "alternatives": related.around_seed,
        "tail": _tail,
        "new_category": _new_category,
        **{name: of_moment(name) for name in MOMENTS},
    }
)
"""By source or by kind of evidence of a placement: returns the reasons of each of some distinct rows."""
