"""The page of `recsys report retention`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from recsys.core.metrics import Interval
from training.growth.cohorts import Retention
from training.growth.life_cycles import StageFigures
from training.growth.periods import UNITS, Unit
from training.growth.reports import RetentionReport
from training.growth.repurchase import Repurchase
from training.report.axis_charts import Curve, Layer, column_chart, line_chart
from training.report.charts import Bar, HeatRow, bar_chart, heat_map
from training.report.growth_page import Grid, Page, Section, Tile, last_day, page_of
from training.report.svg import BLUE, RED, SERIES, TEAL
from training.report.words import Words

MAX_ROWS: Final = 14
MAX_COLUMNS: Final[dict[Unit, int]] = {"day": 14, "week": 13, "month": 12}
MAX_AGES: Final = 27
STAGE_COLUMNS: Final = ("people", "high_value", "slowing", "churn_probability", "lifetime_value")
CURVE_DAYS: Final = 365
VAGUE: Final = 0.2
"""Width of an interval beyond which a share says little."""

SMALL: Final = 5
"""Fewer people than this are a small cohort."""

SHOWN_WITHIN: Final = 30


def retention_page(report: RetentionReport, words: Words) -> Page:
    """Show the figures of retention."""
    return page_of(
        "retention_title",
        words,
        report.facts,
        report.alerts,
        tiles=list(_tiles(report, words)),
        sections=list(_sections(report, words)),
        missing=list(_missing(report, words)),
        definitions=[
            words("def_retention"),
            words("def_rate"),
            words("def_curve"),
            words("def_churn", days=report.facts.config.active_days),
            words("def_interval"),
        ],
    )


def _tiles(report: RetentionReport, words: Words) -> Iterator[Tile]:
    activity = words.event(report.facts.activity)
    yield Tile(words("tile_people"), f"{report.facts.n_people:,}", words("tile_people_note", activity=activity))
    if not report.facts.is_recognized:
        return
    if report.repurchase.n_people:
        rate = report.repurchase.rate.value
        yield Tile(words("tile_rate"), words.percent(rate), words("tile_rate_note", activity=activity))
    if SHOWN_WITHIN in report.repurchase.within:
        share = report.repurchase.within[SHOWN_WITHIN].value
        yield Tile(words("tile_within", days=SHOWN_WITHIN), words.percent(share), words("tile_within_note"))
    by_age = report.cohorts["month"].by_age
    if len(by_age) > 1:
        yield Tile(words("tile_second"), words.percent(by_age[1].value), words("tile_second_note"))
    if report.balance:
        latest = report.balance[-1]
        month = words.period(latest.start, "month")
        is_alert = any(alert.what == "churn" for alert in report.alerts)
        churn = words.percent(latest.churn.value)
        yield Tile(words("tile_churn"), churn, words("tile_churn_note", month=month), is_alert)
        note = words("tile_active_note", days=report.facts.config.active_days, activity=activity)
        yield Tile(words("tile_active"), f"{latest.after:,}", note)


def _sections(report: RetentionReport, words: Words) -> Iterator[Section]:
    if not report.facts.is_recognized:
        return
    for unit in reversed(UNITS):
        if report.cohorts[unit].starts:
            yield _cohorts(report.cohorts[unit], report.facts.activity, words)
    weekly = report.cohorts["week"]
    if len(_known_ages(weekly)) > 1:
        yield _ages(weekly, report.facts.activity, words)
    if report.repurchase.curve:
        yield _curve(report, words)
    if report.balance:
        yield _balance(report, words)
        yield _churn(report, words)
    if report.life_cycles:
        yield _life_cycles(report.life_cycles, report, words)


def _cohorts(found: Retention, activity: str, words: Words) -> Section:
    unit, event = found.unit, words.event(activity)
    columns = min(len(found.by_age) - 1, MAX_COLUMNS[unit])
    rows = [
        HeatRow(
            words.period(start, unit) + (" *" if place < found.n_mixed else ""),
            f"{size:,}",
            tuple(row[age] / size if age < len(row) else None for age in range(1, columns + 1)),
            is_small=size < SMALL,
        )
        for place, (start, size, row) in enumerate(zip(found.starts, found.sizes, found.cells, strict=True))
    ][-MAX_ROWS:]
    if len(found.by_age) > 1:
        title = words(f"cohort_{unit}", share=words.percent(found.by_age[1].value), activity=event)
    else:
        title = words("cohort_none", unit=words(f"one_{unit}"))
    corner = (words("corner_cohort", unit=words(f"one_{unit}")), words("corner_people"))
    names = [words(f"column_{unit}", n=age) for age in range(1, columns + 1)]
    caption = words("cohort_caption", activity=words(f"noun_{activity}"), unit=words(f"one_{unit}"))
    return Section(f"cohorts-{unit}", title, heat_map(rows, names, corner, title), caption)


def _ages(found: Retention, activity: str, words: Words) -> Section:
    shares = _known_ages(found)
    ages = [float(age) for age in range(1, len(shares) + 1)]
    low, high = [each.low for each in shares], [each.high for each in shares]
    curve = Curve("", ages, [each.value for each in shares], BLUE, low, high)
    labels = [(age, words("column_week", n=int(age))) for age in ages[:: max(1, len(ages) // 9)]]
    values = {"n": len(shares), "share": words.percent(shares[-1].value), "activity": words.event(activity)}
    title = words("age_title", **values)
    svg = line_chart([curve], title, x_labels=labels, y_format=words.tick)
    return Section("ages", title, svg, words("age_caption"))


def _known_ages(found: Retention) -> list[Interval]:
    """Return the shares from period 1 on, up to the last one that enough people tell of."""
    shares = list(found.by_age[1:MAX_AGES])
    while shares and shares[-1].high - shares[-1].low > VAGUE:
        shares.pop()
    return shares


def _curve(report: RetentionReport, words: Words) -> Section:
    everyone, event = report.repurchase, words.event(report.facts.activity)
    named = [(words("everyone") if report.by_channel else "", everyone), *report.by_channel.items()]
    curves = [
        _repurchase_curve(name, found, SERIES[place % len(SERIES)], with_band=place == 0)
        for place, (name, found) in enumerate(named)
        if found.curve
    ]
    last = max(curve.x[-1] for curve in curves)
    step = next((days for days in (1, 7, 30, 60) if last / days <= 10), 90)
    labels = [(float(day), words("after_days", n=day)) for day in range(0, int(last) + 1, step)]
    if everyone.median_days is not None:
        title = words("curve_title", activity=event, days=everyone.median_days)
    else:
        days = max((days for days in everyone.within if days <= 90), default=everyone.days[-1])
        share = everyone.within[days] if days in everyone.within else everyone.curve[-1]
        title = words("curve_title_share", activity=event, days=days, share=words.percent(share.value))
    svg = line_chart(curves, title, x_labels=labels, y_format=words.tick)
    return Section("repurchase", title, svg, words("curve_caption"))


def _repurchase_curve(name: str, found: Repurchase, color: str, *, with_band: bool) -> Curve:
    kept = [(float(day), share) for day, share in zip(found.days, found.curve, strict=True) if day <= CURVE_DAYS]
    x = [0.0, *(day for day, _ in kept)]
    low = [0.0, *(share.low for _, share in kept)] if with_band else []
    high = [0.0, *(share.high for _, share in kept)] if with_band else []
    return Curve(name, x, [0.0, *(share.value for _, share in kept)], color, low, high, is_step=True)


def _balance(report: RetentionReport, words: Words) -> Section:
    periods, latest = report.balance, report.balance[-1]
    layers = [
        Layer(words("gained"), BLUE, [float(each.gained) for each in periods]),
        Layer(words("won_back"), TEAL, [float(each.returned) for each in periods]),
        Layer(words("churned"), RED, [-float(each.churned) for each in periods]),
    ]
    key = "balance_title_up" if latest.after >= latest.before else "balance_title_down"
    change = words.percent(abs(latest.after / latest.before - 1)) if latest.before else f"{latest.after:,}"
    title = words(key, change=change, n=f"{latest.after:,}", month=words.period(latest.start, "month"))
    names = [words.period(each.start, "month") for each in periods]
    noun = words(f"noun_{report.facts.activity}")
    caption = words("balance_caption", days=report.facts.config.active_days, activity_name=noun)
    return Section("balance", title, column_chart(layers, names, title, y_format=words.number), caption)


def _churn(report: RetentionReport, words: Words) -> Section:
    periods = report.balance
    x = [float(place) for place in range(len(periods))]
    shares = [each.churn for each in periods]
    curve = Curve("", x, [s.value for s in shares], RED, [s.low for s in shares], [s.high for s in shares])
    labels = [(place, words.period(each.start, "month")) for place, each in zip(x, periods, strict=True)]
    month = words.period(periods[-1].start, "month")
    title = words("churn_title", share=words.percent(shares[-1].value), month=month)
    svg = line_chart([curve], title, x_labels=labels, y_format=words.tick)
    return Section("churn", title, svg, words("churn_caption"))


def _life_cycles(found: tuple[StageFigures, ...], report: RetentionReport, words: Words) -> Section:
    total, largest = sum(each.people for each in found), found[0]
    bars = [
        Bar(words.stage(each.name), each.people / total, f"{words.percent(each.people / total)} · {each.people:,}")
        for each in found
    ]
    rows = tuple(_stage_row(each, words) for each in found)
    columns = ("", *(words(f"col_{name}") for name in STAGE_COLUMNS))
    title = words("life_title", share=words.percent(largest.people / total), name=words.stage(largest.name))
    caption = words(
        "life_caption",
        day=words.day(last_day(report.facts.observed.end)),
        days=report.facts.config.active_days,
    )
    return Section("life-cycles", title, bar_chart(bars, title), caption, Grid(columns, rows))


def _stage_row(found: StageFigures, words: Words) -> tuple[str, ...]:
    churn, value = found.churn_probability, found.lifetime_value
    return (
        *(words.stage(found.name), f"{found.people:,}", f"{found.high_value:,}", f"{found.slowing:,}"),
        *("" if churn is None else words.percent(churn), "" if value is None else words.number(value)),
    )


def _missing(report: RetentionReport, words: Words) -> Iterator[str]:
    facts = report.facts
    if not facts.is_recognized:
        yield words("no_person")
    if facts.activity != "purchase":
        yield words("no_order", activity=words.event(facts.activity))
    if not report.balance:
        yield words("no_balance", days=facts.config.active_days)
    if not report.by_channel and facts.activity == "purchase":
        yield words("no_channel")
    if report.life_cycles is None:
        yield words("no_segments")
