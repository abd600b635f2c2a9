"""Why an item is in a list, in figures that the models hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.candidates import N_NEIGHBORS, Shopper
from recsys.catalog import PATH_SEPARATOR
from recsys.context import Query, Reason
from recsys.dataset import DAY_S
from recsys.engine import Engine
from recsys.models.copurchase import RelatedItems
from recsys.models.timeofday import HOURS_A_DAY
from recsys.placements import Placement
from recsys.schema import EVENT_NAMES

Figures = dict[str, float | int | str]
Told = tuple[Reason, ...]
"""What one kind of evidence says of an item: a reason, or none."""

NOTABLE_LIFT = 1.005

PAST: Final[Mapping[str, str]] = MappingProxyType(
    {
        "purchase": "bought",
        "begin_checkout": "checked out",
        "add_to_cart": "put in the cart",
        "add_to_wishlist": "wished for",
        "select_item": "clicked",
        "view_item": "viewed",
    }
)


@dataclass(frozen=True)
class Evidence:
    """What a reason may speak of: the models, the shopper, and the list that is explained."""

    engine: Engine
    shopper: Shopper
    query: Query

    @property
    def did(self) -> str:
        """What shoppers do here that counts as success, in the past: where nothing is sold, nobody "bought"."""
        return PAST[EVENT_NAMES[self.engine.shop.goal]]

    @property
    def unit(self) -> str:
        """What is counted when items are found together."""
        if not self.engine.copurchase.by_basket:
            return "shoppers"
        return "baskets" if self.did == "bought" else "visits"

    def shoppers(self, row: int) -> str:
        """How many took an item: shoppers, or baskets in a shop that names nobody."""
        n = int(self.engine.popularity.n_buyers[row])
        unit = "shopper" if len(self.engine.users) else "basket"
        return f"one {unit}" if n == 1 else f"{n} {unit}s"

    def title(self, row: int) -> str:
        """What to call an item."""
        return self.engine.titles[row]

    def type_name(self, row: int) -> str:
        """The last level of an item's category, "" where it has none."""
        type_ = self.engine.catalog.item_type[row]
        return self.engine.catalog.type_names[type_].split(PATH_SEPARATOR)[-1] if type_ >= 0 else ""

    def backoff_name(self, seed: int) -> str:
        """What an item's list was filled up by: its type, its category where the type shared no baskets."""
        catalog, type_ = self.engine.catalog, self.engine.catalog.item_type[seed]
        path = catalog.type_names[type_].split(PATH_SEPARATOR)
        return path[-1] if self.engine.copurchase.is_paired_type[type_] else path[-2]


def reasons_for(
    placement: Placement, shopper: Shopper, rows: npt.NDArray[np.int32], sources: tuple[str, ...]
) -> list[tuple[Reason, ...]]:
    """Reasons of each listed item: the placement's own evidence first, then that of the source that found it.

    Args:
        placement: the list.
        shopper: whom, and what, the request is about.
        rows: int32 (n,), listed items.
        sources: for each item, the source that spoke most for it.
    """
    evidence = Evidence(shopper.engine, shopper, shopper.query)
    lists = []
    for row, source in zip(rows.tolist(), sources, strict=True):
        spoken: dict[str, Reason] = {}
        for kind in (*placement.evidence, source):
            for reason in REASONS[kind](evidence, row):
                spoken.setdefault(reason.code, reason)
        lists.append(tuple(spoken.values()))
    return lists


def _again(evidence: Evidence, row: int) -> Told:
    own = evidence.shopper.own
    place = int(np.searchsorted(own.item_idx, row))
    n, days = int(own.n_baskets[place]), (evidence.query.now - int(own.last[place])) // DAY_S
    text = f"you {evidence.did} it {_times(n)}, last {_days_ago(days)}"
    return (Reason("bought_before", text, {"n_baskets": n, "last_days_ago": days}),)


def _due(evidence: Evidence, row: int) -> Told:
    own = evidence.shopper.own
    place = int(np.searchsorted(own.item_idx, row))
    n, interval = int(own.n_baskets[place]), float(own.interval_days[place])
    days = (evidence.query.now - int(own.last[place])) // DAY_S
    due_at = datetime.fromtimestamp(int(own.last[place]) + interval * DAY_S, UTC).date().isoformat()
    habit = f"about every {interval:.0f} days" if n > 1 else f"usually again after about {interval:.0f} days"
    text = f"{evidence.did} {_times(n)}, {habit}; last {_days_ago(days)}, due {due_at}"
    values: Figures = {"n_baskets": n, "interval_days": round(interval, 1), "last_days_ago": days, "due_at": due_at}
    return (Reason("due_again", text, values),)


def _alike(evidence: Evidence, row: int) -> Told:
    n = int(evidence.engine.popularity.n_buyers[row])
    text = f"{evidence.did} by shoppers with a taste like yours (by {evidence.shoppers(row)} in all)"
    return (Reason("shoppers_alike", text, {"n_buyers": n}),)


def _with_own(evidence: Evidence, row: int) -> Told:
    seeds, weight = evidence.shopper.heaviest
    return _together(evidence, row, evidence.engine.copurchase.partners, seeds, weight)


def _with_seed(evidence: Evidence, row: int) -> Told:
    lists = evidence.engine.copurchase.bought_together
    return _together(evidence, row, lists, evidence.query.seeds, np.ones(len(evidence.query.seeds), np.float32))


def _goes_with_seed(evidence: Evidence, row: int) -> Told:
    lists = evidence.engine.copurchase.complementary
    return _together(evidence, row, lists, evidence.query.seeds, np.ones(len(evidence.query.seeds), np.float32))


def _together(
    evidence: Evidence,
    row: int,
    lists: RelatedItems,
    seeds: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
) -> Told:
    """The seed that spoke most for an item, and how often the two were taken together."""
    copurchase = evidence.engine.copurchase
    place, entry = np.nonzero(lists.item_idx[seeds] == row)
    strongest = int(np.argmax(lists.score[seeds[place], entry] * weight[place]))
    seed = int(seeds[place[strongest]])
    n_both = int(lists.n_together[seed, entry[strongest]])
    n_seed, n_item = int(copurchase.n_baskets[seed]), int(copurchase.n_baskets[row])
    if not n_both:
        kind = evidence.backoff_name(seed)
        return (Reason("goes_with_type", f"often {evidence.did} with {kind}", {"type": kind}),)
    lift = n_both * copurchase.n_all / (n_seed * n_item)
    share = f"{n_both} of its {n_seed} {evidence.unit}"
    by = "in" if copurchase.by_basket else "by"
    text = f"{evidence.did} together with {evidence.title(seed)} {by} {share}, {lift:.1f} times chance"
    values: Figures = {
        "with": evidence.engine.items.ids[seed],
        "n_together": n_both,
        "n_baskets": n_seed,
        "lift": round(lift, 2),
    }
    return (Reason("bought_together", text, values),)


def _of_type(evidence: Evidence, row: int) -> Told:
    types = evidence.engine.catalog.item_type
    bought = evidence.did == "bought" and bool((types[evidence.shopper.own.item_idx] == types[row]).any())
    name, code, verb = evidence.type_name(row), *(("type_you_buy", "buy") if bought else ("type_you_view", "look at"))
    return (Reason(code, f"among the first in {name}, which you {verb}", {"type": name}),)


def _like_own(evidence: Evidence, row: int) -> Told:
    seeds, weight = evidence.shopper.heaviest
    return _like(evidence, row, seeds, weight, N_NEIGHBORS)


def _like_seed(evidence: Evidence, row: int) -> Told:
    seeds = evidence.query.seeds
    return _like(evidence, row, seeds, np.ones(len(seeds), np.float32))


def _like(
    evidence: Evidence,
    row: int,
    seeds: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
    n_neighbors: int | None = None,
) -> Told:
    hybrid = evidence.engine.hybrid
    place, entry = np.nonzero(hybrid.similar_idx[seeds, :n_neighbors] == row)
    strongest = int(np.argmax(hybrid.similar_score[seeds[place], entry] * weight[place]))
    seed = int(seeds[place[strongest]])
    likeness = float(hybrid.similar_score[seed, entry[strongest]])
    values: Figures = {"like": evidence.engine.items.ids[seed], "likeness": round(likeness, 3)}
    return (Reason("similar", f"like {evidence.title(seed)}", values),)


def _spoken_for(evidence: Evidence, row: int) -> Told:
    """The own item that speaks most for it."""
    own, model = evidence.shopper.own, evidence.engine.ease
    place = model.row_of[own.item_idx]
    known = place >= 0
    weight = np.where(model.item_idx[place[known]] == row, model.weight[place[known]], 0).max(axis=1)
    seed = int(own.item_idx[known][int(np.argmax(weight * np.log1p(own.n_baskets[known])))])
    values: Figures = {"item_id": evidence.engine.items.ids[seed]}
    return (Reason("goes_with_own", f"{evidence.did} by shoppers of {evidence.title(seed)}", values),)


def _touched(evidence: Evidence, row: int) -> Told:
    """The latest thing that the shopper did with it."""
    history = evidence.query.history
    place = int(np.flatnonzero(history.item_idx == row)[-1])
    days = (evidence.query.now - int(history.timestamp[place])) // DAY_S
    event = EVENT_NAMES[history.kind[place]]
    text = f"you {PAST.get(event, 'noticed')} it {_days_ago(days)}"
    return (Reason("touched", text, {"event": event, "last_days_ago": days}),)


def _popular(evidence: Evidence, row: int) -> Told:
    n = int(evidence.engine.popularity.n_buyers[row])
    if not n:
        return (Reason("new", f"not {evidence.did} by anybody yet", {"n_buyers": 0}),)
    return (Reason("popular", f"{evidence.did} by {evidence.shoppers(row)}", {"n_buyers": n}),)


def _hour(evidence: Evidence, row: int) -> Told:
    """What the hour says for an item; nothing where it speaks against it, or no hours are known."""
    timeofday, bucket = evidence.engine.timeofday, evidence.query.bucket
    lift = float(timeofday.lift[row, bucket])
    if not timeofday.is_fitted or lift < NOTABLE_LIFT:
        return ()
    first, last = timeofday.hours(bucket)
    end = (last + 1) % HOURS_A_DAY
    text = f"{evidence.did} {lift:.2f} times as often as usual from {first} to {end} h"
    return (Reason("hour", text, {"lift": round(lift, 3), "from_hour": first, "to_hour": end}),)


def _popular_by_hour(evidence: Evidence, row: int) -> Told:
    return (*_popular(evidence, row), *_hour(evidence, row))


def _tail(evidence: Evidence, row: int) -> Told:
    n = int(evidence.engine.popularity.n_buyers[row])
    share = n / max(evidence.engine.popularity.n_shoppers, 1)
    values: Figures = {"buyer_share": round(share, 5)}
    return (Reason("niche", f"outside the bestsellers: {evidence.did} by {share:.1%} of shoppers", values),)


REASONS: Final[Mapping[str, Callable[[Evidence, int], Told]]] = MappingProxyType(
    {
        "repeat": _again,
        "due": _due,
        "als": _alike,
        "together": _with_own,
        "affinity": _of_type,
        "ease": _spoken_for,
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


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def _days_ago(days: int) -> str:
    return {0: "today", 1: "yesterday"}.get(days, f"{days} days ago")
