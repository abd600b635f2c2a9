"""Why an item is in a list, in figures that the models hold."""

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
from recsys.models.pairs.copurchase import RelatedItems
from recsys.models.temporal.repeat import PurchaseStats
from recsys.models.temporal.timeofday import HOURS_A_DAY
from recsys.reasons.templates import (
    CODES,
    BoundMessage,
    MessageTemplates,
    Value,
    templates_for,
)
from recsys.retrieval.query import Query
from recsys.retrieval.sources import N_NEIGHBORS
from recsys.retrieval.user_state import UserState

Rows = npt.NDArray[np.int32]
Told = tuple[Reason, ...]
"""What one kind of evidence says of an item: a reason, or none."""

NOTABLE_LIFT = 1.005
NOTHING: Final[Told] = ()


@dataclass(frozen=True)
class ReasonContext:
    """What a reason may speak of: the models, the shopper, and the list that is explained."""

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
        """What to call an item."""
        return self.engine.titles[row]

    def days_since(self, timestamp: int) -> int:
        """Whole days from a moment to that of the request."""
        return (self.query.now - timestamp) // DAY_S

    def type_name(self, type_: int) -> str:
        """The last level of a type's path, "" where the type is unknown."""
        return self.engine.catalog.type_names[type_].split(PATH_SEPARATOR)[-1] if type_ >= 0 else ""

    def backoff_name(self, seed: int) -> str:
        """What an item's list was filled up by: its type, its category where the type shared no baskets.

        An item that was moved since the models were fitted keeps its list, but may be of a type without a category by
        now, or of none: then its type, or its title, stands for what it goes with.
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
    """Reasons of each listed item: the placement's own evidence first, then that of the source that found it.

    Args:
        placement: the list.
        state: whom, and what, the request is about.
        rows: int32 (n,), listed items.
        sources: for each item, the source that spoke most for it.
    """
    evidence = ReasonContext(state.engine, state, state.query)
    spoken: list[dict[str, Reason]] = [{} for _ in sources]
    for kind in placement.evidence:
        _collect(spoken, range(len(rows)), REASONS[kind](evidence, rows))
    for source in dict.fromkeys(sources):
        places = [place for place, name in enumerate(sources) if name == source]
        _collect(spoken, places, REASONS[source](evidence, rows[places]))
    silent = [place for place, reasons in enumerate(spoken) if not reasons]
    if silent:
        _collect(spoken, silent, _popular(evidence, rows[silent]))
    return [tuple(reasons.values()) for reasons in spoken]


def _collect(spoken: list[dict[str, Reason]], places: list[int] | range, told: list[Told]) -> None:
    for place, reasons in zip(places, told, strict=True):
        for reason in reasons:
            spoken[place].setdefault(reason.code, reason)


def _own_places(own: PurchaseStats, rows: Rows) -> list[int]:
    """Where each row is among the shopper's own, -1 where it is not."""
    place = own.item_idx.searchsorted(rows)
    return np.where(is_among(rows, own.item_idx), place, -1).tolist()


def _again(evidence: ReasonContext, rows: Rows) -> list[Told]:
    own = evidence.state.own
    told: list[Told] = []
    for place in _own_places(own, rows):
        if place < 0:
            told.append(NOTHING)
            continue
        figures: dict[str, Value] = {
            "n_baskets": int(own.n_baskets[place]),
            "last_days_ago": evidence.days_since(int(own.last[place])),
        }
        told.append((evidence.reason("bought_before", figures),))
    return told


def _due(evidence: ReasonContext, rows: Rows) -> list[Told]:
    own = evidence.state.own
    told: list[Told] = []
    for place in _own_places(own, rows):
        if place < 0:
            told.append(NOTHING)
            continue
        n, last, interval = int(own.n_baskets[place]), int(own.last[place]), float(own.interval_days[place])
        figures: dict[str, Value] = {
            "n_baskets": n,
            "interval_days": round(interval, 1),
            "last_days_ago": evidence.days_since(last),
            "due_at": datetime.fromtimestamp(last + interval * DAY_S, UTC).date().isoformat(),
        }
        told.append((evidence.reason("due_again" if n > 1 else "due_a_second_time", figures),))
    return told


def _alike(evidence: ReasonContext, rows: Rows) -> list[Told]:
    n_buyers = evidence.engine.popularity.n_buyers[rows].tolist()
    return [(evidence.reason("shoppers_alike", {"n_buyers": n}),) if n else NOTHING for n in n_buyers]


def _with_own(evidence: ReasonContext, rows: Rows) -> list[Told]:
    return _together(evidence, rows, evidence.engine.copurchase.partners, *evidence.state.top_history_items)


def _with_seed(evidence: ReasonContext, rows: Rows) -> list[Told]:
    seeds = evidence.query.seeds
    lists = evidence.engine.copurchase.bought_together
    return _together(evidence, rows, lists, seeds, np.ones(len(seeds), np.float32))


def _goes_with_seed(evidence: ReasonContext, rows: Rows) -> list[Told]:
    seeds = evidence.query.seeds
    lists = evidence.engine.copurchase.complementary
    return _together(evidence, rows, lists, seeds, np.ones(len(seeds), np.float32))


def _strongest(
    near: npt.NDArray[np.int32], score: npt.NDArray[np.float32], weight: npt.NDArray[np.float32], rows: Rows
) -> list[tuple[int, int] | None]:
    """For each row, the list and the entry in it that speak most for it; None where no list holds it.

    Args:
        near: int32 (n_seeds, length), rows of the seeds' lists.
        score: float32, of the entries.
        weight: float32 (n_seeds,), how much each seed counts.
        rows: int32 (n,), distinct.
    """
    order = np.argsort(rows)
    entry = np.flatnonzero(is_among(near.ravel(), rows[order]))
    row = near.ravel()[entry]
    said = (score * weight[:, None]).ravel()[entry]
    best: dict[int, int] = {}
    for place in np.argsort(-said, kind="stable").tolist():
        best.setdefault(int(row[place]), int(entry[place]))
    width = near.shape[1]
    return [divmod(best[each], width) if each in best else None for each in rows.tolist()]


def _together(
    evidence: ReasonContext, rows: Rows, lists: RelatedItems, seeds: Rows, weight: npt.NDArray[np.float32]
) -> list[Told]:
    """The seed that spoke most for each item, and how often the two were taken together."""
    copurchase = evidence.engine.copurchase
    told: list[Told] = []
    found = _strongest(lists.item_idx[seeds], lists.score[seeds], weight, rows)
    for row, strongest in zip(rows.tolist(), found, strict=True):
        if strongest is None:
            told.append(NOTHING)
            continue
        seed = int(seeds[strongest[0]])
        n_both = int(lists.n_together[seed, strongest[1]])
        if not n_both:
            told.append((evidence.reason("goes_with_type", {"type": evidence.backoff_name(seed)}),))
            continue
        n_seed, n_item = int(copurchase.n_baskets[seed]), int(copurchase.n_baskets[row])
        figures: dict[str, Value] = {
            "with": evidence.engine.items.ids[seed],
            "title": evidence.title(seed),
            "n_together": n_both,
            "n_baskets": n_seed,
            "lift": round(n_both * copurchase.n_all / (n_seed * n_item), 2),
        }
        told.append((evidence.reason("bought_together", figures),))
    return told


def _of_type(evidence: ReasonContext, rows: Rows) -> list[Told]:
    engine, own = evidence.engine, evidence.state.own
    types, is_sold = engine.catalog.item_type, evidence.target_event == "purchase"
    owned = set(types[own.item_idx].tolist()) if is_sold else set()
    told: list[Told] = []
    for row, type_ in zip(rows.tolist(), types[rows].tolist(), strict=True):
        if type_ < 0:
            told.append(NOTHING)
            continue
        name = "type_you_buy" if type_ in owned else "type_you_view"
        is_first = row in engine.affinity.top_items(type_)
        told.append((evidence.reason(f"first_of_{name}" if is_first else name, {"type": evidence.type_name(type_)}),))
    return told


def _like_own(evidence: ReasonContext, rows: Rows) -> list[Told]:
    return _like(evidence, rows, *evidence.state.top_history_items, N_NEIGHBORS)


def _like_seed(evidence: ReasonContext, rows: Rows) -> list[Told]:
    seeds = evidence.query.seeds
    return _like(evidence, rows, seeds, np.ones(len(seeds), np.float32))


def _like(
    evidence: ReasonContext,
    rows: Rows,
    seeds: Rows,
    weight: npt.NDArray[np.float32],
    n_neighbors: int | None = None,
) -> list[Told]:
    hybrid = evidence.engine.hybrid
    told: list[Told] = []
    near, score = hybrid.similar_idx[seeds, :n_neighbors], hybrid.similar_score[seeds, :n_neighbors]
    for strongest in _strongest(near, score, weight, rows):
        if strongest is None:
            told.append(NOTHING)
            continue
        seed = int(seeds[strongest[0]])
        figures: dict[str, Value] = {
            "like": evidence.engine.items.ids[seed],
            "title": evidence.title(seed),
            "likeness": round(float(score[strongest]), 3),
        }
        told.append((evidence.reason("similar", figures),))
    return told


def _supporting_items(evidence: ReasonContext, rows: Rows) -> list[Told]:
    """The own item that speaks most for each."""
    own, model = evidence.state.own, evidence.engine.ease
    place = model.row_of[own.item_idx]
    known = place >= 0
    seeds, weight = own.item_idx[known], np.log1p(own.n_baskets[known]).astype(np.float32)
    if not len(seeds):
        return [NOTHING] * len(rows)
    told: list[Told] = []
    for strongest in _strongest(model.item_idx[place[known]], model.weight[place[known]], weight, rows):
        if strongest is None:
            told.append(NOTHING)
            continue
        seed = int(seeds[strongest[0]])
        figures: dict[str, Value] = {"item_id": evidence.engine.items.ids[seed], "title": evidence.title(seed)}
        told.append((evidence.reason("goes_with_own", figures),))
    return told


def _touched(evidence: ReasonContext, rows: Rows) -> list[Told]:
    """The latest thing that the shopper did with each."""
    history = evidence.query.history
    told: list[Told] = []
    for row in rows.tolist():
        places = np.flatnonzero(history.item_idx == row)
        if not len(places):
            told.append(NOTHING)
            continue
        figures: dict[str, Value] = {
            "event": EVENT_NAMES[history.event_type[places[-1]]],
            "last_days_ago": evidence.days_since(int(history.timestamp[places[-1]])),
        }
        told.append((evidence.reason("touched", figures),))
    return told


def _popular(evidence: ReasonContext, rows: Rows) -> list[Told]:
    n_buyers = evidence.engine.popularity.n_buyers[rows].tolist()
    return [(evidence.reason("popular" if n else "new", {"n_buyers": n}),) for n in n_buyers]


def _hour(evidence: ReasonContext, rows: Rows) -> list[Told]:
    """What the hour says for each item; nothing where it speaks against it, or no hours are known."""
    timeofday, bucket = evidence.engine.timeofday, evidence.query.bucket
    if not timeofday.is_fitted:
        return [NOTHING] * len(rows)
    first, last = timeofday.hours(bucket)
    hours: dict[str, Value] = {"from_hour": first, "to_hour": (last + 1) % HOURS_A_DAY}
    return [
        NOTHING if lift < NOTABLE_LIFT else (evidence.reason("hour", {"lift": round(lift, 3)} | hours),)
        for lift in timeofday.lift[rows, bucket].tolist()
    ]


def _popular_by_hour(evidence: ReasonContext, rows: Rows) -> list[Told]:
    both = zip(_popular(evidence, rows), _hour(evidence, rows), strict=True)
    return [(*popular, *hour) for popular, hour in both]


def _tail(evidence: ReasonContext, rows: Rows) -> list[Told]:
    """How few know each item, and that it is of a type that the shopper bought."""
    popularity, types = evidence.engine.popularity, evidence.engine.catalog.item_type
    owned = set(types[evidence.state.own.item_idx].tolist())
    told: list[Told] = []
    for n, type_ in zip(popularity.n_buyers[rows].tolist(), types[rows].tolist(), strict=True):
        niche = evidence.reason("niche", {"buyer_share": round(n / max(popularity.n_users, 1), 5)})
        if type_ >= 0 and type_ in owned:
            told.append((niche, evidence.reason("close_to_yours", {"type": evidence.type_name(type_)})))
        else:
            told.append((niche,))
    return told


REASONS: Final[Mapping[str, Callable[[ReasonContext, Rows], list[Told]]]] = MappingProxyType(
    {
        "repeat": _again,
        "due": _due,
        "als": _alike,
        "together": _with_own,
        "affinity": _of_type,
        "ease": _supporting_items,
        "touched": _touched,
        "content": _like_own,
        "popular": _popular,
        "hour": _hour,
        "popular_by_hour": _popular_by_hour,
        "bought_together": _with_seed,
        "complementary": _goes_with_seed,
        "similar": _like_seed,
        "tail": _tail,
    }
)
"""By source, and by kind of evidence that a placement may ask for: what it says of each of some distinct rows."""
