"""Lists and their clicks, purchases and revenue by local day and placement, counted as the live log grows."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from recsys.evaluation.attribution import STAGES, impressions
from recsys.eventlog.store import LogEntry, StoredEntry

MAX_LISTS: Final = 200_000
"""Lists whose later events are recognized, the latest ones; bounds the memory."""

MAX_EARLY: Final = 10_000
"""Unknown lists whose events wait for them."""

MAX_DAYS: Final = 35
STAGE_OF: Final = {event: stage for stage, events in STAGES.items() for event in events}

ListDay = tuple[date, str]
"""A local day, and a placement; "" for all events of the shop."""

Group = tuple[str, str]
"""A kind of groups of items, such as `brand`, and the name of one group."""

GroupsOf = Callable[[str, float], Sequence[Group]]
"""Returns the groups of an item, by its id, at a moment, in seconds since 1970."""


@dataclass
class DayCounts:
    """Counts of one placement on one day; each item of a list counts once per stage.

    Attributes:
        lists: lists that were shown.
        impressions: their items.
        clicks: items that were viewed later.
        carts: items that were put in a cart.
        purchases: items that were purchased.
        revenue: price times quantity of these purchases, by currency; "" for none.
        groups: impressions, clicks, carts and purchases by group of the items, under the stage and the group.
    """

    lists: int = 0
    impressions: int = 0
    clicks: int = 0
    carts: int = 0
    purchases: int = 0
    revenue: Counter[str] = field(default_factory=Counter)
    groups: Counter[tuple[str, Group]] = field(default_factory=Counter)


def no_groups(item_id: str, at: float) -> Sequence[Group]:
    """Return none."""
    return ()


class ListDays:
    """Counts entries of the live log once each; days are those of the lists, so that shares of a day are shares.

    Returned purchases are not taken back: `recsys attribution` does that.

    Args:
        timezone: IANA zone of the shop.
        groups_of: the groups of an item when its list was shown; may be replaced.

    Attributes:
        groups_of: as given.
        seq: number of the last entry that is counted.
        unmatched: events whose list is not among the latest `MAX_LISTS`.
    """

    def __init__(self, timezone: str, groups_of: GroupsOf = no_groups) -> None:
        self._zone, self.groups_of = ZoneInfo(timezone), groups_of
        self._lists: OrderedDict[str, tuple[ListDay, float]] = OrderedDict()
        self._early: OrderedDict[str, list[Mapping[str, Any]]] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._counts: defaultdict[ListDay, DayCounts] = defaultdict(DayCounts)
        self.seq = self.unmatched = 0

    def add(self, entries: Iterable[StoredEntry]) -> None:
        """Count the next entries of the log."""
        for stored in entries:
            if stored.entry.entry_type == "impression":
                self._add_list(stored.entry)
            elif stored.entry.entry_type == "event":
                self._add_event(stored.entry)
            self.seq = stored.seq

    def days(self, until: int, n_days: int) -> dict[ListDay, DayCounts]:
        """Return the counts of the latest days, and forget those before `MAX_DAYS`.

        Args:
            until: a moment of the last day, seconds since 1970.
            n_days: number of days, at most `MAX_DAYS`.
        """
        last = self._day(until)
        for key in [key for key in self._counts if key[0] <= last - timedelta(days=MAX_DAYS)]:
            del self._counts[key]
        first = last - timedelta(days=n_days - 1)
        return {key: counts for key, counts in sorted(self._counts.items()) if first <= key[0] <= last}

    def _add_list(self, entry: LogEntry) -> None:
        placement, items = str(entry.body.get("placement") or ""), entry.body.get("items", ())
        shown = [("impressions", group) for item in items for group in self.groups_of(item["item_id"], entry.at)]
        for recommendation_id, at in impressions(entry):
            key = self._day(at), placement
            counts = self._counts[key]
            counts.lists += 1
            counts.impressions += len(items)
            counts.groups.update(shown)
            if recommendation_id is not None:
                self._lists[recommendation_id] = key, at
                for body in self._early.pop(recommendation_id, ()):
                    self.unmatched -= 1
                    self._count(key, at, recommendation_id, body)
        while len(self._lists) > MAX_LISTS:
            self._lists.popitem(last=False)

    def _add_event(self, entry: LogEntry) -> None:
        list_id, body = entry.body.get("recommendation_id"), entry.body
        if list_id is None or body.get("item_id") is None or body.get("event") not in STAGE_OF:
            return
        shown = self._lists.get(list_id)
        if shown is not None:
            self._count(*shown, list_id, body)
            return
        self.unmatched += 1
        self._early.setdefault(list_id, []).append(body)  # lists are written a moment after they are shown
        if len(self._early) > MAX_EARLY:
            self._early.popitem(last=False)

    def _count(self, key: ListDay, at: float, list_id: str, body: Mapping[str, Any]) -> None:
        counts, stage = self._counts[key], STAGE_OF[body["event"]]
        once = list_id, body["item_id"], stage
        if once not in self._seen:
            self._seen[once] = None
            setattr(counts, stage, getattr(counts, stage) + 1)
            counts.groups.update((stage, group) for group in self.groups_of(body["item_id"], at))
            if len(self._seen) > MAX_LISTS:
                self._seen.popitem(last=False)
        if stage == "purchases" and body.get("price") is not None:
            quantity = body.get("quantity")
            counts.revenue[body.get("currency") or ""] += body["price"] * (1 if quantity is None else quantity)

    def _day(self, at: float) -> date:
        return datetime.fromtimestamp(at, UTC).astimezone(self._zone).date()
