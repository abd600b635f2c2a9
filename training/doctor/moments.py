"""Grades of the moment lists that a shop's data supports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from recsys.core.placements import PLACEMENTS
from recsys.moments.terms import RESTOCKED_AT
from training.doctor.feasibility import Grade, ModelFeasibility, counted

MODEL: Final = "moments"
ENOUGH_SHARE: Final = 0.5
SEASON_DAYS: Final = 70
"""Days of the past that a festival can be learned from: the weeks before it, and others."""


def grade_moments(tables: Mapping[str, pl.DataFrame], repeat_pairs: int, n_days: int) -> tuple[ModelFeasibility, ...]:
    """Grade each moment list by the columns and events that it needs.

    Args:
        tables: the shop's tables by name.
        repeat_pairs: pairs of user and item in at least two of the user's baskets.
        n_days: days from the first event to the last.
    """
    events, items, offers = tables["events"], tables["items"], tables["offers"]
    priced = _share(events, "price")
    carts = events.filter(pl.col("event") == "add_to_cart").height if events.height else 0
    dated = _share(items, "created_at")
    returns = RESTOCKED_AT in items.columns or bool((offers["available"] == False).any())  # noqa: E712
    prices = priced > 0 or offers["price"].is_not_null().any()
    grades: dict[str, tuple[Grade, str]] = {
        "price_drop": (
            _by_share(priced, fallback=bool(prices)),
            f"{priced:.0%} of events have a price; a price is also known by offers and by changes of the live log.",
        ),
        "back_in_stock": (
            "yes" if returns else "thin",
            "Returns are known by offers or restocked_at."
            if returns
            else "Only changes of the live log tell a return.",
        ),
        "replenishment_due": (
            "yes" if repeat_pairs >= 100 else "thin" if repeat_pairs else "no",
            f"{counted(repeat_pairs, 'item')} of users in two of their orders or more.",
        ),
        "cart_left": ("yes" if carts else "no", f"{counted(carts, 'event')} add_to_cart."),
        "new_arrivals": (_by_share(dated), f"{dated:.0%} of items have created_at."),
        "festival": (
            "yes" if n_days >= SEASON_DAYS else _tagged("festival", items),
            f"{counted(n_days, 'day')} of events; {SEASON_DAYS} with a festival teach what sells before it, else tags.",
        ),
        "life_stage": _life_stage(tables["users"], items),
        "climate": (_tagged("climate", items), "It needs a region and tagged items."),
        "theme": (_tagged("theme", items), "It needs tagged items."),
        "nearby": (_tagged("nearby", items), "It needs context.place and tagged items."),
    }
    return tuple(ModelFeasibility(MODEL, (name,), grade, why) for name, (grade, why) in grades.items())


def _share(table: pl.DataFrame, column: str) -> float:
    known = table.height - table[column].null_count() if column in table.columns else 0
    return known / table.height if table.height else 0.0


def _by_share(share: float, *, fallback: bool = False) -> Grade:
    return "yes" if share >= ENOUGH_SHARE else "thin" if share > 0 or fallback else "no"


def _life_stage(users: pl.DataFrame, items: pl.DataFrame) -> tuple[Grade, str]:
    dates = [each.date for each in PLACEMENTS["life_stage"].occasions]
    known = [name for name in dict.fromkeys(dates) if name in users.columns]
    if not known:
        return "no", f"Users have no column {dates[0]}."
    return _tagged("life_stage", items), f"Users have {', '.join(known)}; it needs tagged items too."


def _tagged(name: str, items: pl.DataFrame) -> Grade:
    """Whether any item has a tag of the built-in occasions of a list, or one as a level of its category."""
    tags = [tag for occasion in PLACEMENTS[name].occasions for tag in occasion.tags]
    if not items.height:
        return "no"
    fits = pl.any_horizontal(
        pl.col(column).list.eval(pl.element().is_in(tags)).list.any() for column in ("tags", "category")
    )
    return "yes" if items.select(fits.any()).item() else "no"
