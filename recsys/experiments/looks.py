"""Looks at an experiment: the effects and the verdict at the end of each day, and of the whole log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from recsys.experiments.analysis import ExperimentAnalysis, analyze_experiment
from recsys.experiments.definitions import ExperimentDefinition
from recsys.experiments.outcomes import ExperimentLog, shopper_table
from recsys.experiments.verdict import Verdict, judge


@dataclass(frozen=True)
class DailyLook:
    """The analysis at one moment.

    Attributes:
        until: the moment.
        analysis: effects.
        verdict: what to do.
    """

    until: datetime
    analysis: ExperimentAnalysis
    verdict: Verdict


def look_at(
    definition: ExperimentDefinition, log: ExperimentLog, retired: tuple[str, ...] = ()
) -> tuple[ExperimentAnalysis, Verdict]:
    """Return the analysis of a log and the verdict.

    Args:
        definition: variants, metrics and rules.
        log: exposures and outcomes.
        retired: variants that are no longer compared.
    """
    analysis = analyze_experiment(definition, shopper_table(log), log.days, retired)
    return analysis, judge(definition.settings, analysis)


def daily_looks(definition: ExperimentDefinition, log: ExperimentLog, retired: tuple[str, ...] = ()) -> list[DailyLook]:
    """Return the analysis at the end of each day since the first exposure, the last one of the whole log."""
    return sorted(coarse_looks(definition, log, retired), key=lambda look: look.until)


def coarse_looks(
    definition: ExperimentDefinition, log: ExperimentLog, retired: tuple[str, ...] = (), max_looks: int | None = None
) -> Iterator[DailyLook]:
    """Yield the looks of `daily_looks` from coarse to fine: a caller who stops early has the whole course.

    The whole log comes first, then days that halve what is between those before.

    Args:
        definition: variants, metrics and rules.
        log: exposures and outcomes, with at least one exposure.
        retired: variants that are no longer compared.
        max_looks: largest number of looks, >= 1: of a longer experiment each second day is looked at, or each third, …
    """
    first, last = log.exposures["timestamp"][0], log.exposures["timestamp"][-1]
    n_days = int(log.days) + 1
    step = 1 if max_looks is None else -(-n_days // max_looks)
    n_looks = -(-n_days // step)
    for back in sorted(range(n_looks), key=lambda back: back & -back or n_looks, reverse=True):
        until = min(first + timedelta(days=n_days - back * step), last + timedelta(seconds=1))
        yield DailyLook(until, *look_at(definition, log.until(until) if back else log, retired))
