"""The call with the analysis of an experiment: its effects, its course by day, and the verdict."""

from __future__ import annotations

import asyncio
import math
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from recsys.core.errors import ConfigError
from recsys.experiments.analysis import MetricEffect
from recsys.experiments.definitions import ExperimentDefinition, MetricName
from recsys.experiments.looks import DailyLook
from recsys.experiments.state import ExperimentBook
from recsys.experiments.verdict import Decision
from serving.api.experiments import OneExperiment, experiments_of, read_book
from serving.http.operation import Operation
from serving.problems import shown
from serving.responses import Time, encode
from serving.runtime.app_context import AppContext
from serving.runtime.experiment_looks import ExperimentCourse

NO_LISTS: Final = (
    "The live log has no list of this experiment yet: start it, and wait for shoppers.",
    "日志中还没有该实验的列表：请先启动实验，等待顾客访问。",
)


class AnalysisQuery(OneExperiment, frozen=True):
    """Which experiment, and how long it may take.

    Attributes:
        seconds: how long the analysis may take: days that are not analyzed by then are left out.
    """

    seconds: Annotated[float, Meta(gt=0, le=60)] = 30.0


class VariantEffect(msgspec.Struct, frozen=True):
    """The effect of one variant on one metric, against the control; null where it is not defined.

    Attributes:
        metric: its name.
        variant: its name.
        control: value of the metric of the control, adjusted by the weeks before.
        treatment: value of the metric of the variant, likewise.
        lift: relative effect.
        low: lower end of the interval of the lift that is right however often it is looked at.
        high: upper end of it.
        p_value: right at any look; for the primary metric adjusted for several variants.
        fixed_low: lower end of the 95 % interval for a single look that was planned before.
        fixed_high: upper end of it.
        fixed_p: p-value for a single look.
        variance_reduction: share of the variance that the weeks before explain.
    """

    metric: MetricName
    variant: str
    control: float | None
    treatment: float | None
    lift: float | None
    low: float | None
    high: float | None
    p_value: float | None
    fixed_low: float | None
    fixed_high: float | None
    fixed_p: float | None
    variance_reduction: float | None

    @classmethod
    def of(cls, effect: MetricEffect) -> VariantEffect:
        """Return an effect; what is not finite is null."""
        values: dict[str, Any] = {}
        for name in cls.__struct_fields__:
            value = getattr(effect, name)
            values[name] = None if isinstance(value, float) and not math.isfinite(value) else value
        return cls(**values)


class DayVerdict(msgspec.Struct, frozen=True):
    """What was known at the end of one day.

    Attributes:
        until: the moment.
        days: since the first list.
        shoppers: number of shoppers by variant, the control first.
        decision: of the verdict.
        variant: that the verdict is about, empty for none.
        effects: on the primary metric.
    """

    until: Time
    days: float
    shoppers: dict[str, int]
    decision: Decision
    variant: str
    effects: tuple[VariantEffect, ...]


class AnalyzedExperiment(msgspec.Struct, frozen=True):
    """The analysis of an experiment.

    Attributes:
        experiment: its name.
        primary: metric of the verdict.
        minimum_effect: smallest lift worth shipping.
        alpha: probability of a false claim over all looks and variants.
        log_seq: number of the last entry of the live log that is in it.
        exposures: lists, and messages, of the experiment.
        first_at: time of the first one; null without any.
        days: from the first to the last one.
        shoppers: number of shoppers by variant, the control first.
        others: number of shoppers by variant that is no longer compared.
        crossed: number of shoppers who saw several variants.
        sample_ratio_p: p-value of the planned shares, right at any look; below 0.001 assignment or logging is at fault.
            Null without exposures.
        decision: `ship`, `stop`, `go_on`, or `no_data` without exposures.
        variant: that the verdict is about, empty for none.
        days_to_go: about how many days to go on for; null unless the decision is `go_on`.
        text: the verdict in one sentence, in English.
        text_zh: the same in Chinese.
        effects: of each variant on each metric.
        daily: what was known at the end of each day, or of each second day, or each third, …: at most 60.
        is_complete: whether all these days were analyzed in time.
    """

    experiment: str
    primary: MetricName
    minimum_effect: float
    alpha: float
    log_seq: int
    exposures: int
    first_at: Time | None
    days: float
    shoppers: dict[str, int]
    others: dict[str, int]
    crossed: int
    sample_ratio_p: float | None
    decision: Literal["ship", "stop", "go_on", "no_data"]
    variant: str
    days_to_go: int | None
    text: str
    text_zh: str
    effects: tuple[VariantEffect, ...]
    daily: tuple[DayVerdict, ...]
    is_complete: bool


async def analyze(app_context: AppContext, call: AnalysisQuery) -> bytes:
    """Analyze an experiment by the live log: effects with intervals, day by day, and the verdict in one sentence.

    `holdout` is the permanent holdout against all promoted winners. 404 if there is no such experiment, 409 if it
    cannot be analyzed, 503 while another one is being analyzed, or if the log cannot be read in time.
    """
    document = experiments_of(app_context)
    shop = app_context.watcher.snapshot().recommender
    book = await asyncio.to_thread(read_book, document)
    definition = _definition(book, call.experiment)
    retired = book.state(call.experiment).retired
    try:
        found = await asyncio.to_thread(app_context.experiments.course, definition, retired, shop, call.seconds)
    except ConfigError as error:
        raise HTTPException(409, f"the experiment cannot be analyzed: {error}") from None
    return encode(_analyzed(definition, found))


def _definition(book: ExperimentBook, name: str) -> ExperimentDefinition:
    try:
        return book.definition(name)
    except ConfigError:
        known = ", ".join(book.file.experiments) or "none"
        raise HTTPException(404, f"there is no experiment {shown(name)!r}: there are {known}") from None


def _analyzed(definition: ExperimentDefinition, found: ExperimentCourse) -> AnalyzedExperiment:
    settings = definition.settings
    without_data = AnalyzedExperiment(
        experiment=definition.name,
        primary=settings.primary,
        minimum_effect=settings.minimum_effect,
        alpha=settings.alpha,
        log_seq=found.log_seq,
        exposures=found.n_exposures,
        first_at=found.first_at,
        days=0.0,
        shoppers={each.name: 0 for each in definition.variants},
        others={},
        crossed=0,
        sample_ratio_p=None,
        decision="no_data",
        variant="",
        days_to_go=None,
        text=NO_LISTS[0],
        text_zh=NO_LISTS[1],
        effects=(),
        daily=tuple(_day(look, settings.primary) for look in found.looks),
        is_complete=found.is_complete,
    )
    return _with_last(without_data, found.looks[-1]) if found.looks else without_data


def _with_last(empty: AnalyzedExperiment, look: DailyLook) -> AnalyzedExperiment:
    analysis, verdict = look.analysis, look.verdict
    return msgspec.structs.replace(
        empty,
        days=analysis.days,
        shoppers=analysis.shoppers,
        others=analysis.others,
        crossed=analysis.crossed,
        sample_ratio_p=analysis.sample_ratio_p,
        decision=verdict.decision,
        variant=verdict.variant,
        days_to_go=verdict.days,
        text=verdict.text,
        text_zh=verdict.text_zh,
        effects=tuple(map(VariantEffect.of, analysis.effects)),
    )


def _day(look: DailyLook, primary: MetricName) -> DayVerdict:
    analysis, verdict = look.analysis, look.verdict
    effects = tuple(VariantEffect.of(effect) for effect in analysis.effects if effect.metric == primary)
    return DayVerdict(look.until, analysis.days, analysis.shoppers, verdict.decision, verdict.variant, effects)


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/experiments/{experiment}/analysis",
        AnalysisQuery,
        analyze,
        "experiments",
        (AnalyzedExperiment,),
        failures=(404, 409, 503),
        scope="view",
    ),
)
