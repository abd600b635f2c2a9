"""The validation rules of each table's rows, and the reason that a broken rule gives.

Rules of single cells of optional columns are in `cells`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import dataframely as dy
import polars as pl

from recsys.core.schema import MAX_ID_BYTES, WHO
from training.ingest.casts import PROBLEMS
from training.ingest.cells import BLANK, CONTROL, HAS_CONTROL, TOO_LONG

ROW: Final = "row"
"""Column with the number of the row in its table, from 0."""

ID_RULES: Final[dict[str, Callable[[pl.Expr], pl.Expr]]] = {
    "blank": lambda column: column.str.strip_chars() != "",
    "size": lambda column: column.str.len_bytes() <= MAX_ID_BYTES,
    "control": lambda column: ~column.str.contains(CONTROL),
}

SENTENCES: Final = {
    "nullability": "{column} is empty",
    "check__blank": f"{{column}} {BLANK}",
    "check__size": f"{{column}} {TOO_LONG}",
    "check__control": f"{{column}} {HAS_CONTROL}",
    "min": "{column} is negative",
    "nan": "{column} is not a number (NaN)",
    "inf": "{column} is infinite",
    "has_user_or_visitor": f"none of {', '.join(WHO)} is filled",
    "purchase_has_quantity": "a purchase of quantity zero",
    "has_price_or_availability": "neither price nor available is filled",
    "ends_after_start": "valid_to is before valid_from",
}
"""The reason that a broken rule gives, by the name of the rule."""


def _id(*, nullable: bool = True) -> dy.String:
    return dy.String(nullable=nullable, check=dict(ID_RULES))


class _Rows(dy.Schema):
    row = dy.UInt32()
    problems = dy.String(nullable=True)

    @dy.rule()
    def well_typed(cls) -> pl.Expr:  # noqa: N805
        """Every value has the type of its column."""
        return pl.col(PROBLEMS).is_null()


class EventRows(_Rows):
    """One event of a user or visitor with an item."""

    item_id = _id(nullable=False)
    event = dy.String()
    timestamp = dy.Datetime(time_zone="UTC", time_unit="us")
    user_id = dy.String(nullable=True)
    visitor_id = dy.String(nullable=True)
    session_id = dy.String(nullable=True)
    basket_id = dy.String(nullable=True)
    quantity = dy.Float64(nullable=True, min=0)

    @dy.rule()
    def has_user_or_visitor(cls) -> pl.Expr:  # noqa: N805
        """At least one of the four ids is filled."""
        return pl.any_horizontal(pl.col(WHO).is_not_null())

    @dy.rule()
    def purchase_has_quantity(cls) -> pl.Expr:  # noqa: N805
        """A purchase has a quantity above zero; a view may have none."""
        return (pl.col("event") != "purchase") | (pl.col("quantity") != 0)


class ItemRows(_Rows):
    """One item of the catalog."""

    item_id = _id(nullable=False)


class UserRows(_Rows):
    """One user."""

    user_id = _id(nullable=False)


class IdentityRows(_Rows):
    """One id that belongs to the person of another id."""

    id = _id(nullable=False)
    user_id = _id(nullable=False)


class MessageRows(_Rows):
    """One event of a message to a user."""

    user_id = _id(nullable=False)
    event = dy.String()
    timestamp = dy.Datetime(time_zone="UTC", time_unit="us")


class OfferRows(_Rows):
    """One item's price or availability in a region, store or channel."""

    item_id = _id(nullable=False)
    region = _id()
    store = _id()
    channel = _id()
    price = dy.Float64(nullable=True)
    available = dy.Bool(nullable=True)
    valid_from = dy.Datetime(nullable=True, time_zone="UTC", time_unit="us")
    valid_to = dy.Datetime(nullable=True, time_zone="UTC", time_unit="us")

    @dy.rule()
    def has_price_or_availability(cls) -> pl.Expr:  # noqa: N805
        """The offer overrides the price or the availability."""
        return pl.any_horizontal(pl.col("price", "available").is_not_null())

    @dy.rule()
    def ends_after_start(cls) -> pl.Expr:  # noqa: N805
        """The offer ends after it starts."""
        return pl.col("valid_to") >= pl.col("valid_from")


SCHEMAS: Final[dict[str, type[dy.Schema]]] = {
    "events": EventRows,
    "items": ItemRows,
    "users": UserRows,
    "offers": OfferRows,
    "identities": IdentityRows,
    "messages": MessageRows,
}


@dataclass(frozen=True)
class Checked:
    """Valid and rejected rows.

    Attributes:
        kept: the rows that break no rule, in their order.
        rejected: `ROW` and `reason` of the others; `; ` separates several reasons.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame


def check_rows(rows: pl.DataFrame, table: str) -> Checked:
    """Check every row against the rules of its table.

    Args:
        rows: a cast table with `ROW` and `PROBLEMS`.
        table: a key of `SCHEMAS`.

    Returns:
        The kept and the rejected rows; together they are the input.
    """
    schema = SCHEMAS[table]
    _, failure = schema.filter(rows)
    if len(failure) == 0:
        return Checked(rows, _no_rejects())
    details = failure.details()
    reasons = details.select(ROW, reason=_reasons(sorted(failure.counts())))
    return Checked(rows.join(reasons, on=ROW, how="anti", maintain_order="left"), reasons.sort(ROW))


def _no_rejects() -> pl.DataFrame:
    return pl.DataFrame(schema={ROW: pl.UInt32, "reason": pl.String})


def _reasons(rules: list[str]) -> pl.Expr:
    """Write one text per row: the problems of its casts, then the broken rules.

    A value that could not be cast is null; that it is therefore also empty is not reported.
    """
    parts = [pl.col(PROBLEMS)]
    for rule in rules:
        column, _, name = rule.rpartition("|")
        if rule == "well_typed":
            continue
        broken = pl.col(rule) == "invalid"
        if name == "nullability":
            broken &= ~pl.col(PROBLEMS).fill_null("").str.contains(f"(^|; ){column} ")
        parts.append(pl.when(broken).then(pl.lit(SENTENCES[name].format(column=column))))
    return pl.concat_str(parts, separator="; ", ignore_nulls=True)
