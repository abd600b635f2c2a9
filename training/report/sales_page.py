"""The page of `recsys report growth`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from training.growth.funnel import REPEAT, CartLoss, FunnelStep
from training.growth.groups import GroupFigures
from training.growth.periods import Unit
from training.growth.reports import GrowthReport
from training.growth.sales import SalesPeriod
from training.report.axis_charts import Curve, Layer, column_chart, line_chart
from training.report.charts import Bar, FunnelBar, bar_chart, funnel_chart
from training.report.growth_page import Grid, Page, Section, Tile, page_of
from training.report.ledger_sections import ledger_sections, list_section
from training.report.svg import AMBER, BLUE, QUIET
from training.report.words import Words

LONG_UNITS: Final[tuple[Unit, ...]] = ("month", "week")
MIN_PERIODS: Final = 3
"""Fewer complete months are shown as weeks, fewer weeks as days."""

GROUP_COLUMNS: Final = ("people", "buyers", "conversion", "orders", "revenue", "arpu", "order_value", "returned")


def growth_page(report: GrowthReport, words: Words) -> Page:
    """Show the figures of growth."""
    config = report.facts.config
    return page_of(
        "growth_title",
        words,
        report.facts,
        report.alerts,
        tiles=list(_tiles(report, words)),
        sections=list(_sections(report, words)),
        missing=list(_missing(report, words)),
        definitions=[
            words("def_funnel"),
            words("def_cart", hours=f"{config.payment_hours:g}"),
            words("def_arpu"),
            words("def_cost"),
            words("def_interval"),
        ],
    )


def _tiles(report: GrowthReport, words: Words) -> Iterator[Tile]:
    now, before, currency = report.window, report.before, report.facts.currency
    for name, key in (("revenue", "revenue"), ("arpu", "arpu"), ("value", "order_value")):
        if (value := getattr(now, key)) is not None:
            yield Tile(words(f"tile_{name}"), words.amount(value, currency), _change(value, before, key, report, words))
    for name, key in (("active_people", "people"), ("buyers", "buyers"), ("orders", "orders")):
        if count := getattr(now, key):
            yield Tile(words(f"tile_{name}"), f"{count:,}", _change(count, before, key, report, words))
    if report.carts.window is not None:
        is_alert = any(alert.what == "cart_loss" for alert in report.alerts)
        limit = words("limit", limit=words.percent(report.facts.config.max_cart_loss))
        yield Tile(words("tile_carts"), words.percent(report.carts.window.loss.value), limit, is_alert)


def _change(value: float, before: SalesPeriod | None, key: str, report: GrowthReport, words: Words) -> str:
    earlier = None if before is None else getattr(before, key)
    days = report.facts.window.n_days
    return words("versus", change=words.change(value, earlier), days=days) if earlier else ""


def _sections(report: GrowthReport, words: Words) -> Iterator[Section]:
    if any(step.people for step in report.funnel):
        yield _funnel(report, words)
    if len(report.carts.weeks) > 1 and report.carts.window is not None:
        yield _carts(report.carts, report, words)
    unit: Unit = next((unit for unit in LONG_UNITS if len(report.sales[unit]) >= MIN_PERIODS), "day")
    periods = report.sales[unit]
    if any(period.orders for period in periods):
        yield _revenue(periods, unit, words, report.facts.currency)
        if any(period.arpu is not None for period in periods):
            yield _arpu(periods, unit, words, report.facts.currency)
    has_lists = report.attribution is not None and bool(report.attribution.yields)
    groups = {"channels": report.channels, "lives": report.life_cycles or ()}
    groups |= {} if has_lists else {"placements": report.placements}
    yield from (_groups(name, each, report, words) for name, each in groups.items() if any(g.orders for g in each))
    if report.attribution is not None and has_lists:
        yield list_section(report.attribution, words)
    yield from ledger_sections(report, words)


def _funnel(report: GrowthReport, words: Words) -> Section:
    steps = report.funnel
    broken = {alert.what for alert in report.alerts}
    bars = [
        FunnelBar(
            words(f"step_{step.name}"),
            step.people,
            f"{step.people:,}",
            _going_on(step, words),
            f"funnel_{step.name}" in broken,
        )
        for step in steps
    ]
    days = report.facts.window.n_days
    rates = [(step.rate.value, place) for place, step in enumerate(steps) if step.rate is not None]
    losses = [(rate, place) for rate, place in rates if steps[place].name != REPEAT]
    if losses:
        rate, place = min(losses)
        names = {"a": bars[place - 1].name, "b": bars[place].name}
        title = words("funnel_title", **names, share=words.percent(1 - rate))
    elif rates:
        title = words("funnel_repeat", n=f"{steps[0].people:,}", share=words.percent(rates[0][0]), days=days)
    else:
        n_people, name = f"{steps[0].people:,}", bars[0].name
        title = words("funnel_one", n=n_people, name=name, days=days)
    return Section("funnel", title, funnel_chart(bars, title), words("funnel_caption", days=days))


def _going_on(step: FunnelStep, words: Words) -> str:
    if step.rate is None:
        return ""
    now = words.percent(step.rate.value)
    if step.rate_before is None:
        return words("go_on", now=now)
    return words("go_on_before", now=now, before=words.percent(step.rate_before.value))


def _carts(carts: CartLoss, report: GrowthReport, words: Words) -> Section:
    assert carts.window is not None
    config, weeks = report.facts.config, carts.weeks
    x = [float(place) for place in range(len(weeks))]
    losses = [week.loss for week in weeks]
    curve = Curve("", x, [s.value for s in losses], BLUE, [s.low for s in losses], [s.high for s in losses])
    every = -(-len(weeks) // 9)
    labels = [(at, words.period(week.start, "week")) for at, week in list(zip(x, weeks, strict=True))[::-every]]
    value, limit = words.percent(carts.window.loss.value), words.percent(config.max_cart_loss)
    is_over = carts.window.loss.value > config.max_cart_loss
    title = words(
        "carts_title_over" if is_over else "carts_title", share=value, hours=f"{config.payment_hours:g}", limit=limit
    )
    mark = (config.max_cart_loss, words("limit", limit=limit))
    svg = line_chart([curve], title, x_labels=labels, y_format=words.tick, limit=mark)
    return Section("carts", title, svg, words("carts_caption", hours=f"{config.payment_hours:g}"))


def _revenue(periods: Sequence[SalesPeriod], unit: Unit, words: Words, currency: str) -> Section:
    names, latest = [words.period(each.start, unit) for each in periods], periods[-1]
    month = names[-1]
    if any(each.revenue is None for each in periods):
        layers = _split([float(each.buyers) for each in periods], [each.new_buyers for each in periods], words)
        title = words("orders_title", n=f"{latest.orders:,}", month=month)
        return Section(
            "orders", title, column_chart(layers, names, title, y_format=words.number), words("orders_caption")
        )
    known = [each.known_revenue or 0.0 for each in periods]
    others = [(each.revenue or 0.0) - part for each, part in zip(periods, known, strict=True)]
    layers = _split(known, [each.new_revenue for each in periods], words)
    if any(other > 1e-6 * max(known, default=1.0) for other in others):
        layers.append(Layer(words("unknown_people"), QUIET, [max(other, 0.0) for other in others]))
    if latest.new_revenue is not None and latest.revenue:
        share = (known[-1] - latest.new_revenue) / latest.revenue
        title = words("revenue_title", share=words.percent(share), month=month)
    else:
        title = words("revenue_title_all", value=words.amount(latest.revenue or 0.0, currency), month=month)
    svg = column_chart(layers, names, title, y_format=words.number)
    unit_of_money = words("in_currency", currency=currency) if currency else ""
    return Section("revenue", title, svg, words("revenue_caption") + unit_of_money)


def _split(whole: Sequence[float], new: Sequence[float | None], words: Words) -> list[Layer]:
    """Split columns into those of new and of returning customers, where it is known who is new."""
    pairs = list(zip(whole, new, strict=True))
    returning = [max(every - part, 0.0) if part is not None else 0.0 for every, part in pairs]
    layers = [
        Layer(words("new_customers"), AMBER, [part or 0.0 for part in new]),
        Layer(words("returning"), BLUE, returning),
    ]
    if None in new:
        either = [every if part is None else 0.0 for every, part in pairs]
        layers.append(Layer(words("new_or_not"), "#a9c3ee", either))
    return layers


def _arpu(periods: Sequence[SalesPeriod], unit: Unit, words: Words, currency: str) -> Section:
    x = [float(place) for place in range(len(periods))]
    curves, is_same = [], all(each.people == each.buyers for each in periods)
    for name, key, color in (("per_person", "arpu", BLUE), ("per_buyer", "arppu", AMBER)):
        values = [getattr(each, key) for each in periods]
        known = [(at, value) for at, value in zip(x, values, strict=True) if value is not None]
        curves.append(Curve("" if is_same else words(name), [at for at, _ in known], [y for _, y in known], color))
    every = -(-len(periods) // 9)
    labels = [(at, words.period(each.start, unit)) for at, each in list(zip(x, periods, strict=True))[::-every]]
    value = words.amount(curves[0].y[-1], currency)
    title = words("arpu_title", value=value, month=words.period(periods[-1].start, unit))
    svg = line_chart(curves[:1] if is_same else curves, title, x_labels=labels, y_format=words.number)
    return Section("arpu", title, svg, words("arpu_caption"))


def _groups(name: str, groups: Sequence[GroupFigures], report: GrowthReport, words: Words) -> Section:
    total = sum(group.orders for group in groups)
    bars = [
        Bar(
            _name(group, name, words),
            group.orders / total,
            f"{words.percent(group.orders / total)} · {group.orders:,}",
            color=BLUE if group.name else QUIET,
        )
        for group in groups
    ]
    best = max(groups, key=lambda group: group.orders)
    share = words.percent(best.orders / total)
    title = words(f"{name}_title", name=_name(best, name, words), share=share)
    rows = tuple(_group_row(group, name, words) for group in groups)
    columns = ("", *(words(f"col_{column}") for column in GROUP_COLUMNS))
    caption = words(f"{name}_caption", days=report.facts.window.n_days)
    return Section(name, title, bar_chart(bars, title), caption, Grid(columns, rows))


def _name(group: GroupFigures, kind: str, words: Words) -> str:
    return (words.stage(group.name) if kind == "lives" else group.name) or words("no_name")


def _group_row(group: GroupFigures, kind: str, words: Words) -> tuple[str, ...]:
    def money(value: float | None) -> str:
        return "" if value is None else words.number(value)

    returned = "" if group.returned is None else words.percent(group.returned.value)
    return (
        *(_name(group, kind, words), f"{group.people:,}", f"{group.buyers:,}"),
        *(words.percent(group.conversion.value), f"{group.orders:,}", money(group.revenue)),
        *(money(group.arpu), money(group.order_value), returned),
    )


def _missing(report: GrowthReport, words: Words) -> Iterator[str]:
    facts = report.facts
    names = {step.name for step in report.funnel}
    if not facts.is_recognized:
        yield words("no_person")
    for name in ("view", "cart"):
        if name not in names:
            yield words(f"no_{name}")
    if facts.activity != "purchase":
        yield words("no_order", activity=words.event(facts.activity))
    elif report.window.revenue is None:
        yield words("no_price")
    if facts.n_other_currency:
        yield words("other_currency", n=f"{facts.n_other_currency:,}", currency=facts.currency)
    if not report.channels:
        yield words("no_channel")
    if report.life_cycles is None:
        yield words("no_segments")
    if report.attribution is None:
        yield words("no_log")
    if any(part.part == "new" and part.n_items is None for part in report.ledger):
        yield words("no_created")
