"""The shop's tables as the growth reports read them: people, local days, and orders as they were kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from recsys.core.errors import ConfigError, DataError
from recsys.core.schema import EVENT_NAMES, EVENTS, ITEMS, MAX_AMOUNT, PERSONALIZATION, USERS
from recsys.data.dataset import read_info
from recsys.data.orders import ORDER_EVENTS, receipt, settle_orders
from recsys.data.shop_facts import MIN_TARGET_SHARE, TARGET_EVENTS
from recsys.data.variants import find_variants, resolve_products
from training.growth.periods import Observation

REFERENCE_DAYS: Final = 28
LATE_SHARE: Final = 0.02
"""The last day is complete if at most this share of a usual day's events, or one event, comes at a later time."""


@dataclass(frozen=True)
class ShopHistory:
    """What people did in a shop, by its local days; without people who opted out of personalization.

    Attributes:
        events: lazy; `person` (uint64, null for an unknown one), `day`, `timestamp`, `event`, `channel`,
            `placement`.
        lines: lines of orders, kept and not returned: `person`, `day`, `timestamp`, `order` (uint64), `item_id`
            (categorical), `amount` (price × quantity in the shop's currency, null if unknown), `channel`, `placement`
            (both categorical).
        active_days: distinct `person` and `day` of the activity.
        activity: the event that retention counts: `purchase`, else the strongest that the shop records.
        counts: number of events by name.
        observed: the days that the data cover completely.
        timezone: the shop's IANA zone.
        currency: that of most order lines; "" for none.
        n_other_currency: order lines of other currencies, which are in no revenue.
        is_recognized: whether any event names a user or a visitor; else each session is a person.
        items: the columns of `schema.ITEMS`.
    """

    events: pl.LazyFrame
    lines: pl.DataFrame
    active_days: pl.DataFrame
    activity: str
    counts: dict[str, int]
    observed: Observation
    timezone: str
    currency: str
    n_other_currency: int
    is_recognized: bool
    items: pl.DataFrame

    def during(self, window: Observation) -> pl.LazyFrame:
        """Return the events of some days; only their part of the file is read."""
        return self.events.filter(
            pl.col("timestamp").is_between(self.moment(window.first), self.moment(window.end), closed="left")
        )

    def moment(self, day: date) -> datetime:
        """Return the start of a day."""
        return start_of_day(day, self.timezone)

    @property
    def has_orders(self) -> bool:
        """Whether there is any purchase."""
        return len(self.lines) > 0

    @property
    def has_prices(self) -> bool:
        """Whether the amount of any order line is known."""
        return bool(self.lines["amount"].is_not_null().any())


def read_history(data_dir: Path, until: date | None = None) -> ShopHistory:
    """Read a folder of validated tables, as `recsys ingest` writes it.

    Args:
        data_dir: contains `dataset.json` and `events.parquet`.
        until: the last complete day; None to find it.

    Raises:
        DataError: there is no event with a time, or all are of people who opted out.
        ConfigError: `until` is before the data.
    """
    info = read_info(data_dir)
    path = data_dir / "events.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing, and reports are about events: run `recsys ingest --events FILE`")
    users = _table(data_dir / "users.parquet", USERS)
    opted_out = users.filter(pl.col(PERSONALIZATION).eq_missing(False)).select("user_id")
    scanned = _with_columns(pl.scan_parquet(path))
    if len(opted_out):
        everybody, scanned = scanned, scanned.join(opted_out.lazy(), on="user_id", how="anti")
        if not len(scanned.head(1).collect()) and len(everybody.head(1).collect()):
            raise DataError(
                f"all events of {path} are of users with personalization false ({len(opted_out):,}), who are in no "
                "report: correct the column personalization of the users table if that is not so"
            )
    counts = _counts(scanned, path)
    is_recognized = bool(
        scanned.select(pl.any_horizontal(pl.col("user_id", "visitor_id").is_not_null()).any()).collect().item()
    )
    events = scanned.with_columns(_day(info.timezone), person_of(is_recognized=is_recognized))
    observed = _observation(scanned, info.timezone, until)
    events = events.filter(pl.col("timestamp") < start_of_day(observed.end, info.timezone))
    items = _table(data_dir / "items.parquet", ITEMS)
    lines, currency, n_other = _lines(events, items, info.timezone)
    activity = _activity(counts)
    done = lines.lazy() if activity == "purchase" else events.filter(pl.col("event") == activity)
    days = done.filter(pl.col("person").is_not_null()).select("person", "day").unique()
    return ShopHistory(
        events=events.select("person", "day", "timestamp", "event", "channel", "placement"),
        lines=lines,
        active_days=days.collect(engine="streaming").sort("person", "day"),
        activity=activity,
        counts=counts,
        observed=observed,
        timezone=info.timezone,
        currency=currency,
        n_other_currency=n_other,
        is_recognized=is_recognized,
        items=items,
    )


def person_of(*, is_recognized: bool = True) -> pl.Expr:
    """Return the number of an event's person, uint64: a digest of the user's, else the visitor's id.

    Args:
        is_recognized: False for the session's id, where no event of the shop has either.
    """
    return _digest(pl.coalesce("user_id", "visitor_id") if is_recognized else pl.col("session_id")).alias("person")


def _counts(events: pl.LazyFrame, path: Path) -> dict[str, int]:
    known = events.filter(pl.col("timestamp").is_not_null()).group_by("event").agg(pl.len())
    counts = dict(known.sort("event").collect(engine="streaming").iter_rows())
    if not counts:
        raise DataError(
            f"{path} has no event with a timestamp, and reports are about time: give the events a column `timestamp`"
            " (a date will do) and run `recsys ingest` again"
        )
    return counts


def _observation(events: pl.LazyFrame, timezone: str, until: date | None) -> Observation:
    """Find the complete days: the last one counts if its last event is not early for the shop."""
    span = events.select(pl.col("timestamp").min(), last=pl.col("timestamp").max()).collect(engine="streaming")
    first, last = (moment.astimezone(ZoneInfo(timezone)).date() for moment in span.row(0))
    if until is not None:
        if until < first:
            raise ConfigError(f"--until is {until}, expected a day from {first} on: the data start there")
        return Observation(first, min(until, last) + timedelta(days=1))
    since = start_of_day(last - timedelta(days=REFERENCE_DAYS), timezone)
    local = pl.col("timestamp").dt.convert_time_zone(timezone)
    lately = events.filter(pl.col("timestamp") >= since).select(is_last=local.dt.date() == last, wall=local.dt.time())
    ended = pl.col("wall").filter("is_last").max()
    usual = lately.select((~pl.col("is_last")).sum().alias("n"), (~pl.col("is_last") & (pl.col("wall") > ended)).sum())
    n_events, n_later = usual.collect().row(0)
    is_complete = n_later <= max(LATE_SHARE * n_events, min(REFERENCE_DAYS, (last - first).days))
    return Observation(first, last + timedelta(days=int(is_complete)))


def start_of_day(day: date, timezone: str) -> datetime:
    """Return the first moment of a local day."""
    return datetime.combine(day, time(), ZoneInfo(timezone)).astimezone(UTC)


def _lines(events: pl.LazyFrame, items: pl.DataFrame, timezone: str) -> tuple[pl.DataFrame, str, int]:
    """Return the lines of orders, with `ShopHistory`'s columns; its currency; and the number of lines of others."""
    bought = _settled(events.filter(pl.col("event").is_in(ORDER_EVENTS)), items, timezone)
    known = bought["currency"].value_counts().drop_nulls().cast({"currency": pl.String})
    usual = known.sort("count", "currency", descending=[True, False])["currency"]
    currency = usual[0] if len(usual) else ""
    is_usual = pl.col("currency").cast(pl.String).fill_null(currency) == currency
    quantity = pl.col("quantity").fill_null(1.0)
    is_amount = pl.all_horizontal(each.is_between(0, MAX_AMOUNT) for each in (pl.col("price"), quantity))
    amount = pl.when(is_usual & is_amount).then(pl.col("price") * quantity).alias("amount")
    names = ("person", "day", "timestamp", "order", "item_id", amount, "channel", "placement")
    return bought.select(names), currency, int(bought.select((~is_usual).sum()).item())


def _settled(events: pl.LazyFrame, items: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """Settle order lines whose ids are numbers: digests take a quarter of the memory of text."""
    ids = {
        "user_id": pl.coalesce("user_id", "visitor_id", "session_id"),
        "store": pl.coalesce("store", "region", "channel"),
        "basket_id": pl.col("basket_id"),
        "otherwise": pl.coalesce("session_id", pl.format("{} {}", "day", "person")),
    }
    nobody = [pl.lit(None, pl.UInt64).alias(name) for name in ("visitor_id", "session_id", "region", "channel")]
    narrow = events.select(
        *("timestamp", "received_at", "event_id", "quantity", "price", "day", "person"),
        *(pl.col(name).cast(pl.Categorical) for name in ("event", "item_id", "currency", "placement")),
        *(_digest(each).alias(name) for name, each in ids.items()),
        pl.col("channel").cast(pl.Categorical).alias("sold through"),
    ).with_columns(nobody)
    lines = narrow.collect(engine="streaming")
    if not lines["timestamp"].is_sorted():
        lines = lines.sort("timestamp", maintain_order=True)
    settled, counts = settle_orders(_with_variants(lines, items), timezone)
    order = pl.coalesce(_digest(receipt(counts.scope, timezone)), "otherwise").alias("order")
    bought = settled.filter(pl.col("event") == "purchase").with_columns(order)
    return bought.drop("channel").rename({"sold through": "channel"})


def _digest(text: pl.Expr) -> pl.Expr:
    return pl.when(text.is_not_null()).then(text.hash(seed=0))


def _with_variants(lines: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return the lines with the id of a variant where they have that of a product."""
    products = items["item_group_id"].drop_nulls().unique()
    if not lines["item_id"].unique().cast(pl.String).is_in(products.implode()).any():
        return lines
    events = lines.select(pl.col("item_id", "event").cast(pl.String))
    found, _ = resolve_products(events, find_variants(events, items))
    return lines.with_columns(found["item_id"].cast(pl.Categorical))


def _activity(counts: dict[str, int]) -> str:
    enough = max(1.0, MIN_TARGET_SHARE * sum(count for name, count in counts.items() if name != "view_item_list"))
    names = (EVENT_NAMES[code] for code in TARGET_EVENTS)
    return next((name for name in names if counts.get(name, 0) >= enough), "purchase")


def _day(timezone: str) -> pl.Expr:
    return pl.col("timestamp").dt.convert_time_zone(timezone).dt.date().alias("day")


def _with_columns(events: pl.LazyFrame) -> pl.LazyFrame:
    found = events.collect_schema().names()
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in EVENTS.items() if name not in found]
    return events.with_columns(lacking)


def _table(path: Path, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    if not path.is_file():
        return pl.DataFrame(schema=columns)
    found = pl.scan_parquet(path)
    names = found.collect_schema().names()
    return found.select(
        pl.col(name).cast(dtype) if name in names else pl.lit(None, dtype).alias(name)
        for name, dtype in columns.items()
    ).collect()
