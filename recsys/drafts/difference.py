"""What a draft changes for a sample of shoppers: whose lists change, and which items, brands and categories gain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import UNKNOWN
from recsys.core.request import Request
from recsys.fitting.engine import Engine
from recsys.live.reachability import unreachable_users
from recsys.pipeline.recommender import Recommender
from recsys.rules.new_items import new_items

SEED: Final = 0
MAX_GROUPS: Final = 20
"""Items, brands and categories that are named, those that gain or lose most."""


@dataclass(frozen=True)
class ShopperSample:
    """Shoppers whose lists are compared.

    Attributes:
        user_ids: the shop's ids; "" for nobody in particular.
        item_ids: the item that each of them turned to last, which lists for an item are asked for.
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]


@dataclass(frozen=True)
class ListPair:
    """A list of one shopper by the definitions that serve and by those of a draft.

    Attributes:
        placement: its name.
        served: ids of its items now; none where there is no such list.
        drafted: ids of its items by the draft.
        is_served_fallback: whether it is a fallback now.
        is_drafted_fallback: whether it is one by the draft.
    """

    placement: str
    served: tuple[str, ...]
    drafted: tuple[str, ...]
    is_served_fallback: bool = False
    is_drafted_fallback: bool = False


@dataclass(frozen=True)
class ExposureFigures:
    """What the sampled lists show.

    Attributes:
        n_shown: number of places that are filled.
        n_items: number of distinct items.
        head_share: share of the places of items of the head.
        tail_share: share of the places of items outside the head.
        new_share: share of the places of new items: created in the last 30 days, with few buyers.
        fallback_share: share of the lists that are fallbacks.
        mean_price: mean of the known prices of the places; null if none is known.
    """

    n_shown: int
    n_items: int
    head_share: float
    tail_share: float
    new_share: float
    fallback_share: float
    mean_price: float | None


@dataclass(frozen=True)
class GroupChange:
    """How many places an item, a brand or a category has.

    Attributes:
        name: id of the item, name of the brand, or path of the category.
        title: title of the item; the name of a brand or category.
        served: number of places now.
        drafted: number of places by the draft.
    """

    name: str
    title: str
    served: int
    drafted: int


@dataclass(frozen=True)
class ListDifference:
    """What a draft changes of one list.

    Attributes:
        placement: its name.
        n_lists: number of shoppers whose lists were compared.
        n_changed: number of them whose lists differ in items or order.
        n_exchanged: number of them whose lists differ in items.
        kept_share: mean share of the items of a list that stay in it.
        served: what the lists show now.
        drafted: what they show by the draft.
        items: those whose places change most, the largest gain first.
        brands: the same for brands.
        categories: the same for categories.
    """

    placement: str
    n_lists: int
    n_changed: int
    n_exchanged: int
    kept_share: float
    served: ExposureFigures
    drafted: ExposureFigures
    items: tuple[GroupChange, ...]
    brands: tuple[GroupChange, ...]
    categories: tuple[GroupChange, ...]


def sample_shoppers(recommender: Recommender, n: int, as_of: int) -> ShopperSample:
    """Draw shoppers at random who have a history, each once; the same ones each time.

    Args:
        recommender: knows the shoppers.
        n: number of shoppers; all if there are fewer.
        as_of: the moment of their last item, seconds since 1970.

    Returns:
        The shoppers; without any, nobody in particular with each of the best-selling items.
    """
    engine = recommender.engine
    lengths = np.diff(engine.history.indptr)
    rows = np.flatnonzero((lengths > 0) & ~unreachable_users(engine, recommender.live))
    if not len(rows):
        best = engine.by_popularity[:n].tolist()
        return ShopperSample(("",) * len(best), tuple(engine.items.ids[row] for row in best))
    drawn = np.sort(np.random.default_rng(SEED).permutation(rows)[:n]).tolist()
    best_seller = engine.items.ids[int(engine.by_popularity[0])]
    last = (engine.history.of(row, as_of).item_idx[-1:] for row in drawn)
    items = tuple(engine.items.ids[int(each[0])] if len(each) else best_seller for each in last)
    return ShopperSample(tuple(engine.users.ids[row] for row in drawn), items)


def compare_lists(
    served: Callable[[], Recommender],
    drafted: Callable[[], Recommender],
    names: Sequence[str],
    sample: ShopperSample,
    as_of: int,
    limit: int | None = None,
) -> Iterator[ListPair]:
    """Yield the lists of all shoppers, the first lists of all of them before the second ones.

    Args:
        served: returns the library with the definitions that serve.
        drafted: returns the library with those of the draft.
        names: the lists.
        sample: the shoppers.
        as_of: seconds since 1970.
        limit: number of items; each definition's own if not given.
    """
    for name in names:
        for user_id, item_id in zip(sample.user_ids, sample.item_ids, strict=True):
            old, new = (_list_of(each(), name, user_id, item_id, as_of, limit) for each in (served, drafted))
            yield ListPair(name, old[0], new[0], old[1], new[1])


def _list_of(
    recommender: Recommender, name: str, user_id: str, item_id: str, as_of: int, limit: int | None
) -> tuple[tuple[str, ...], bool]:
    """Return the ids of the items of a list, and whether it is a fallback."""
    placement = recommender.placements.get(name)
    if placement is None:
        return (), False
    is_for_item = placement.anchor == "item"
    length = placement.limit if limit is None else limit
    request = Request(name, as_of, length, user_id=user_id or None, item_ids=(item_id,) if is_for_item else ())
    found = recommender.recommend_for(request)
    return tuple(item.item_id for item in found.items), found.fallback_used


def differences_of(pairs: Iterable[ListPair], engine: Engine, as_of: int) -> list[ListDifference]:
    """Sum up the compared lists, by list in their order."""
    by_name: dict[str, list[ListPair]] = {}
    for pair in pairs:
        by_name.setdefault(pair.placement, []).append(pair)
    is_new = np.zeros(engine.n_items, np.bool_)
    is_new[new_items(engine, as_of)] = True
    return [_difference(name, found, engine, is_new) for name, found in by_name.items()]


def _difference(name: str, pairs: Sequence[ListPair], engine: Engine, is_new: npt.NDArray[np.bool_]) -> ListDifference:
    ids = [(pair.served, pair.drafted) for pair in pairs]
    kept = [len({*old} & {*new}) / len({*old}) for old, new in ids if old]
    served, drafted = Counter(_flat(old for old, _ in ids)), Counter(_flat(new for _, new in ids))
    items = _changes(served, drafted)
    groups = [_grouped(names, served, drafted) for names in group_names(engine, [*{**served, **drafted}])]
    titled = tuple(replace(each, title=_title(engine, each.name)) for each in items)
    return ListDifference(
        name,
        len(pairs),
        sum(old != new for old, new in ids),
        sum({*old} != {*new} for old, new in ids),
        float(np.mean(kept)) if kept else 1.0,
        _figures(served, sum(pair.is_served_fallback for pair in pairs), len(pairs), engine, is_new),
        _figures(drafted, sum(pair.is_drafted_fallback for pair in pairs), len(pairs), engine, is_new),
        titled,
        *groups,
    )


def _figures(
    shown: Counter[str], n_fallback: int, n_lists: int, engine: Engine, is_new: npt.NDArray[np.bool_]
) -> ExposureFigures:
    rows = engine.item_rows(list(shown))
    weight = np.fromiter(shown.values(), np.float64, len(shown))[rows != UNKNOWN]
    rows = rows[rows != UNKNOWN]
    total = max(weight.sum(), 1.0)
    tail = float(weight[engine.is_tail[rows]].sum() / total)
    price = np.asarray(engine.catalog.price[rows], np.float64)
    is_priced = np.isfinite(price)
    mean = float(np.average(price[is_priced], weights=weight[is_priced])) if is_priced.any() else None
    return ExposureFigures(
        int(weight.sum()),
        len(rows),
        1 - tail if len(rows) else 0.0,
        tail,
        float(weight[is_new[rows]].sum() / total),
        n_fallback / n_lists,
        mean,
    )


def group_names(engine: Engine, item_ids: Sequence[str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the brands and the paths of the categories of some items, by their ids; "" for unknown ones."""
    rows = engine.item_rows(item_ids)
    known = np.flatnonzero(rows != UNKNOWN)
    ids, rows = [item_ids[n] for n in known.tolist()], rows[known]
    brands = engine.items_table[rows]["brand"].fill_null("").to_list() if len(rows) else []
    types, names = engine.catalog.item_type[rows], engine.catalog.type_names
    paths = [names[number] if number >= 0 else "" for number in types.tolist()]
    return dict(zip(ids, brands, strict=True)), dict(zip(ids, paths, strict=True))


def _grouped(names: Mapping[str, str], served: Counter[str], drafted: Counter[str]) -> tuple[GroupChange, ...]:
    old: Counter[str] = Counter()
    new: Counter[str] = Counter()
    for counts, sums in ((served, old), (drafted, new)):
        for item_id, count in counts.items():
            sums[names.get(item_id, "")] += count
    return _changes(old, new)


def _changes(served: Counter[str], drafted: Counter[str]) -> tuple[GroupChange, ...]:
    """Return what changes most, the largest gain first, the largest loss last."""
    changes = sorted((served[name] - drafted[name], name) for name in {**served, **drafted})
    changed = [name for loss, name in changes if loss]
    named = changed if len(changed) <= 2 * MAX_GROUPS else changed[:MAX_GROUPS] + changed[-MAX_GROUPS:]
    return tuple(GroupChange(name, name, served[name], drafted[name]) for name in named)


def _flat(lists: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for each in lists:
        yield from each


def _title(engine: Engine, item_id: str) -> str:
    row = engine.item_row(item_id)
    return item_id if row == UNKNOWN else engine.titles[row]
