"""Attribution of logged events to the lists whose id they carry."""

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
from recsys.core.schema import CLICK_EVENT, CLICKED, EVENTS, OPENED, SENT
from recsys.core.timestamps import MICROSECONDS
from recsys.data.dataset import DAY_S
from recsys.data.orders import ORDER_EVENTS, settle_orders
from recsys.eventlog.store import READ_BATCH, EventStore, LogEntry, is_message, read_entries, rows_of

Z_95: Final = 1.959964

CLICKS: Final = ("select_item", "view_item")
STAGES: Final = {"clicks": CLICKS, "carts": ("add_to_cart",), "purchases": ("purchase",)}
"""Stages of the funnel, and the events that count for each."""

Counted = Counter[tuple[str, str]]
"""Numbers by placement and model version."""

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
"""Columns of the items that lists showed, one row per item; `shown_at` in seconds since 1970."""

ATTRIBUTED_COLUMNS: Final[dict[str, pl.DataType]] = {
    "recommendation_id": pl.String(),
    "item_id": pl.String(),
    "event": pl.String(),
    "at": pl.Float64(),
    "quantity": pl.Float64(),
    "price": pl.Float64(),
    "currency": pl.String(),
}
"""Columns of the events that carry the id of a list."""


@dataclass(frozen=True)
class PlacementStats:
    """Funnel of the lists of one placement and model version.

    Each item of a list counts at most once per stage.

    Attributes:
        placement, model_version: of the lists.
        lists: number of lists in the log.
        impressions: number of their items.
        clicks, carts, purchases: number of items that were viewed, added to the cart, purchased.
        ctr: clicks ÷ impressions.
        conversion: purchases ÷ impressions.
        revenue: quantity × price of the purchases, by currency; "" for events without a currency.
        opens: number of lists whose message was opened.
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
    opens: int = 0


@dataclass(frozen=True)
class Attribution:
    """Attribution of all events in the log.

    Attributes:
        yields: funnels by placement and model version.
        window_days: days after a list within which an event counts.
        late: events after the window.
        unmatched: events whose list is not in the log or did not contain the item.
    """

    yields: tuple[PlacementStats, ...]
    window_days: float
    late: int
    unmatched: int


def attribution(store: EventStore, window_days: float = 7.0, timezone: str = "UTC") -> Attribution:
    """Attribute events to the lists whose `recommendation_id` they carry.

    A message that was sent with its `item_ids` is a list, and a click in it counts as one of the item. An event counts
    for a list that contained its item, up to `window_days` later. An event with an earlier time than
    its list counts too: the clocks differ, as the event carries the list's id. A purchase that was delivered twice
    counts once, and one that was returned does not count, nor its revenue; see `recsys.data.orders`.

    Args:
        store: the live log.
        window_days: > 0 and finite.
        timezone: IANA zone of the shop, where receipt numbers restart every day.

    Returns:
        The funnels; none if no list is in the log.

    Raises:
        ConfigError: `window_days` is not positive and finite.
    """
    until = store.last_seq()
    in_time, late, unmatched = attributed_events(store, window_days, timezone, until)
    lists, impressions, opens = _shown_counts(store, until)
    counts = {stage: _pairs(in_time, names) for stage, names in STAGES.items()}
    revenue = _revenue(in_time)
    yields = tuple(
        _yield(
            kind,
            lists[kind],
            impressions[kind],
            {stage: counts[stage].get(kind, 0) for stage in STAGES},
            revenue,
            opens,
        )
        for kind in sorted(lists)
    )
    return Attribution(yields, window_days, late, unmatched)


def attributed_events(
    store: EventStore, window_days: float = 7.0, timezone: str = "UTC", up_to_seq: int | None = None
) -> tuple[pl.DataFrame, int, int]:
    """Join the events that carry the id of a list to the item that the list showed.

    Args:
        store: the live log.
        window_days: > 0 and finite.
        timezone: IANA zone of the shop, where receipt numbers restart every day.
        up_to_seq: last sequence number to read; all if None.

    Returns:
        The columns of `ATTRIBUTED_COLUMNS` and `IMPRESSION_COLUMNS` for events within the window; the number of later
        events, and of events whose list is not in the log or did not show the item.

    Raises:
        ConfigError: `window_days` is not positive and finite.
    """
    if not (0 < window_days < math.inf):
        raise ConfigError(
            f"the window is {window_days} days, expected a finite number above 0: choose another --window-days"
        )
    until = store.last_seq() if up_to_seq is None else up_to_seq
    events = _attributed_events(store, until, timezone)
    joined = events.join(impression_rows(store, events["recommendation_id"], until), on=PAIR)
    in_time = joined.filter(pl.col("at") - pl.col("shown_at") <= window_days * DAY_S)
    return in_time, len(joined) - len(in_time), len(events) - len(joined)


def shown_lists(store: EventStore, up_to_seq: int | None = None) -> Iterator[tuple[str, int, float, list[str]]]:
    """Yield the lists of the log: placement, number of times, time of the first (seconds since 1970), item ids.

    Args:
        store: the live log.
        up_to_seq: last sequence number to read; all if None.
    """
    for entry in _of_kind(store, "impression", up_to_seq):
        times = impressions(entry)
        items = [item["item_id"] for item in entry.body.get("items", ())]
        if times:
            yield str(entry.body.get("placement") or ""), len(times), times[0][1], items


def impression_rows(store: EventStore, recommendation_ids: Iterable[str], up_to_seq: int | None = None) -> pl.DataFrame:
    """Read the items of the lists with the given ids.

    Args:
        store: the live log.
        recommendation_ids: ids of lists; ids that are not in the log are ignored.
        up_to_seq: last sequence number to read; all if None.

    Returns:
        The columns of `IMPRESSION_COLUMNS`; `propensity` is null where the position was not random.
    """
    wanted = set(recommendation_ids)
    rows = (
        {**entry.body, "recommendation_id": id_, "shown_at": at, "position": position, **shown}
        for entry in _lists(store, up_to_seq)
        for id_, at in impressions(entry)
        if id_ in wanted
        for position, shown in enumerate(entry.body.get("items", ()), 1)
    )
    return rows_to_frame(rows if wanted else (), IMPRESSION_COLUMNS).unique(PAIR, keep="first", maintain_order=True)


def join_impressions(events: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """Fill the placement, position and propensity of events from the lists whose id they carry.

    Args:
        events: the columns of `recsys.core.schema.EVENTS`.
        shown: result of `impression_rows`.

    Returns:
        The events with the same columns; existing values are kept.
    """
    names = ("placement", "position", "propensity")
    renamed = shown.select(*PAIR, *(pl.col(name).alias(f"{name} shown") for name in names))
    joined = events.join(renamed, on=PAIR, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce(name, f"{name} shown").alias(name) for name in names).select(events.columns)


def impressions(entry: LogEntry) -> list[tuple[str | None, float]]:
    """Return the `recommendation_id` and the time (seconds since 1970) of each list in an impression entry."""
    if (batch := entry.body.get("shown")) is None:
        return [(entry.key, entry.at)]
    return [(each["recommendation_id"], each["at"]) for each in batch]


def wilson(hits: int, trials: int) -> Interval:
    """Compute a share with its 95 % Wilson interval.

    `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`.

    Args:
        hits: number of successes, 0 to `trials`.
        trials: number of trials, >= 0.

    Returns:
        The share and its interval; (0, 0, 1) without trials.

    Reference:
        Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA.

    >>> interval = wilson(1, 10)
    >>> interval.value, round(interval.low, 4), round(interval.high, 4)
    (0.1, 0.0179, 0.4042)
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
        yield from (stored.entry for stored in entries if stored.entry.entry_type == kind)


def _lists(store: EventStore, up_to_seq: int | None) -> Iterator[LogEntry]:
    """Yield the lists that were shown, and the messages that were sent with items as such lists."""
    for entries in read_entries(store, READ_BATCH, up_to_seq):
        for entry in (stored.entry for stored in entries):
            body = entry.body
            if entry.entry_type == "impression":
                yield entry
            elif is_message(entry) and body["event"] == SENT and body.get("item_ids") and body.get("recommendation_id"):
                shown = {"placement": body.get("placement"), "items": [{"item_id": id_} for id_ in body["item_ids"]]}
                yield LogEntry("impression", body["recommendation_id"], entry.at, entry.received_at, shown)


def _attributed_events(store: EventStore, up_to_seq: int, timezone: str) -> pl.DataFrame:
    """Return the events that carry the id of a list and count for a stage, purchases without what was returned."""
    counted = {name for names in STAGES.values() for name in names}
    rows = (
        row
        for entry in _of_kind(store, "event", up_to_seq)
        if (name := CLICK_EVENT if entry.body.get("event") == CLICKED else entry.body.get("event")) in ORDER_EVENTS
        or (name in counted and entry.body.get("recommendation_id") is not None)
        for row in rows_of(entry)
    )
    events, _ = settle_orders(rows_to_frame(rows, EVENTS).sort("timestamp", maintain_order=True), timezone)
    attributed = events.filter(pl.col("recommendation_id").is_not_null(), pl.col("event").is_in(list(counted)))
    at = (pl.col("timestamp").dt.epoch("us") / MICROSECONDS).alias("at")
    return attributed.with_columns(at).select(*ATTRIBUTED_COLUMNS)


def _shown_counts(store: EventStore, up_to_seq: int) -> tuple[Counted, Counted, Counted]:
    """Count lists, impressions and opened lists by placement and model version."""
    opened = {
        entry.body.get("recommendation_id")
        for entry in _of_kind(store, "event", up_to_seq)
        if entry.body.get("event") == OPENED
    }
    lists: Counted = Counter()
    n_shown: Counted = Counter()
    opens: Counted = Counter()
    for entry in _lists(store, up_to_seq):
        placement, model_version = (entry.body.get(name) for name in KIND)
        kind = (str(placement or ""), str(model_version or ""))
        shown = impressions(entry)
        count = len(shown)
        opens[kind] += sum(id_ is not None and id_ in opened for id_, _ in shown)
        lists[kind] += count
        n_shown[kind] += count * len(entry.body.get("items", ()))
    return lists, n_shown, opens


def _pairs(joined: pl.DataFrame, names: Iterable[str]) -> dict[tuple[str, str], int]:
    """Count distinct items of lists with one of the given events, by placement and model version."""
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
    opens: Counted,
) -> PlacementStats:
    ctr, conversion = (wilson(counts[stage], impressions) for stage in ("clicks", "purchases"))
    placement, model_version = kind
    clicks, carts, purchases = (counts[stage] for stage in STAGES)
    paid = revenue.get(kind, {})
    return PlacementStats(
        placement, model_version, lists, impressions, clicks, carts, purchases, ctr, conversion, paid, opens[kind]
    )
