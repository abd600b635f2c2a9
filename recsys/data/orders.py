"""Order lines as what was bought and kept: each line counts once, and a refund takes back what it refunds.

Every reader of purchases starts here: the data set of the models, the doctor, the attribution and the live view.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from zlib import crc32

import polars as pl

ORDER_EVENTS: Final = ("purchase", "refund")
LARGEST_INT32: Final = 2**31 - 1
SEPARATOR: Final = "\0"

PERSON: Final = "person"
STORE: Final = "store"
DAY: Final = "day"
SCOPES: Final = (
    (),
    (PERSON,),
    (STORE,),
    (PERSON, STORE),
    (DAY,),
    (STORE, DAY),
    (PERSON, DAY),
    (PERSON, STORE, DAY),
)
"""What a receipt number may be unique within, the widest first."""

MAX_AMBIGUOUS_SHARE: Final = 0.05
MIN_AMBIGUOUS: Final = 2
"""Fewer ambiguous orders are no evidence."""

MAX_ORDER_DAYS: Final = 2
"""Days over which the lines of one order may be spread."""

LINE_COLUMNS: Final = (
    *("event", "event_id", "received_at", "timestamp", "item_id", "basket_id", "quantity", "price"),
    *("user_id", "visitor_id", "session_id", "store", "region", "channel"),
)
"""Columns of events that say what was bought, and by whom."""

_ROW: Final = "order row"
_ORDER: Final = "order"
_WHO: Final = "order person"
_OWNER: Final = "order owner"
_REFUND_DAY: Final = "refund day"
_LINE: Final = (_ORDER, _WHO, "item_id", "event", _REFUND_DAY)


@dataclass(frozen=True)
class OrderCounts:
    """Order lines that do not count, and why.

    Attributes:
        scope: what a receipt number is unique within besides itself: some of `person`, `store` and `day`.
        copies: lines that repeat one of an earlier delivery.
        added: lines whose quantity was added to another one of their delivery.
        returned: purchases that refunds took back as a whole.
        part_returns: refunds that took back a part of a purchase.
        unmatched: refunds of purchases that are not in the data.
        left_out: lines that are left out, by event name.
    """

    scope: tuple[str, ...] = ()
    copies: int = 0
    added: int = 0
    returned: int = 0
    part_returns: int = 0
    unmatched: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


def settle_orders(
    events: pl.DataFrame, timezone: str = "UTC", scope: tuple[str, ...] | None = None
) -> tuple[pl.DataFrame, OrderCounts]:
    """Return the events with one line per order, person and item, and without what was returned.

    1. A *copy* is a line of the same order, item, person, quantity and price as one of another delivery: another
       event id, received time or moment. It is left out; a refund only if both are of one UTC day. Lines of one
       delivery stay; their quantities are added.
    2. A refund takes back its quantity, or the whole line without a quantity: of the purchase of its receipt, or where
       the receipt has none, of the person's latest purchases of the item. A purchase of which nothing is left is left
       out; otherwise its quantity is what is left, and the refund is left out. All other refunds stay as a sign that
       the person does not want the item, and belong to the person of the purchase.

    The order of a line is its receipt within the scope of `find_scope`. Lines without a `basket_id` are no copies.

    Args:
        events: the columns of `schema.EVENTS`, sorted by time.
        timezone: IANA zone of the shop, for the day of a receipt.
        scope: as `find_scope` returns it for the whole shop; found from the events if None.

    Returns:
        The events in their order, and what was left out.
    """
    is_line = pl.col("event").is_in(ORDER_EVENTS)
    narrow = events.select(*LINE_COLUMNS).with_row_index(_ROW)
    lines = narrow.filter(is_line).with_columns(_person().alias(_WHO))
    if lines.is_empty():
        return events, OrderCounts(scope or ())
    scope = find_scope(lines, timezone) if scope is None else scope
    refund_day = pl.when(pl.col("event") == "refund").then(pl.col("timestamp").dt.date())
    lines = lines.with_columns(receipt(scope, timezone).alias(_ORDER), refund_day.alias(_REFUND_DAY))
    kept, n_copies, n_added = _distinct_lines(lines)
    settled, returns = _net(kept, scope)
    gone = lines.join(settled, on=_ROW, how="anti")
    counts = OrderCounts(scope, n_copies, n_added, *returns, dict(gone["event"].value_counts().iter_rows()))
    return _replaced(events, lines, settled), counts


def find_scope(lines: pl.DataFrame, timezone: str) -> tuple[str, ...]:
    """Return what the shop's receipt numbers are unique within: the first of `SCOPES` that keeps orders apart.

    An order has one person and one store, and without a person its lines are from `MAX_ORDER_DAYS` days at most.
    Copies are left aside. Fewer than `MIN_AMBIGUOUS` orders, or at most `MAX_AMBIGUOUS_SHARE` of them, may break this.

    Args:
        lines: purchases and refunds with the columns of `schema.EVENTS`, sorted by time.
        timezone: IANA zone of the shop.
    """
    known = lines.lazy().filter(pl.col("basket_id").is_not_null(), pl.col("event") == "purchase")
    named = known.with_columns(_person().alias(_WHO), _store().alias(STORE), _day(timezone).alias(DAY)).collect()
    if _is_clear(named, ()):
        return ()
    distinct = named.unique(["basket_id", _WHO, "item_id", "quantity", "price", STORE], keep="first")
    return next((scope for scope in SCOPES if _is_clear(distinct, scope)), SCOPES[-1])


def _is_clear(lines: pl.DataFrame, scope: tuple[str, ...]) -> bool:
    """Return whether nearly all receipt numbers within a scope can be one order each."""
    columns = {PERSON: _WHO, STORE: STORE, DAY: DAY}
    n_ambiguous, n_orders = _count_ambiguous(lines, ["basket_id", *(columns[each] for each in scope)])
    return n_ambiguous < MIN_AMBIGUOUS or n_ambiguous <= MAX_AMBIGUOUS_SHARE * n_orders


def receipt(scope: tuple[str, ...], timezone: str) -> pl.Expr:
    """Return the text that identifies the order of a line: its `basket_id`, then each part of the scope; else null."""
    parts = {PERSON: _person(), STORE: _store(), DAY: _day(timezone).cast(pl.String)}
    return pl.concat_str("basket_id", *(parts[each].fill_null("") for each in scope), separator=SEPARATOR)


def receipt_of(event: Mapping[str, Any], scope: tuple[str, ...], day: date) -> str | None:
    """Return the same text for one event of the live log.

    Args:
        event: columns of `schema.EVENTS`.
        scope: as `find_scope` returns it.
        day: the shop's day of the event.
    """
    basket = event.get("basket_id")
    if basket is None:
        return None
    first = {PERSON: ("user_id", "visitor_id", "session_id"), STORE: ("store", "region", "channel")}
    parts = {name: next((event[each] for each in names if event.get(each)), "") for name, names in first.items()}
    parts[DAY] = day.isoformat()
    return SEPARATOR.join([basket, *(parts[each] for each in scope)])


def negative_as_refunds(events: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the events with a refund in the place of each purchase of a negative quantity, and how many those are.

    Args:
        events: the columns `event` and `quantity`.
    """
    is_return = ((pl.col("event") == "purchase") & (pl.col("quantity") < 0)).fill_null(False)
    n_returns = int(events.select(is_return.sum()).item())
    if not n_returns:
        return events, 0
    event = pl.when(is_return).then(pl.lit("refund")).otherwise("event").alias("event")
    pieces = pl.when(is_return).then(pl.col("quantity").abs()).otherwise("quantity").alias("quantity")
    return events.with_columns(event, pieces), n_returns


def negative_as_refund(row: dict[str, Any]) -> dict[str, Any]:
    """Return one event as `negative_as_refunds` does."""
    quantity = row.get("quantity")
    if row.get("event") == "purchase" and isinstance(quantity, int | float) and quantity < 0:
        return row | {"event": "refund", "quantity": -quantity}
    return row


def basket_number(name: str) -> int:
    """Return the number of a basket by its name, int32: the same in a bundle and in the live log."""
    return crc32(name.encode()) % LARGEST_INT32


def _person() -> pl.Expr:
    return pl.coalesce("user_id", "visitor_id", "session_id")


def _store() -> pl.Expr:
    return pl.coalesce("store", "region", "channel")


def _day(timezone: str) -> pl.Expr:
    return pl.col("timestamp").dt.convert_time_zone(timezone).dt.date()


def _count_ambiguous(lines: pl.DataFrame, key: list[str]) -> tuple[int, int]:
    """Return the number of groups of lines that cannot be one order each, and of all groups."""
    span = (pl.col(DAY).max() - pl.col(DAY).min()).dt.total_days()
    of_group = (
        lines.lazy()
        .group_by(key)
        .agg(
            pl.col(_WHO).drop_nulls().n_unique().alias("people"),
            pl.col(STORE).drop_nulls().n_unique().alias("stores"),
            span.alias("days"),
        )
    )
    is_unclear = (
        (pl.col("people") > 1) | (pl.col("stores") > 1) | ((pl.col("people") == 0) & (pl.col("days") > MAX_ORDER_DAYS))
    )
    return of_group.select(is_unclear.sum(), groups=pl.len()).collect().row(0)


def _distinct_lines(lines: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """Leave out copies, and add up the lines of one delivery; most orders have neither."""
    narrow = lines.select(_ROW, *_LINE, "basket_id", "timestamp", "quantity", "price")
    in_order = narrow.lazy().filter(pl.col(_ORDER).is_not_null())
    repeated = in_order.group_by(_LINE).agg(pl.len().alias("lines")).filter(pl.col("lines") > 1).collect()
    if repeated.is_empty():
        return narrow, 0, 0
    several = lines.join(repeated, on=_LINE, how="semi", nulls_equal=True, maintain_order="left")
    delivery = [pl.col("event_id").str.replace(r"#\d+$", ""), pl.col("received_at"), pl.col("timestamp")]
    equal = [*_LINE, "quantity", "price"]
    nth = pl.int_range(pl.len()).over([*map(pl.col, equal), *delivery]).alias("nth")
    distinct = several.with_columns(nth).unique([*equal, "nth"], keep="first", maintain_order=True)
    pieces = pl.col("quantity").fill_null(1)
    is_priced = pl.col("price").is_not_null()
    mean_price = (pl.col("price") * pieces).sum() / pieces.filter(is_priced).sum()
    summed = distinct.group_by(_LINE, maintain_order=True).agg(
        pl.col(_ROW, "basket_id", "timestamp").first(),
        pl.when(pl.len() > 1).then(pieces.sum()).otherwise(pl.col("quantity").first()).alias("quantity"),
        pl.when(is_priced.any() & (pl.len() > 1)).then(mean_price).otherwise(pl.col("price").first()).alias("price"),
    )
    others = narrow.join(several.select(_ROW), on=_ROW, how="anti")
    kept = pl.concat([others, summed.select(narrow.columns)]).sort(_ROW)
    return kept, several.height - distinct.height, distinct.height - summed.height


def _net(lines: pl.DataFrame, scope: tuple[str, ...]) -> tuple[pl.DataFrame, tuple[int, int, int]]:
    """Take back what was refunded; return the remaining lines and the last numbers of `OrderCounts`."""
    lines = lines.with_columns(pl.lit(None, lines.schema[_ROW]).alias(_OWNER))
    refunds = lines.filter(pl.col("event") == "refund")
    if refunds.is_empty():
        return lines, (0, 0, 0)
    left = _Purchases(_refundable(lines, refunds), is_unique=not scope)
    owner: dict[int, int] = {}
    parts: list[int] = []
    for row, *refund in refunds.select(_ROW, _WHO, "item_id", "basket_id", "timestamp", "quantity").iter_rows():
        taken = left.take(*refund)
        if taken and any(left.pieces[line] > 0 for line in taken):
            parts.append(row)
        elif taken:
            owner[row] = taken[0]
    returned = [line for line in left.changed if left.pieces[line] <= 0]
    dropped = pl.Series([*returned, *parts], dtype=lines.schema[_ROW]).implode()
    kept = lines.filter(~pl.col(_ROW).is_in(dropped)).with_columns(
        _replaced_by_row("quantity", {line: left.pieces[line] for line in left.changed}),
        _replaced_by_row(_OWNER, owner),
    )
    return kept, (len(returned), len(parts), refunds.height - len(parts) - len(owner))


def _refundable(lines: pl.DataFrame, refunds: pl.DataFrame) -> pl.DataFrame:
    """Return the purchases of an item that the same person or receipt refunds, in their order."""
    bought = lines.filter(pl.col("event") == "purchase")
    parts = [bought.join(refunds, on=["item_id", name], how="semi").select(_ROW) for name in (_WHO, "basket_id")]
    return bought.join(pl.concat(parts).unique(), on=_ROW, how="semi", maintain_order="left")


class _Purchases:
    """What is left of purchases while refunds are taken off, in the order of time.

    Args:
        lines: purchases, sorted by time.
        is_unique: whether a receipt number identifies one order of the shop; then anybody's refund may name it.
    """

    def __init__(self, lines: pl.DataFrame, *, is_unique: bool) -> None:
        self._is_unique = is_unique
        self._of_receipt: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._of_person: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._refunded: set[tuple[str, str, str | None]] = set()
        self._who: dict[int, str | None] = {}
        self._at: dict[int, datetime] = {}
        self.pieces: dict[int, float] = {}
        self.changed: set[int] = set()
        columns = lines.select(_ROW, _WHO, "item_id", "basket_id", "timestamp", pl.col("quantity").fill_null(1))
        for row, who, item, basket, at, pieces in columns.iter_rows():
            self._who[row], self._at[row], self.pieces[row] = who, at, pieces
            if basket is not None:
                self._of_receipt[basket, item].append(row)
            if who is not None:
                self._of_person[who, item].append(row)

    def take(self, who: str | None, item: str, basket: str | None, at: datetime, quantity: float | None) -> list[int]:
        """Take a refund off the purchase of its receipt, else off the latest ones; return these, the latest first."""
        taken: list[int] = []
        rest = quantity or math.inf
        for line in self._candidates(who, item, basket, at):
            pieces = min(rest, self.pieces[line])
            self.pieces[line] -= pieces
            self.changed.add(line)
            taken.append(line)
            rest = 0 if rest == math.inf else rest - pieces
            if rest <= 0:
                break
        return taken

    def _candidates(self, who: str | None, item: str, basket: str | None, at: datetime) -> list[int]:
        if basket is None:
            return self._latest(self._of_person.get((who, item), []), at) if who is not None else []
        of_receipt = [line for line in self._of_receipt.get((basket, item), []) if self._at[line] <= at]
        own = [line for line in of_receipt if who is None or self._who[line] in (who, None)]
        of_receipt = own or (of_receipt if self._is_unique else [])
        is_known = bool(of_receipt) or (basket, item, who) in self._refunded
        self._refunded.add((basket, item, who))
        return self._latest(of_receipt, at)[:1] if is_known else self._candidates(who, item, None, at)

    def _latest(self, lines: list[int], at: datetime) -> list[int]:
        """Return the lines of which something is left and that are not later than a moment, the latest first."""
        return [line for line in reversed(lines) if self.pieces[line] > 0 and self._at[line] <= at]


def _replaced_by_row(column: str, values: Mapping[int, float]) -> pl.Expr:
    if not values:
        return pl.col(column)
    return pl.coalesce(pl.col(_ROW).replace_strict(values, default=None), column).alias(column)


def _replaced(events: pl.DataFrame, lines: pl.DataFrame, settled: pl.DataFrame) -> pl.DataFrame:
    """Put the settled lines in the place of all lines; a refund gets the ids of the person whose purchase it is."""
    if settled.height == lines.height and settled[_OWNER].is_null().all():
        return events
    numbered = events.with_row_index(_ROW)
    people = ("user_id", "visitor_id", "session_id")
    changes = settled.select(_ROW, _OWNER, *(pl.col(name).alias(f"new {name}") for name in ("quantity", "price")))
    owners = numbered.select(pl.col(_ROW).alias(_OWNER), *(pl.col(name).alias(f"new {name}") for name in people))
    changes = changes.join(owners, on=_OWNER, how="left")
    is_line, is_owned = pl.col("event").is_in(ORDER_EVENTS), pl.col(_OWNER).is_not_null()
    joined = numbered.join(changes.with_columns(kept=True), on=_ROW, how="left", maintain_order="left")
    return (
        joined.filter(~is_line | pl.col("kept"))
        .with_columns(
            *(pl.when(is_line).then(f"new {name}").otherwise(name).alias(name) for name in ("quantity", "price")),
            *(pl.when(is_owned).then(f"new {name}").otherwise(name).alias(name) for name in people),
        )
        .select(events.columns)
    )
