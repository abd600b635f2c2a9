"""The call with the exposure ledger: what lists showed and sold of the long tail, of new items and of each brand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from recsys.evaluation.item_groups import BRAND, HEAD, NEW, TAIL
from recsys.evaluation.list_days import MAX_DAYS, DayCounts, Group
from serving.http.fields import Parameters
from serving.http.operation import Operation
from serving.responses import Time, encode, moment
from serving.runtime.app_context import AppContext

MAX_BRANDS: Final = 20
ALL_ITEMS: Final[Group] = ("", "")


class ExposureQuery(Parameters, frozen=True):
    """Which days.

    Attributes:
        days: number of local days up to today, by the server's clock.
    """

    days: Annotated[int, Meta(ge=1, le=MAX_DAYS)] = 14


class GroupExposure(msgspec.Struct, frozen=True):
    """What lists showed and sold of one group of items.

    Attributes:
        name: `head`, `tail`, `new`, or the brand.
        n_items: number of its items that may be listed.
        impressions: its items that were shown.
        clicks: those that were viewed later.
        purchases: those that were purchased.
        catalog_share: share of the items that may be listed; null without any.
        shown_share: share of the impressions; null without any.
        clicked_share: share of the clicks; null without any.
        bought_share: share of the purchases; null without any.
    """

    name: str
    n_items: int
    impressions: int
    clicks: int
    purchases: int
    catalog_share: float | None
    shown_share: float | None
    clicked_share: float | None
    bought_share: float | None


class ListExposure(msgspec.Struct, frozen=True):
    """What the lists of one placement showed and sold.

    Attributes:
        placement: the list.
        impressions: items that were shown.
        clicks: items that were viewed later.
        purchases: items that were purchased.
        groups: head, tail and new items; a new item is in head or tail too.
    """

    placement: str
    impressions: int
    clicks: int
    purchases: int
    groups: tuple[GroupExposure, ...]


class ExposureLedger(msgspec.Struct, frozen=True):
    """What lists showed and sold, by groups of items.

    Attributes:
        now: the server's time.
        timezone: of the days.
        model_version: the bundle whose catalog it is.
        impression_sample: share of the lists that the log has.
        n_items: number of items that may be listed.
        groups: head, tail and new items, over all lists.
        lists: the same by placement, those with most impressions first.
        brands: by brand, at most 20 with most impressions.
        is_complete: whether the whole log was counted; else call again.
    """

    now: Time
    timezone: str
    model_version: str
    impression_sample: float
    n_items: int
    groups: tuple[GroupExposure, ...]
    lists: tuple[ListExposure, ...]
    brands: tuple[GroupExposure, ...]
    is_complete: bool


async def get_exposure(app_context: AppContext, call: ExposureQuery) -> bytes:
    """Return what lists showed and sold of head and tail, new items and brands, from the live log.

    An item is new for 30 days after it was created; the tail is what the head, the fewest items with half of all
    purchases, leaves. A call reads the new entries of the log for at most a second.
    """
    snapshot = app_context.watcher.snapshot()
    recommender, now = snapshot.recommender, app_context.clock.now()
    days, _, is_complete = await asyncio.to_thread(app_context.stats.days, recommender, now, call.days)
    catalog = await asyncio.to_thread(app_context.stats.groups(recommender).catalog, now)
    by_list: dict[str, list[DayCounts]] = {}
    for (_, placement), counts in days.items():
        by_list.setdefault(placement, []).append(counts)
    lists = (_list(name, parts, catalog) for name, parts in by_list.items())
    everything = _Sums(days.values())
    return encode(
        ExposureLedger(
            now=moment(now),
            timezone=recommender.engine.dataset_info.timezone,
            model_version=snapshot.version,
            impression_sample=app_context.settings.impression_sample,
            n_items=catalog[ALL_ITEMS],
            groups=everything.parts(catalog),
            lists=tuple(sorted(lists, key=lambda each: -each.impressions)),
            brands=everything.brands(catalog),
            is_complete=is_complete,
        )
    )


class _Sums:
    """Sums over days and lists."""

    def __init__(self, counts: Iterable[DayCounts]) -> None:
        self.impressions = self.clicks = self.purchases = 0
        self._groups: Counter[tuple[str, Group]] = Counter()
        for each in counts:
            self.impressions += each.impressions
            self.clicks += each.clicks
            self.purchases += each.purchases
            self._groups.update(each.groups)

    def parts(self, catalog: Mapping[Group, int]) -> tuple[GroupExposure, ...]:
        return tuple(self._group(group, catalog) for group in (HEAD, TAIL, NEW))

    def brands(self, catalog: Mapping[Group, int]) -> tuple[GroupExposure, ...]:
        shown = [
            (n, group) for (stage, group), n in self._groups.items() if (stage, group[0]) == ("impressions", BRAND)
        ]
        shown.sort(key=lambda each: (-each[0], each[1]))
        return tuple(self._group(group, catalog) for _, group in shown[:MAX_BRANDS])

    def _group(self, group: Group, catalog: Mapping[Group, int]) -> GroupExposure:
        impressions, clicks, purchases = (
            self._groups[stage, group] for stage in ("impressions", "clicks", "purchases")
        )
        n_items = catalog.get(group, 0)
        return GroupExposure(
            group[1],
            n_items,
            impressions,
            clicks,
            purchases,
            _share(n_items, catalog[ALL_ITEMS]),
            _share(impressions, self.impressions),
            _share(clicks, self.clicks),
            _share(purchases, self.purchases),
        )


def _list(placement: str, counts: Iterable[DayCounts], catalog: Mapping[Group, int]) -> ListExposure:
    sums = _Sums(counts)
    return ListExposure(placement, sums.impressions, sums.clicks, sums.purchases, sums.parts(catalog))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/exposure",
        ExposureQuery,
        get_exposure,
        "console",
        (ExposureLedger,),
        failures=(503,),
        scope="view",
    ),
)
