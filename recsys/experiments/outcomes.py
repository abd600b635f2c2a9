"""What each shopper of an experiment saw and did: exposures of the live log joined with clicks and orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.frames import rows_to_frame
from recsys.core.ids import SESSION
from recsys.core.progress import Progress, silent
from recsys.core.schema import CLICKED, EVENTS, SENT, TIMESTAMP
from recsys.data.orders import settle_orders
from recsys.eventlog.identities import Identities, user_key
from recsys.eventlog.store import READ_BATCH, EventStore, LogEntry, read_entries, rows_of

DAY_S: Final = 86_400

CLICKS: Final = ("select_item", "view_item")
KEPT_EVENTS: Final = (*CLICKS, "purchase", "refund")
PRE_PERIOD_DAYS: Final = 28
"""Days before a shopper's first exposure that the covariates of CUPED are from."""

EXPOSURES: Final[dict[str, pl.DataType]] = {
    "unit_id": pl.String(),
    "variant": pl.String(),
    "timestamp": TIMESTAMP,
    "recommendation_id": pl.String(),
    "item_ids": pl.List(pl.String()),
}
"""Columns of exposures, one row per list."""

ACTIONS: Final[dict[str, pl.DataType]] = {
    "unit_id": pl.String(),
    "event": pl.String(),
    "timestamp": TIMESTAMP,
    "item_id": pl.String(),
    "recommendation_id": pl.String(),
    "basket_id": pl.String(),
    "quantity": pl.Float64(),
    "price": pl.Float64(),
    "currency": pl.String(),
}
"""Columns of what shoppers did, one row per event."""


@dataclass(frozen=True)
class ExperimentLog:
    """Exposures to one experiment, and the events of all shoppers.

    Attributes:
        exposures: the columns of `EXPOSURES`, by time.
        actions: the columns of `ACTIONS`, purchases without what was returned.
    """

    exposures: pl.DataFrame
    actions: pl.DataFrame

    @property
    def days(self) -> float:
        """Days from the first exposure to the last one."""
        if self.exposures.is_empty():
            return 0.0
        return (self.exposures["timestamp"][-1] - self.exposures["timestamp"][0]).total_seconds() / DAY_S

    def until(self, moment: datetime) -> ExperimentLog:
        """Return the part before a moment, as a look at that time would have found it."""
        is_before = pl.col("timestamp") < moment
        return ExperimentLog(self.exposures.filter(is_before), self.actions.filter(is_before))


def read_experiment_log(
    store: EventStore,
    experiment: str,
    timezone: str = "UTC",
    tables: pl.DataFrame | None = None,
    merges: Mapping[str, str] | None = None,
    *,
    batch: int = READ_BATCH,
    on_progress: Progress = silent,
) -> ExperimentLog:
    """Read the exposures to an experiment, and what shoppers did, under the roots of their merged ids.

    Args:
        store: the live log.
        experiment: its name in the exposures.
        timezone: IANA zone of the shop, where receipt numbers restart every day.
        tables: older events, the columns of `recsys.core.schema.EVENTS`; those before the log's first event count.
        merges: merges of the tables.
        batch: entries to read at a time.
        on_progress: gets the share that is read, after each batch; what it raises ends the reading.
    """
    identities, last = Identities(merges), store.last_seq()
    exposures = [rows_to_frame((), EXPOSURES)]
    events = [rows_to_frame((), EVENTS)]
    for stored in read_entries(store, batch, last):
        entries = [each.entry for each in stored]
        for entry in entries:
            identities.apply(entry)
        exposures.append(rows_to_frame((row for each in entries for row in _exposures(each, experiment)), EXPOSURES))
        events.append(rows_to_frame((row for each in entries for row in _kept_rows(each)), EVENTS))
        on_progress("read", stored[-1].seq / last if stored else 1.0)
    logged = pl.concat(events)
    if tables is not None:
        older = tables.filter(pl.col("event").is_in(KEPT_EVENTS))
        older = older if logged.is_empty() else older.filter(pl.col("timestamp") < logged["timestamp"].min())
        logged = pl.concat([older.select(logged.columns), logged])
    actions = actions_of(logged, identities, timezone)
    shown = _under_roots(pl.concat(exposures), identities)
    return ExperimentLog(shown.sort("timestamp", maintain_order=True), actions)


def actions_of(events: pl.DataFrame, identities: Identities, timezone: str = "UTC") -> pl.DataFrame:
    """Return clicks and settled purchases under the roots of their shoppers' ids, the columns of `ACTIONS`, by time.

    Args:
        events: the columns of `recsys.core.schema.EVENTS`.
        identities: merges of ids.
        timezone: IANA zone of the shop.
    """
    settled, _ = settle_orders(events.sort("timestamp", maintain_order=True), timezone)
    key = pl.coalesce("user_id", "visitor_id", SESSION + pl.col("session_id")).alias("unit_id")
    keyed = settled.filter(pl.col("event").is_in(KEPT_EVENTS)).with_columns(key).drop_nulls("unit_id")
    return _under_roots(keyed, identities).select(*ACTIONS)


def shopper_table(log: ExperimentLog, pre_days: float = PRE_PERIOD_DAYS) -> pl.DataFrame:
    """Return one row per shopper: the variant of the first exposure, what was shown and done since, and before.

    A shopper who saw several variants, as before and after a log-in, counts for the first one and is marked; lists of
    the others do not count. A click counts once per item of a list, an order from the first exposure on.

    Args:
        log: exposures and actions.
        pre_days: days before the first exposure that the columns `pre_…` are from.

    Returns:
        Columns `unit_id`, `variant`, `first_at`, `has_crossed`, `lists`, `impressions`, `clicks`, `orders`, `buyers`
        (0 or 1), `revenue`, `pre_buyers` and `pre_revenue`; no row without exposures.

    Raises:
        ConfigError: the purchases have prices of several currencies.
    """
    first = log.exposures.group_by("unit_id", maintain_order=True).agg(
        pl.col("variant").first(),
        pl.col("timestamp").first().alias("first_at"),
        (pl.col("variant").n_unique() > 1).alias("has_crossed"),
    )
    own = log.exposures.join(first, on=["unit_id", "variant"])
    n_items = pl.col("item_ids").list.len().sum()
    shown = own.group_by("unit_id").agg(pl.len().alias("lists"), n_items.alias("impressions"))
    table = first.join(shown, on="unit_id", how="left")
    for part in (_clicks(own, log.actions), *_orders(first, log.actions, pre_days)):
        table = table.join(part, on="unit_id", how="left")
    numbers = ("impressions", "lists", "clicks", "orders", "buyers", "revenue", "pre_buyers", "pre_revenue")
    return table.with_columns(pl.col(name).fill_null(0.0).cast(pl.Float64) for name in numbers).sort(
        "first_at", "unit_id"
    )


def _under_roots(rows: pl.DataFrame, identities: Identities) -> pl.DataFrame:
    roots = identities.roots(identities.merges)
    old, new = (pl.Series(list(part), dtype=pl.String) for part in (roots, roots.values()))
    return rows.with_columns(pl.col("unit_id").replace(old, new)) if roots else rows


def _kept_rows(entry: LogEntry) -> Iterator[Mapping[str, Any]]:
    is_kept = entry.entry_type == "event" and entry.body.get("event") in (*KEPT_EVENTS, CLICKED)
    return rows_of(entry) if is_kept else iter(())


def _exposures(entry: LogEntry, experiment: str) -> Iterator[dict[str, Any]]:
    """Yield a list that was shown, or a message that was sent, with a variant of the experiment."""
    body = entry.body
    if entry.entry_type == "impression":
        variant = (body.get("experiments") or {}).get(experiment)
        shown = {
            "recommendation_id": entry.key,
            "item_ids": [item.get("item_id") for item in body.get("items", ())],
        }
    elif entry.entry_type == "event" and body.get("event") == SENT and body.get("experiment") == experiment:
        variant = body.get("variant")
        shown = {"recommendation_id": body.get("recommendation_id"), "item_ids": list(body.get("item_ids") or ())}
    else:
        return
    key = user_key(*(body.get(name) for name in ("user_id", "visitor_id", "session_id")))
    if variant is not None and key is not None:
        yield {"unit_id": key, "variant": variant, "timestamp": round(entry.at * 1e6), **shown}


def _clicks(own: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Items of the shoppers' lists with a click that carries the list's id."""
    shown = own.select("unit_id", "recommendation_id", pl.col("item_ids").alias("item_id")).explode("item_id").unique()
    clicked = actions.filter(pl.col("event").is_in(CLICKS)).select("recommendation_id", "item_id").unique()
    return shown.join(clicked, on=["recommendation_id", "item_id"]).group_by("unit_id").agg(pl.len().alias("clicks"))


def _orders(first: pl.DataFrame, actions: pl.DataFrame, pre_days: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Orders and revenue since the first exposure, and in the days before it."""
    bought = actions.filter(pl.col("event") == "purchase").join(first, on="unit_id")
    currencies = bought.filter(pl.col("price").is_not_null())["currency"].drop_nulls().unique().sort().to_list()
    if len(currencies) > 1:
        raise ConfigError(
            f"the purchases are in {', '.join(currencies)}: expected one currency, as revenue is added up"
        )
    paid = pl.col("price").fill_null(0.0) * pl.col("quantity").fill_null(1.0)
    order = pl.coalesce("basket_id", pl.col("timestamp").dt.date().cast(pl.String))
    since = bought.filter(pl.col("timestamp") >= pl.col("first_at")).group_by("unit_id")
    start = pl.col("first_at") - pl.duration(seconds=round(pre_days * 86_400))
    before = bought.filter(pl.col("timestamp") < pl.col("first_at"), pl.col("timestamp") >= start).group_by("unit_id")
    return (
        since.agg(order.n_unique().alias("orders"), pl.lit(1.0).alias("buyers"), paid.sum().alias("revenue")),
        before.agg(pl.lit(1.0).alias("pre_buyers"), paid.sum().alias("pre_revenue")),
    )
