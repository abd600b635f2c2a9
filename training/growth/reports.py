"""The jobs of `recsys report`: the figures of growth and of retention."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.progress import Progress, silent
from recsys.evaluation.attribution import Attribution, attribution
from recsys.eventlog.opening import LogLocation, open_log
from recsys.eventlog.store import EventStore
from recsys.pipeline.recommender import Recommender
from training.growth.alerts import Alert, growth_alerts, retention_alerts
from training.growth.balance import BalancePeriod, customer_balance
from training.growth.cohorts import Retention, retention
from training.growth.config import GrowthConfig
from training.growth.funnel import CartLoss, FunnelStep, cart_loss, funnel
from training.growth.groups import GroupFigures, by_channel, by_life_cycle, by_placement
from training.growth.history import ShopHistory, read_history
from training.growth.ledger import PartLedger, ledger
from training.growth.life_cycles import StageFigures, stage_of_people, stages
from training.growth.periods import UNITS, Observation, Unit
from training.growth.repurchase import Repurchase, repurchase
from training.growth.sales import SalesPeriod, sales_by_period, sales_of

ReportName = Literal["retention", "growth"]
MAX_CURVES = 5


@dataclass(frozen=True)
class ShopFacts:
    """What a report is about.

    Attributes:
        observed: the days that the data cover completely.
        window: the latest days.
        timezone: the shop's zone.
        activity: the event that retention counts.
        counts: number of events by name.
        n_people: people with the activity.
        currency: of the revenue; "" for none.
        n_other_currency: order lines of other currencies, which are in no revenue.
        is_recognized: whether people are known across their visits.
        config: the settings.
    """

    observed: Observation
    window: Observation
    timezone: str
    activity: str
    counts: dict[str, int]
    n_people: int
    currency: str
    n_other_currency: int
    is_recognized: bool
    config: GrowthConfig


@dataclass(frozen=True)
class RetentionReport:
    """The figures of `recsys report retention`.

    Attributes:
        facts: what the report is about.
        cohorts: retention by unit of time.
        repurchase: second orders of everyone.
        by_channel: the same by the channel of the first order.
        balance: customers who came and left, by month.
        weekly_balance: the same by week.
        life_cycles: customers by stage at the end of the data; None without segments.
        alerts: figures beyond their limits.
    """

    facts: ShopFacts
    cohorts: dict[Unit, Retention]
    repurchase: Repurchase
    by_channel: dict[str, Repurchase]
    balance: tuple[BalancePeriod, ...]
    weekly_balance: tuple[BalancePeriod, ...]
    life_cycles: tuple[StageFigures, ...] | None
    alerts: tuple[Alert, ...]


@dataclass(frozen=True)
class GrowthReport:
    """The figures of `recsys report growth`.

    Attributes:
        facts: what the report is about.
        funnel: people by step.
        carts: carts without payment.
        window: sales of the window.
        before: sales of the window before; None where the data start later.
        sales: sales by unit of time.
        channels: figures of the window by channel; none where no event has one.
        placements: the same by the placement that events name; none where no event names one.
        life_cycles: the same by the stage that people had at the start of the window; None without segments.
        attribution: what lists sold, by placement; None without the live log.
        ledger: of the long tail and of new items.
        alerts: figures beyond their limits.
    """

    facts: ShopFacts
    funnel: tuple[FunnelStep, ...]
    carts: CartLoss
    window: SalesPeriod
    before: SalesPeriod | None
    sales: dict[Unit, tuple[SalesPeriod, ...]]
    channels: tuple[GroupFigures, ...]
    placements: tuple[GroupFigures, ...]
    life_cycles: tuple[GroupFigures, ...] | None
    attribution: Attribution | None
    ledger: tuple[PartLedger, ...]
    alerts: tuple[Alert, ...]


def retention_report(
    data_dir: Path,
    config: GrowthConfig,
    *,
    models: Path | None = None,
    until: date | None = None,
    progress: Progress = silent,
) -> RetentionReport:
    """Measure who comes back.

    Args:
        data_dir: the folder that `ingest` wrote.
        config: settings.
        models: folder of bundles, for the segments.
        until: the last complete day; None to find it.
        progress: receives the stages.

    Raises:
        DataError: there is no event with a time.
        BundleError: `models` has no bundle, or one of another release.
    """
    progress("reading the tables", 0.0)
    recommender = Recommender.of_bundle(models) if models is not None else None
    history = read_history(data_dir, until)
    days, observed = history.active_days, history.observed
    progress("cohorts", 0.4)
    cohorts = {unit: retention(days, observed, unit) for unit in UNITS}
    progress("repurchase", 0.6)
    balance = customer_balance(days, observed, config.active_days, "month")
    report = RetentionReport(
        facts=_facts(history, config),
        cohorts=cohorts,
        repurchase=repurchase(days, observed),
        by_channel=_by_first_channel(history),
        balance=balance,
        weekly_balance=customer_balance(days, observed, config.active_days, "week"),
        life_cycles=stages(recommender, history.moment(observed.end)),
        alerts=retention_alerts(config, list(cohorts.values()), balance),
    )
    progress("done", 1.0)
    return report


def growth_report(
    data_dir: Path,
    config: GrowthConfig,
    *,
    models: Path | None = None,
    log: LogLocation | None = None,
    placements: Path | None = None,
    until: date | None = None,
    progress: Progress = silent,
) -> GrowthReport:
    """Measure the funnel, sales and what lists earn.

    Args:
        data_dir: the folder that `ingest` wrote.
        config: settings.
        models: folder of bundles, for the head, the segments and the shop's own placements.
        log: the live log, for the lists that were shown.
        placements: TOML file of placements.
        until: the last complete day; None to find it.
        progress: receives the stages.

    Raises:
        DataError: there is no event with a time.
        ConfigError: the live log does not exist, or a file of placements is wrong.
        BundleError: `models` has no bundle, or one of another release.
    """
    progress("reading the tables", 0.0)
    recommender = Recommender.of_bundle(models, placements) if models is not None else None
    history = read_history(data_dir, until)
    window = history.observed.last(config.window_days)
    earlier = history.observed.before(window)
    progress("funnel", 0.4)
    steps, carts = funnel(history, window), cart_loss(history, window, config.payment_hours)
    progress("sales", 0.6)
    sales = {unit: sales_by_period(history, unit) for unit in UNITS}
    progress("lists", 0.8)
    lists: Mapping[str, Placement] = recommender.placements if recommender is not None else PLACEMENTS
    head = _head(recommender) if recommender is not None else None
    people = stage_of_people(recommender, history.moment(window.first))
    with _opened(log) as store:
        parts = ledger(history, window, config, lists, head=head, log=store)
        earned = attribution(store, config.attribution_days, history.timezone) if store is not None else None
    report = GrowthReport(
        facts=_facts(history, config),
        funnel=steps,
        carts=carts,
        window=sales_of(history, window),
        before=sales_of(history, earlier) if earlier is not None else None,
        sales=sales,
        channels=by_channel(history, window),
        placements=by_placement(history, window),
        life_cycles=by_life_cycle(history, window, people) if people is not None else None,
        attribution=earned,
        ledger=parts,
        alerts=growth_alerts(config, window, steps, carts, parts),
    )
    progress("done", 1.0)
    return report


def as_json(value: Any) -> Any:
    """Return figures as JSON values: dates as text, numbers that are not finite as null, properties included."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {each.name: getattr(value, each.name) for each in fields(value)}
        derived = {name: getattr(value, name) for name, each in vars(type(value)).items() if isinstance(each, property)}
        return as_json(named | derived)
    if isinstance(value, Mapping):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _facts(history: ShopHistory, config: GrowthConfig) -> ShopFacts:
    return ShopFacts(
        observed=history.observed,
        window=history.observed.last(config.window_days),
        timezone=history.timezone,
        activity=history.activity,
        counts=history.counts,
        n_people=history.active_days["person"].n_unique(),
        currency=history.currency,
        n_other_currency=history.n_other_currency,
        is_recognized=history.is_recognized,
        config=config,
    )


def _by_first_channel(history: ShopHistory) -> dict[str, Repurchase]:
    """Return the second orders by the channel of the first one, of the largest channels."""
    known = history.lines.filter(pl.col("person").is_not_null())
    first = (
        known.sort("timestamp").group_by("person", maintain_order=True).agg(pl.col("channel").first().cast(pl.String))
    )
    named = first.drop_nulls().group_by("channel").len().sort("len", "channel", descending=[True, False])
    channels = named["channel"].head(MAX_CURVES)
    if history.activity != "purchase" or len(channels) < 2:
        return {}
    days = history.active_days.join(first, on="person")
    return {name: repurchase(days.filter(pl.col("channel") == name), history.observed) for name in channels}


def _head(recommender: Recommender) -> frozenset[str]:
    engine = recommender.engine
    return frozenset(engine.items.ids[row] for row in engine.popularity.is_head.nonzero()[0])


@contextmanager
def _opened(log: LogLocation | None) -> Iterator[EventStore | None]:
    if log is None:
        yield None
        return
    store = open_log(log)
    try:
        yield store
    finally:
        store.close()
