"""The evidence for each item of a list, read from the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.placements import Placement
from recsys.core.request import Reason
from recsys.core.schema import EVENT_NAMES
from recsys.core.topk import is_among
from recsys.data.catalog import PATH_SEPARATOR
from recsys.data.dataset import DAY_S
from recsys.fitting.engine import Engine
from recsys.models.pairs.related_items import BY_USER_ONLY, RelatedItems
from recsys.models.pairs.sequence import NeighborLists, weigh_recent
from recsys.models.temporal.repeat import PurchaseStats
from recsys.models.temporal.timeofday import HOURS_A_DAY
from recsys.reasons.messages import CODES
from recsys.reasons.templates import BoundMessage, MessageTemplates, Value, templates_for
from recsys.retrieval.query import Query
from recsys.retrieval.sources import N_NEIGHBORS
from recsys.retrieval.user_state import UserState

Rows = npt.NDArray[np.int32]
ItemReasons = tuple[Reason, ...]
"""The reasons of one kind of evidence for an item; none where it has no evidence."""

NOTABLE_LIFT = 1.005
LOWEST_QUOTED_LIFT = 1.05
"""Below it, "1.0 times chance" would say that a pair means nothing."""

NOTHING: Final[ItemReasons] = ()


@dataclass(frozen=True)
class ReasonContext:
    """The sources of evidence: the models, the user and the query."""

    engine: Engine
    state: UserState
    query: Query

    @property
    def target_event(self) -> str:
        """Name of the event that counts as success."""
        return EVENT_NAMES[self.engine.dataset_info.target_event]

    @cached_property
    def templates(self) -> MessageTemplates:
        """The message catalog in the shop's words."""
        return message_templates(self.engine)

    def reason(self, name: str, values: dict[str, float | int | str]) -> Reason:
        """Returns a reason that states a message of the catalog."""
        return Reason(CODES.get(name, name), BoundMessage(self.templates, name, values), values)

    def title(self, row: int) -> str:
        """Returns the title of an item, else its id."""
        return self.engine.titles[row]

    def days_since(self, timestamp: int) -> int:
        """Returns the whole days from a time to that of the request."""
        return (self.query.now - timestamp) // DAY_S

    def type_name(self, type_: int) -> str:
        """Returns the last level of a type's path, "" for an unknown type."""
        return self.engine.catalog.type_names[type_].split(PATH_SEPARATOR)[-1] if type_ >= 0 else ""

    def backoff_name(self, seed: int) -> str:
        """Returns the name of the level that filled an item's list: its type, or its category if the type has no pairs.

        An item that was moved after the training keeps its list, but may now have a type without a category, or no
        type: the name is then that of the type, or the item's title.
        """
        catalog, type_ = self.engine.catalog, self.engine.catalog.item_type[seed]
        if type_ < 0:
            return self.engine.titles[seed]
        path = catalog.type_names[type_].split(PATH_SEPARATOR)
        return path[-1] if self.engine.copurchase.is_paired_type[type_] or len(path) == 1 else path[-2]


def message_templates(engine: Engine) -> MessageTemplates:
    """Returns the message catalog in the words of an engine's shop."""
    target_event = EVENT_NAMES[engine.dataset_info.target_event]
    return templates_for(target_event, engine.copurchase.by_basket, len(engine.users_table) > 0)


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
    collected: list[dict[str, Reason]] = [{} for _ in sources]
    for kind in placement.evidence:
        _collect(collected, range(len(rows)), REASONS[kind](context, rows))
    for source in dict.fromkeys(sources):
        positions = [position for position, name in enumerate(sources) if name == source]
        _collect(collected, positions, REASONS[source](context, rows[positions]))
    missing = [position for position, of_item in enumerate(collected) if not of_item]
    if missing:
        _collect(collected, missing, _popular(context, rows[missing]))
    return [tuple(of_item.values()) for of_item in collected]


def _collect(collected: list[dict[str, Reason]], positions: list[int] | range, reasons: list[ItemReasons]) -> None:
    for position, of_item in zip(positions, reasons, strict=True):
        for reason in of_item:
            collected[position].setdefault(reason.code, reason)


def _own_positions(own: PurchaseStats, rows: Rows) -> list[int]:
    """The position of each row among the purchases, -1 where it is not."""
    position = own.item_idx.searchsorted(rows)
    return np.where(is_among(rows, own.item_idx), position, -1).tolist()


def _again(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    own = context.state.own
    reasons: list[ItemReasons] = []
    for position in _own_positions(own, rows):
        if position < 0:
            reasons.append(NOTHING)
            continue
        values: dict[str, Value] = {
            "n_baskets": int(own.n_baskets[position]),
            "last_days_ago": context.days_since(int(own.last[position])),
        }
        reasons.append((context.reason("bought_before", values),))
    return reasons


def _due(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    own = context.state.own
    reasons: list[ItemReasons] = []
    for position in _own_positions(own, rows):
        if position < 0:
            reasons.append(NOTHING)
            continue
        n, last, interval = int(own.n_baskets[position]), int(own.last[position]), float(own.interval_days[position])
        values: dict[str, Value] = {
            "n_baskets": n,
            "interval_days": round(interval, 1),
            "last_days_ago": context.days_since(last),
            "due_at": datetime.fromtimestamp(last + interval * DAY_S, UTC).date().isoformat(),
        }
        reasons.append((context.reason("due_again" if n > 1 else "due_a_second_time", values),))
    return reasons


def _similar_users(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    n_buyers = context.engine.popularity.n_buyers[rows].tolist()
    return [(context.reason("shoppers_alike", {"n_buyers": n}),) if n else NOTHING for n in n_buyers]


def _with_own(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    return _together(context, rows, context.engine.copurchase.partners, *context.state.top_history_items)


def _with_seed(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    seeds = context.query.seeds
    lists = context.engine.copurchase.bought_together
    return _together(context, rows, lists, seeds, np.ones(len(seeds), np.float32))


def _goes_with_seed(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    seeds = context.query.seeds
    lists = context.engine.copurchase.complementary
    return _together(context, rows, lists, seeds, np.ones(len(seeds), np.float32), _types_together)


def _strongest(
    near: npt.NDArray[np.int32], score: npt.NDArray[np.float32], weight: npt.NDArray[np.float32], rows: Rows
) -> list[tuple[int, int] | None]:
    """For each row, the list with the largest weighted score for it, and its entry there; None where no list has it.

    Args:
        near: int32 (n_seeds, length), rows of the seeds' lists.
        score: float32, of the entries.
        weight: float32 (n_seeds,), how much each seed counts.
        rows: int32 (n,), distinct.
    """
    order = np.argsort(rows)
    entry = np.flatnonzero(is_among(near.ravel(), rows[order]))
    row = near.ravel()[entry]
    weighted = (score * weight[:, None]).ravel()[entry]
    best: dict[int, int] = {}
    for position in np.argsort(-weighted, kind="stable").tolist():
        best.setdefault(int(row[position]), int(entry[position]))
    width = near.shape[1]
    return [divmod(best[each], width) if each in best else None for each in rows.tolist()]


def _with_type(context: ReasonContext, seed: int, row: int) -> Reason:
    return context.reason("goes_with_type", {"type": context.backoff_name(seed)})


def _types_together(context: ReasonContext, seed: int, row: int) -> Reason:
    """The item's type goes with the seed's type; of the item itself nothing is known."""
    type_, of_seed = context.engine.catalog.item_type[[row, seed]].tolist()
    if type_ < 0 or of_seed < 0:
        return _with_type(context, seed, row)
    values: dict[str, Value] = {"own_type": context.type_name(type_), "type": context.type_name(of_seed)}
    return context.reason("types_go_together", values)


def _together(
    context: ReasonContext,
    rows: Rows,
    lists: RelatedItems,
    seeds: Rows,
    weight: npt.NDArray[np.float32],
    without_pair: Callable[[ReasonContext, int, int], Reason] = _with_type,
) -> list[ItemReasons]:
    """The seed with the largest score for each item, and the number of baskets with both; no lift below 1."""
    copurchase = context.engine.copurchase
    reasons: list[ItemReasons] = []
    found = _strongest(lists.item_idx[seeds], lists.score[seeds], weight, rows)
    for row, strongest in zip(rows.tolist(), found, strict=True):
        if strongest is None:
            reasons.append(NOTHING)
            continue
        seed = int(seeds[strongest[0]])
        n_both = int(lists.n_together[seed, strongest[1]])
        if not n_both:
            reasons.append((without_pair(context, seed, row),))
            continue
        values: dict[str, Value] = {"with": context.engine.items.ids[seed], "title": context.title(seed)}
        if n_both == BY_USER_ONLY:
            reasons.append((context.reason("bought_by_same_users", values),))
            continue
        n_seed, n_item = int(copurchase.n_baskets[seed]), int(copurchase.n_baskets[row])
        values |= {"n_together": n_both, "n_baskets": n_seed}
        lift = n_both * copurchase.n_all / (n_seed * n_item)
        if lift < LOWEST_QUOTED_LIFT:
            reasons.append((context.reason("often_bought_together", values),))
            continue
        reasons.append((context.reason("bought_together", values | {"lift": round(lift, 2)}),))
    return reasons


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


def _like_own(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    return _like(context, rows, *context.state.top_history_items, N_NEIGHBORS)


def _like_seed(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    seeds = context.query.seeds
    return _like(context, rows, seeds, np.ones(len(seeds), np.float32))


def _like(
    context: ReasonContext,
    rows: Rows,
    seeds: Rows,
    weight: npt.NDArray[np.float32],
    n_neighbors: int | None = None,
) -> list[ItemReasons]:
    hybrid = context.engine.hybrid
    reasons: list[ItemReasons] = []
    near, score = hybrid.similar_idx[seeds, :n_neighbors], hybrid.similar_score[seeds, :n_neighbors]
    for strongest in _strongest(near, score, weight, rows):
        if strongest is None:
            reasons.append(NOTHING)
            continue
        seed = int(seeds[strongest[0]])
        values: dict[str, Value] = {
            "like": context.engine.items.ids[seed],
            "title": context.title(seed),
            "likeness": round(float(score[strongest]), 3),
        }
        reasons.append((context.reason("similar", values),))
    return reasons


def _supporting_items(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    """The purchased item with the largest weight for each."""
    own, model = context.state.own, context.engine.ease
    position = model.row_of[own.item_idx]
    known = position >= 0
    seeds, weight = own.item_idx[known], np.log1p(own.n_baskets[known]).astype(np.float32)
    if not len(seeds):
        return [NOTHING] * len(rows)
    reasons: list[ItemReasons] = []
    for strongest in _strongest(model.item_idx[position[known]], model.weight[position[known]], weight, rows):
        if strongest is None:
            reasons.append(NOTHING)
            continue
        seed = int(seeds[strongest[0]])
        values: dict[str, Value] = {"item_id": context.engine.items.ids[seed], "title": context.title(seed)}
        reasons.append((context.reason("goes_with_own", values),))
    return reasons


def _around_latest(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    return _neighbors(context, rows, context.engine.sequence.around, *context.state.recent_items, "viewed_together")


def _after_latest(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    return _neighbors(context, rows, context.engine.sequence.after, *context.state.recent_items, "follows")


def _around_seed(context: ReasonContext, rows: Rows) -> list[ItemReasons]:
    seeds = context.query.seeds
    weighted = weigh_recent(seeds, np.arange(len(seeds)), context.engine.sequence.config)
    return _neighbors(context, rows, context.engine.sequence.around, *weighted, "viewed_together")


def _neighbors(
    context: ReasonContext,
    rows: Rows,
    lists: NeighborLists,
    items: Rows,
    weight: npt.NDArray[np.float32],
    message: str,
) -> list[ItemReasons]:
    """The item whose list has the largest weighted score for each row."""
    known = lists.row_of[items] >= 0
    items = items[known]
    if not len(items):
        return [NOTHING] * len(rows)
    row = lists.row_of[items]
    reasons: list[ItemReasons] = []
    for strongest in _strongest(lists.item_idx[row], lists.score[row], weight[known], rows):
        if strongest is None:
            reasons.append(NOTHING)
            continue
        item = int(items[strongest[0]])
        values: dict[str, Value] = {"item_id": context.engine.items.ids[item], "title": context.title(item)}
        reasons.append((context.reason(message, values),))
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
    """The share of buyers of each item, and whether the user bought its type."""
    popularity, types = context.engine.popularity, context.engine.catalog.item_type
    owned = set(types[context.state.own.item_idx].tolist())
    reasons: list[ItemReasons] = []
    for n, type_ in zip(popularity.n_buyers[rows].tolist(), types[rows].tolist(), strict=True):
        niche = context.reason("niche", {"buyer_share": round(n / max(popularity.n_users, 1), 5)})
        if type_ >= 0 and type_ in owned:
            reasons.append((niche, context.reason("close_to_yours", {"type": context.type_name(type_)})))
        else:
            reasons.append((niche,))
    return reasons


REASONS: Final[Mapping[str, Callable[[ReasonContext, Rows], list[ItemReasons]]]] = MappingProxyType(
    {
        "repeat": _again,
        "due": _due,
        "als": _similar_users,
        "together": _with_own,
        "affinity": _of_type,
        "ease": _supporting_items,
        "touched": _touched,
        "around": _around_latest,
        "after": _after_latest,
        "content": _like_own,
        "popular": _popular,
        "hour": _hour,
        "popular_by_hour": _popular_by_hour,
        "bought_together": _with_seed,
        "complementary": _goes_with_seed,
        "similar": _like_seed,
        "viewed_together": _around_seed,
        "alternatives": _around_seed,
        "tail": _tail,
    }
)
"""By source or by kind of evidence of a placement: returns the reasons of each of some distinct rows."""
