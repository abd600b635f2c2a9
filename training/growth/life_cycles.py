"""Customers by the stage of their life cycle, as `recsys.segments` finds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recsys.pipeline.recommender import Recommender
from training.growth.groups import LIFE_CYCLE
from training.growth.history import person_of


@dataclass(frozen=True)
class StageFigures:
    """Customers of one stage.

    Attributes:
        name: of the stage.
        people: number of users.
        high_value: those of high value.
        slowing: those who order less often than before.
        churn_probability: mean of the users; None where it is not predicted.
        lifetime_value: sum over the users; None where it is not predicted.
    """

    name: str
    people: int
    high_value: int
    slowing: int
    churn_probability: float | None
    lifetime_value: float | None


def stages(recommender: Recommender | None, as_of: datetime) -> tuple[StageFigures, ...] | None:
    """Count the users of each stage at a moment, the largest first; None without a bundle that has segments."""
    if recommender is None or not recommender.engine.segments.is_fitted:
        return None
    known = recommender.segments(as_of=as_of).filter(pl.col(LIFE_CYCLE).is_not_null())
    value = pl.col("lifetime_value")
    counted = known.group_by(LIFE_CYCLE).agg(
        pl.len(),
        pl.col("is_high_value").sum(),
        pl.col("is_slowing").sum(),
        pl.col("churn_probability").mean(),
        pl.when(value.is_not_null().any()).then(value.sum()),
    )
    ordered = counted.sort("len", LIFE_CYCLE, descending=[True, False])
    return tuple(StageFigures(*row) for row in ordered.iter_rows())


def stage_of_people(recommender: Recommender | None, as_of: datetime) -> pl.DataFrame | None:
    """Return `person`, as `history.person_of` numbers them, and `life_cycle` at a moment; None without segments."""
    if recommender is None or not recommender.engine.segments.is_fitted:
        return None
    named = recommender.segments(as_of=as_of).with_columns(pl.lit(None, pl.String).alias("visitor_id"))
    return named.select(person_of(), LIFE_CYCLE)
