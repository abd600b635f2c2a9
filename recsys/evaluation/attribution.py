"""What came of the lists that were shown: events that carry a list's id, beside what the list showed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.frames import rows_to_frame
from recsys.core.metrics import Interval
from recsys.data.dataset import DAY_S
from recsys.eventlog.store import READ_BATCH, EventStore, LogEntry, read_entries

Z_95: Final = 1.959964

CLICKS: Final = ("select_item", "view_item")
STAGES: Final = {"clicks": CLICKS, "carts": ("add_to_cart",), "purchases": ("purchase",)}
"""What a shopper did with an item that a list showed, and the events that say so."""

PAIR: Final = ("recommendation_id", "item_id")
KIND: Final = ("placement", "model_version")
IMPRESSION_COLUMNS: Final[dict[str, pl.DataType]] = {
    "recommendation_id": pl.String(),
    "item_id": pl.String(),
    "placement": pl.String(),
    "model_version": pl.String(),
    "position": pl.Int64(),
    "propensity": pl.Float64(),
    "shown_at": pl.Float64(),
}
"""Columns of what lists showed, one row an item; `shown_at` in seconds since 1970."""

ATTRIBUTED_COLUMNS: Final[dict[str, pl.DataType]] = {
    "recommendation_id": pl.String(),
    "item_id": pl.String(),
    "event": pl.String(),
    "at": pl.Float64(),
    "quantity": pl.Float64(),
    "price": pl.Float64(),
    "currency": pl.String(),
}
"""Columns of the events that carry a list's id."""


@dataclass(frozen=True)
class PlacementStats:
    """What came of the lists of one placement and model.

    An item of a list counts once a stage, however often its event came.

    Attributes:
        placement, model_version: of the lists.
        lists: how batch are in the log.
        impressions: items over all of them.
        clicks, carts, purchases: items of them that were looked at, put into the cart, bought.
        ctr: clicks ÷ impressions.
        conversion: purchases ÷ impressions.
        revenue: quantity × price over the purchases, by currency; "" where the events name none.
    """

    placement: str
    model_version: str
    lists: int
    impressions: int
    clicks: int
    carts: int
    purchases: int
    ctr: Interval
    conversion: Interval
    revenue: dict[str, float]


@dataclass(frozen=True)
class Attribution:
    """What came of all lists that the log holds.

    Attributes:
        yields: by placement and model version.
        window_days: how long after a list an event counted.
        late: events that came after the window.
        unmatched: events whose list is not in the log, or did not show the item.
    """

    yields: tuple[PlacementStats, ...]
    window_days: float
    late: int
    unmatched: int


def attribution(store: EventStore, window_days: float = 7.0) -> Attribution:
    """Attribute events to the lists whose `recommendation_id` they carry.

    An event counts for a list that showed its item, up to `window_days` later. A time before the list's is a
    difference between clocks, as the event knew the list's id, and counts.

    Args:
        store: the live log.
        window_days: > 0.

    Raises:
        ConfigError: the window is no length of time.
    """
    if not (0 < window_days < math.inf):
        raise ConfigError(f"the window is {window_days} days, expected more than 0")
    until = store.last_seq()
    events = _attributed_events(store, until)
    lists, impressions = _shown_counts(store, until)
    joined = events.join(impression_rows(store, events["recommendation_id"], until), on=PAIR)
    in_time = joined.filter(pl.col("at") - pl.col("shown_at") <= window_days * DAY_S)
    counts = {stage: _pairs(in_time, names) for stage, names in STAGES.items()}
    revenue = _revenue(in_time)
    yields = tuple(
        _yield(kind, lists[kind], impressions[kind], {stage: counts[stage].get(kind, 0) for stage in STAGES}, revenue)
        for kind in sorted(lists)
    )
    return Attribution(yields, window_days, len(joined) - len(in_time), len(events) - len(joined))


def impression_rows(store: EventStore, recommendation_ids: Iterable[str], up_to_seq: int | None = None) -> pl.DataFrame:
    """What the lists of some ids showed.

    Args:
        store: the live log.
        recommendation_ids: of the lists; those that the log does not have are passed over.
        up_to_seq: the last number to be read.

    Returns:
        The columns of `IMPRESSION_COLUMNS`; `propensity` is null where chance had no part.
    """
    wanted = set(recommendation_ids)
    rows = (
        {**entry.body, "recommendation_id": id_, "shown_at": at, "position": position, **shown}
        for entry in _of_kind(store, "impression", up_to_seq)
        for id_, at in impressions(entry)
        if id_ in wanted
        for position, shown in enumerate(entry.body.get("items", ()), 1)
    )
    return rows_to_frame(rows if wanted else (), IMPRESSION_COLUMNS).unique(PAIR, keep="first", maintain_order=True)


def join_impressions(events: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """Events that carry a list's id, with the list's placement, position and propensity where they lack their own.

    Args:
        events: the columns of `recsys.core.schema.EVENTS`.
        shown: from `impression_rows`.
    """
    names = ("placement", "position", "propensity")
    renamed = shown.select(*PAIR, *(pl.col(name).alias(f"{name} shown") for name in names))
    joined = events.join(renamed, on=PAIR, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce(name, f"{name} shown").alias(name) for name in names).select(events.columns)


def impressions(entry: LogEntry) -> list[tuple[str | None, float]]:
    """The `recommendation_id` and time (seconds since 1970) of each list that an impression stands for."""
    if (batch := entry.body.get("shown")) is None:
        return [(entry.key, entry.at)]
    return [(each["recommendation_id"], each["at"]) for each in batch]


def wilson(hits: int, trials: int) -> Interval:
    """A share with its 95 % interval; (0, 0, 1) of no trials.

    `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`.

    Reference:
        Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA.

    >>> wilson(1, 10)
    Interval(value=0.1, low=0.01787..., high=0.40415...)
    """
    if not trials:
        return Interval(0.0, 0.0, 1.0)
    share, z2 = hits / trials, Z_95 * Z_95 / trials
    spread = Z_95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials))
    middle = share + z2 / 2
    low, high = (middle - spread) / (1 + z2), (middle + spread) / (1 + z2)
    return Interval(share, min(max(low, 0.0), share), max(min(high, 1.0), share))  # rounding must not cross them


def _of_kind(store: EventStore, kind: str, up_to_seq: int | None) -> Iterator[LogEntry]:
    for entries in read_entries(store, READ_BATCH, up_to_seq):
        yield from (stored.entry for stored in entries if stored.entry.kind == kind)


def _attributed_events(store: EventStore, up_to_seq: int) -> pl.DataFrame:
    """The events that carry a list's id and count for a stage."""
    counted = {name for names in STAGES.values() for name in names}
    rows = (
        {**entry.body, "at": entry.at}
        for entry in _of_kind(store, "event", up_to_seq)
        if entry.body.get("recommendation_id") is not None and entry.body.get("event") in counted
    )
    return rows_to_frame(rows, ATTRIBUTED_COLUMNS)


def _shown_counts(store: EventStore, up_to_seq: int) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Lists and impressions by placement and model version."""
    lists: Counter[tuple[str, str]] = Counter()
    n_shown: Counter[tuple[str, str]] = Counter()
    for entry in _of_kind(store, "impression", up_to_seq):
        placement, model_version = (entry.body.get(name) for name in KIND)
        kind = (str(placement or ""), str(model_version or ""))
        count = len(impressions(entry))
        lists[kind] += count
        n_shown[kind] += count * len(entry.body.get("items", ()))
    return lists, n_shown


def _pairs(joined: pl.DataFrame, names: Iterable[str]) -> dict[tuple[str, str], int]:
    """Distinct items of lists that have one of some events, by placement and model version."""
    pairs = joined.filter(pl.col("event").is_in(list(names))).unique(PAIR)
    counted = pairs.group_by(pl.col(KIND).fill_null("")).len()
    return {(placement, version): count for placement, version, count in counted.rows()}


def _revenue(joined: pl.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    paid = pl.col("price") * pl.col("quantity").fill_null(1)
    bought = joined.filter(pl.col("event") == "purchase", pl.col("price").is_not_null())
    sums = bought.group_by(pl.col(*KIND, "currency").fill_null("")).agg(paid.sum().alias("paid")).sort("currency")
    revenue: dict[tuple[str, str], dict[str, float]] = {}
    for placement, version, currency, amount in sums.rows():
        revenue.setdefault((placement, version), {})[currency] = amount
    return revenue


def _yield(
    kind: tuple[str, str],
    lists: int,
    impressions: int,
    counts: dict[str, int],
    revenue: dict[tuple[str, str], dict[str, float]],
) -> PlacementStats:
    ctr, conversion = (wilson(counts[stage], impressions) for stage in ("clicks", "purchases"))
    placement, model_version = kind
    clicks, carts, purchases = (counts[stage] for stage in STAGES)
    paid = revenue.get(kind, {})
    return PlacementStats(placement, model_version, lists, impressions, clicks, carts, purchases, ctr, conversion, paid)
