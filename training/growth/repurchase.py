"""Repurchase: how many customers order again, and after how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.metrics import Interval
from recsys.evaluation.attribution import Z_95, wilson
from training.growth.cohorts import newcomers
from training.growth.periods import Observation

HORIZONS: Final = (7, 14, 30, 60, 90, 180, 365)


@dataclass(frozen=True)
class Repurchase:
    """Second orders.

    Attributes:
        n_people: people with an order.
        rate: share of them who ordered on a later day again, until the end of the data.
        n_new: people of the curve: those whose first order is in the data, as `cohorts.newcomers` selects them.
        days: days since the first order at which the curve rises.
        curve: share of people who have ordered again by then.
        within: the same at `HORIZONS`, as far as anybody was observed for as long.
        median_days: days until half of the people have ordered again; None if fewer do.
    """

    n_people: int
    rate: Interval
    n_new: int
    days: tuple[int, ...]
    curve: tuple[Interval, ...]
    within: dict[int, Interval]
    median_days: int | None


def repurchase(active_days: pl.DataFrame, observed: Observation) -> Repurchase:
    """Estimate the time from the first to the second order.

    People who have not ordered again leave the curve at the end of the data, as it is not known whether they will.

    Args:
        active_days: distinct `person` and `day`.
        observed: the days that the data cover completely.
    """
    days_of = active_days.lazy().group_by("person").agg(is_again=pl.len() > 1).collect()
    n_people, n_again = len(days_of), int(days_of["is_again"].sum())
    by_person = (
        newcomers(active_days, observed)
        .lazy()
        .group_by("person")
        .agg(pl.col("day").min().alias("first"), pl.col("day").bottom_k(2).max().alias("second"), pl.len())
        .collect()
    )
    is_again = by_person["len"].to_numpy() > 1
    until = pl.when(pl.col("len") > 1).then("second").otherwise(pl.lit(observed.end))
    waited = by_person.select((until - pl.col("first")).dt.total_days()).to_series().to_numpy()
    days, curve = returned_by(waited, is_again)
    longest = waited.max(initial=0)
    within = {days_: _at(days, curve, days_) for days_ in HORIZONS if days_ <= longest}
    median = next((int(day) for day, share in zip(days, curve, strict=True) if share.value >= 0.5), None)
    rate = wilson(n_again, n_people)
    return Repurchase(n_people, rate, len(by_person), tuple(map(int, days)), curve, within, median)


def returned_by(
    waited_days: npt.NDArray[np.int64], is_again: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], tuple[Interval, ...]]:
    """Compute the share of people who have returned by each day, of people who were observed for different times.

    `1 − Π (1 − d_t ÷ n_t)` over the days t up to then, with `d_t` returns among the `n_t` people who were observed up
    to t and had not returned. The 95 % interval is that of Greenwood on the scale of `log(−log S)`.

    Args:
        waited_days: int64 (n,), days until the return, or for which no return was observed; > 0.
        is_again: bool (n,), whether there was a return.

    Returns:
        Days with returns, ascending, and the share by each.

    Reference:
        Kaplan & Meier (1958), Nonparametric estimation from incomplete observations, JASA.

    >>> days, shares = returned_by(np.array([2, 3, 3, 5]), np.array([True, True, False, False]))
    >>> days.tolist(), [share.value for share in shares]
    ([2, 3], [0.25, 0.5])
    """
    days, returns = np.unique(waited_days[is_again], return_counts=True)
    at_risk = len(waited_days) - np.searchsorted(np.sort(waited_days), days, side="left")
    left = np.cumprod(1 - returns / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.cumsum(returns / (at_risk * (at_risk - returns)))
    return days, tuple(_interval(float(share), float(var)) for share, var in zip(left, spread, strict=True))


def _interval(left: float, spread: float) -> Interval:
    if not (0 < left < 1) or not math.isfinite(spread):
        return Interval(1 - left, 1 - left, 1 - left)
    width = Z_95 * math.sqrt(spread) / abs(math.log(left))
    high, low = (left ** math.exp(sign * width) for sign in (-1, 1))
    return Interval(1 - left, 1 - high, 1 - low)


def _at(days: npt.NDArray[np.int64], curve: tuple[Interval, ...], day: int) -> Interval:
    place = int(np.searchsorted(days, day, side="right"))
    return curve[place - 1] if place else Interval(0.0, 0.0, 0.0)
