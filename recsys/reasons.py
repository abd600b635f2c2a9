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
from recsys.engine import Engine
from recsys.models.copurchase import RelatedItems
from recsys.placements import Placement

DAY_S = 86_400

Figures = dict[str, float | int | str]


@dataclass(frozen=True)
class Evidence:
    """What a reason may speak of: the models, the shopper, and the list that is explained."""

    engine: Engine
    shopper: Shopper
    query: Query

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
    kinds = placement.evidence
    return [
        tuple(REASONS[kind](evidence, row) for kind in (*kinds, *((source,) if source not in kinds else ())))
        for row, source in zip(rows.tolist(), sources, strict=True)
    ]


def _again(evidence: Evidence, row: int) -> Reason:
    own = evidence.shopper.own
    place = int(np.searchsorted(own.item_idx, row))
    n, days = int(own.n_baskets[place]), (evidence.query.now - int(own.last[place])) // DAY_S
    text = f"you bought it {_times(n)}, last {_days_ago(days)}"
    return Reason("bought_before", text, {"n_baskets": n, "last_days_ago": days})


def _due(evidence: Evidence, row: int) -> Reason:
    own = evidence.shopper.own
    place = int(np.searchsorted(own.item_idx, row))
    n, interval = int(own.n_baskets[place]), float(own.interval_days[place])
    days = (evidence.query.now - int(own.last[place])) // DAY_S
    due_at = datetime.fromtimestamp(int(own.last[place]) + interval * DAY_S, UTC).date().isoformat()
    text = f"bought {_times(n)}, about every {interval:.0f} days; last {_days_ago(days)}, due {due_at}"
    values: Figures = {"n_baskets": n, "interval_days": round(interval, 1), "last_days_ago": days, "due_at": due_at}
    return Reason("due_again", text, values)


def _alike(evidence: Evidence, row: int) -> Reason:
    n = int(evidence.engine.popularity.n_buyers[row])
    return Reason("shoppers_alike", f"shoppers with a taste like yours buy it ({_shoppers(n)})", {"n_buyers": n})


def _with_own(evidence: Evidence, row: int) -> Reason:
    seeds, weight = evidence.shopper.heaviest
    return _together(evidence, row, evidence.engine.copurchase.bought_together, seeds, weight, N_NEIGHBORS)


def _with_seed(evidence: Evidence, row: int) -> Reason:
    lists = evidence.engine.copurchase.bought_together
    return _together(evidence, row, lists, evidence.query.seeds, np.ones(len(evidence.query.seeds), np.float32))


def _goes_with_seed(evidence: Evidence, row: int) -> Reason:
    lists = evidence.engine.copurchase.complementary
    return _together(evidence, row, lists, evidence.query.seeds, np.ones(len(evidence.query.seeds), np.float32))


def _together(
    evidence: Evidence,
    row: int,
    lists: RelatedItems,
    seeds: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
    n_neighbors: int | None = None,
) -> Reason:
    """The seed that spoke most for an item, and how often the two were taken together."""
    copurchase = evidence.engine.copurchase
    place, entry = np.nonzero(lists.item_idx[seeds, :n_neighbors] == row)
    strongest = int(np.argmax(lists.score[seeds[place], entry] * weight[place]))
    seed = int(seeds[place[strongest]])
    n_both = int(lists.n_together[seed, entry[strongest]])
    n_seed, n_item = int(copurchase.n_baskets[seed]), int(copurchase.n_baskets[row])
    unit = "baskets" if copurchase.by_basket else "shoppers"
    if not n_both:
        kind = evidence.backoff_name(seed)
        return Reason("goes_with_type", f"often bought with {kind}", {"type": kind})
    lift = n_both * copurchase.n_all / (n_seed * n_item)
    text = f"bought together with {evidence.title(seed)} in {n_both} of its {n_seed} {unit}, {lift:.1f} times chance"
    values: Figures = {
        "with": evidence.engine.items.ids[seed],
        "n_together": n_both,
        "n_baskets": n_seed,
        "lift": round(lift, 2),
    }
    return Reason("bought_together", text, values)


def _of_type(evidence: Evidence, row: int) -> Reason:
    types = evidence.engine.catalog.item_type
    bought = bool((types[evidence.shopper.own.item_idx] == types[row]).any())
    name, code, verb = evidence.type_name(row), *(("type_you_buy", "buy") if bought else ("type_you_view", "look at"))
    return Reason(code, f"sells well in {name}, which you {verb}", {"type": name})


def _like_own(evidence: Evidence, row: int) -> Reason:
    seeds, weight = evidence.shopper.heaviest
    return _like(evidence, row, seeds, weight, N_NEIGHBORS)


def _like_seed(evidence: Evidence, row: int) -> Reason:
    seeds = evidence.query.seeds
    return _like(evidence, row, seeds, np.ones(len(seeds), np.float32))


def _like(
    evidence: Evidence,
    row: int,
    seeds: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
    n_neighbors: int | None = None,
) -> Reason:
    hybrid = evidence.engine.hybrid
    place, entry = np.nonzero(hybrid.similar_idx[seeds, :n_neighbors] == row)
    strongest = int(np.argmax(hybrid.similar_score[seeds[place], entry] * weight[place]))
    seed = int(seeds[place[strongest]])
    likeness = float(hybrid.similar_score[seed, entry[strongest]])
    values: Figures = {"like": evidence.engine.items.ids[seed], "likeness": round(likeness, 3)}
    return Reason("similar", f"like {evidence.title(seed)} ({likeness:.0%} alike)", values)


def _popular(evidence: Evidence, row: int) -> Reason:
    n = int(evidence.engine.popularity.n_buyers[row])
    return Reason("popular", f"popular: bought by {_shoppers(n)}", {"n_buyers": n})


def _hour(evidence: Evidence, row: int) -> Reason:
    timeofday, bucket = evidence.engine.timeofday, evidence.query.bucket
    if not timeofday.is_fitted:
        return _popular(evidence, row)
    first, last = timeofday.hours(bucket)
    lift = float(timeofday.lift[row, bucket])
    text = f"sells {lift:.2f} times as much as usual between {first:02d} and {last:02d} h"
    return Reason("hour", text, {"lift": round(lift, 3), "from_hour": first, "to_hour": last})


def _popular_by_hour(evidence: Evidence, row: int) -> Reason:
    if not evidence.engine.timeofday.is_fitted:
        return _popular(evidence, row)
    popular, hour = _popular(evidence, row), _hour(evidence, row)
    return Reason("popular", f"{popular.text}; {hour.text}", {**popular.values, **hour.values})


def _tail(evidence: Evidence, row: int) -> Reason:
    n = int(evidence.engine.popularity.n_buyers[row])
    share = n / max(evidence.engine.popularity.n_shoppers, 1)
    return Reason("niche", f"a niche find: {share:.1%} of shoppers buy it", {"buyer_share": round(share, 5)})


REASONS: Final[Mapping[str, Callable[[Evidence, int], Reason]]] = MappingProxyType(
    {
        "repeat": _again,
        "due": _due,
        "als": _alike,
        "together": _with_own,
        "affinity": _of_type,
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


def _shoppers(n: int) -> str:
    return "one shopper" if n == 1 else f"{n} shoppers"
