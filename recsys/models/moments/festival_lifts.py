"""Items that sold more before a festival than at other times, in the shop's own past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.festivals import FESTIVALS
from recsys.data.catalog import Catalog
from recsys.data.dataset import DAY_S, Dataset

LEAD_DAYS: Final = 14
MIN_LIFT: Final = 1.5
MIN_SOLD: Final = 5
SHRINKAGE: Final = 10.0
N_ITEMS: Final = 300
"""Items that are kept of each festival."""

MIN_OTHER_DAYS: Final = 56
"""Days of the shop besides those before the festival that there must be."""


@dataclass(frozen=True)
class FestivalLifts:
    """Lists of items by festival.

    Attributes:
        names: festivals that were learned.
        ends: int64 (n_festivals,), where the items of each end.
        item_idx: int32, items, those of the largest lift first.
        lift: float32, share of sales before the festival ÷ share at other times, shrunk to that of the type.
    """

    names: tuple[str, ...] = ()
    ends: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    item_idx: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    lift: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def of(self, name: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the items of a festival and their lifts; none for one that was not learned."""
        if name not in self.names:
            return self.item_idx[:0], self.lift[:0]
        n = self.names.index(name)
        part = slice(int(self.ends[n - 1]) if n else 0, int(self.ends[n]))
        return self.item_idx[part], self.lift[part]


NO_FESTIVAL_LIFTS: Final = FestivalLifts()


def fit_festival_lifts(dataset: Dataset, catalog: Catalog) -> FestivalLifts:
    """Compare the sales of the two weeks before the latest day of each festival with those of all other days.

    `lift_i = (n_i + k·L) / (e_i + k)`, with `n_i` the purchases of the item in these weeks, `e_i` those expected from
    its share at other times, `L` the lift of its type, shrunk to 1 alike, and `k = SHRINKAGE`.
    """
    bought = dataset.target_events.timestamp
    if not len(bought):
        return NO_FESTIVAL_LIFTS
    spans = festival_spans(int(bought[0]), int(bought[-1]))
    return festival_lifts_of(count_festivals(dataset, spans), spans, catalog)


Spans = Mapping[str, tuple[int, int]]
"""Beginning and end of the weeks before each festival, by its name, in seconds since 1970."""


@dataclass(frozen=True)
class FestivalCounts:
    """Purchases by item; those of several groups of users can be added.

    Attributes:
        before: int64 (n_festivals, n_items), purchases in the weeks before each festival.
        ever: int64 (n_items,), all purchases.
    """

    before: npt.NDArray[np.int64]
    ever: npt.NDArray[np.int64]


def festival_spans(first: int, last: int) -> Spans:
    """Return the weeks before the latest day of each festival that the data cover.

    Args:
        first: time of the first purchase, seconds since 1970.
        last: time of the last one.
    """
    days = {festival.name: _latest(festival.day_of, first, last) for festival in FESTIVALS.values()}
    ends = {name: _seconds(day + timedelta(days=1)) for name, day in days.items() if day is not None}
    return {name: (end - (LEAD_DAYS + 1) * DAY_S, end) for name, end in ends.items()}


def count_festivals(dataset: Dataset, spans: Spans) -> FestivalCounts:
    """Count the purchases of some users or of all."""
    bought, n_items = dataset.target_events, len(dataset.items)
    before = [
        np.bincount(bought.item_idx[(bought.timestamp >= begin) & (bought.timestamp < end)], minlength=n_items)
        for begin, end in spans.values()
    ]
    ever = np.bincount(bought.item_idx, minlength=n_items)
    return FestivalCounts(np.array(before, np.int64).reshape(len(spans), n_items), ever)


def festival_lifts_of(counts: FestivalCounts, spans: Spans, catalog: Catalog) -> FestivalLifts:
    """Return the model of the counts of all users; see `fit_festival_lifts`."""
    names: list[str] = []
    rows: list[npt.NDArray[np.int32]] = []
    lifts: list[npt.NDArray[np.float32]] = []
    for name, sold in zip(spans, counts.before, strict=True):
        lift = _lift(sold, counts.ever - sold, catalog.item_type)
        found = np.flatnonzero((lift >= MIN_LIFT) & (sold >= MIN_SOLD))
        best = found[np.lexsort((found, -lift[found]))][:N_ITEMS]
        if len(best):
            names.append(name)
            rows.append(best.astype(np.int32))
            lifts.append(lift[best].astype(np.float32))
    if not names:
        return NO_FESTIVAL_LIFTS
    ends = np.cumsum([len(each) for each in rows]).astype(np.int64)
    return FestivalLifts(tuple(names), ends, np.concatenate(rows), np.concatenate(lifts))


def _latest(day_of: object, first: int, last: int) -> date | None:
    """The latest day of a festival whose weeks before it, and enough others, are in the data."""
    assert callable(day_of)
    end_year = datetime.fromtimestamp(last, UTC).year
    for year in (end_year, end_year - 1):
        day = day_of(year)
        if day is None:
            continue
        end = _seconds(day + timedelta(days=1))
        begins = end - (LEAD_DAYS + 1) * DAY_S
        other_days = (last - first) / DAY_S - LEAD_DAYS
        if first <= begins and end <= last + DAY_S and other_days >= MIN_OTHER_DAYS:
            return date(day.year, day.month, day.day)
    return None


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _lift(
    sold: npt.NDArray[np.int64], other: npt.NDArray[np.int64], item_type: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    """Return the lift of each item by its purchases before the festival and at other times."""
    expected = other * (sold.sum() / max(other.sum(), 1))
    label = item_type + 1
    of_type = (np.bincount(label, sold) + SHRINKAGE) / (np.bincount(label, expected) + SHRINKAGE)
    prior = np.where(item_type >= 0, of_type[label], 1.0)
    return (sold + SHRINKAGE * prior) / (expected + SHRINKAGE)
