"""The sections about lists: what they sold, and the ledger of the long tail and of new items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from recsys.evaluation.attribution import Attribution, PlacementStats
from recsys.evaluation.exposure import Exposure
from training.growth.ledger import PartLedger
from training.growth.reports import GrowthReport
from training.report.charts import Bar, bar_chart
from training.report.growth_page import Grid, Section
from training.report.svg import QUIET, TEAL
from training.report.words import Words

LIST_COLUMNS: Final = ("impressions", "clicks", "ctr", "carts", "purchases", "conversion", "revenue")
MAX_PLACEMENTS: Final = 6


def list_section(found: Attribution, words: Words) -> Section:
    """Show what the lists of each placement sold."""
    rows = _by_placement(found.yields)
    most, total = max(rows, key=lambda row: row[5]), sum(row[5] for row in rows)
    highest = max((row[5] for row in rows), default=0) or 1
    bars = [
        Bar(str(row[0]), row[5] / highest, words("bar_lists", n=f"{row[5]:,}", revenue=_revenue(row[7], words)))
        for row in rows[: 2 * MAX_PLACEMENTS]
    ]
    if total:
        title = words("lists_title", name=most[0], n=f"{most[5]:,}", total=f"{total:,}")
    else:
        title = words("lists_none_sold", n=f"{sum(row[1] for row in rows):,}")
    cells = tuple(_list_row(row, words) for row in rows)
    grid = Grid(("", *(words(f"col_{name}") for name in LIST_COLUMNS)), cells)
    return Section("lists", title, bar_chart(bars, title), words("lists_caption", days=f"{found.window_days:g}"), grid)


def ledger_sections(report: GrowthReport, words: Words) -> Iterator[Section]:
    """Show the ledger of each part of the catalog of which anything is known."""
    for part in report.ledger:
        if part.n_items is not None and (part.sold is not None or part.exposures):
            yield _part_section(part, report, words)


def _part_section(part: PartLedger, report: GrowthReport, words: Words) -> Section:
    n_items = part.n_items or 0
    bars = [
        Bar(
            words("bar_catalog"),
            n_items / max(part.n_catalog, 1),
            words.percent(n_items / max(part.n_catalog, 1)),
            color=QUIET,
        )
    ]
    if part.sold is not None:
        bars.append(Bar(words("bar_sold_shop"), part.sold.value, words.between(part.sold), color=TEAL))
    shown = sorted(part.exposures, key=lambda each: -each.impressions)[:MAX_PLACEMENTS]
    for each in shown:
        promised = part.promised.get(each.placement)
        bars.append(
            Bar(words("bar_shown", name=each.placement), each.shown.value, words.between(each.shown), mark=promised)
        )
        if each.purchases:
            label = words("bar_sold", name=each.placement)
            bars.append(Bar(label, each.sold.value, words.between(each.sold), color=TEAL))
    for name, share in sorted(part.promised.items()) if not part.exposures else ():
        bars.append(Bar(words("bar_promised", name=name), 0.0, words.percent(share), mark=share))
    lines = tuple(_cost(each, report.facts.currency, words) for each in shown if each.cost is not None)
    values = {"items": f"{n_items:,}", "catalog": f"{part.n_catalog:,}", "days": report.facts.config.new_item_days}
    title = _title(part, words)
    return Section(
        f"ledger-{part.part}", title, bar_chart(bars, title), words(f"{part.part}_caption", **values), lines=lines
    )


def _title(part: PartLedger, words: Words) -> str:
    share = words.percent(part.sold.value if part.sold is not None else 0.0)
    n_shown = sum(each.impressions for each in part.exposures)
    if not n_shown:
        return words(f"{part.part}_title", share=share)
    shown = sum(each.shown.value * each.impressions for each in part.exposures) / n_shown
    return words(f"{part.part}_title_shown", share=share, shown=words.percent(shown))


def _cost(each: Exposure, currency: str, words: Words) -> str:
    assert each.cost is not None
    low, high = each.cost.low, each.cost.high
    key = "cost_line" if low > 0 else "gain_line" if high < 0 else "even_line"
    sign = -1 if key == "gain_line" else 1
    bounds = sorted((sign * low, sign * high))
    numbers = {"cost": f"{sign * each.cost.value:,.0f}", "low": f"{bounds[0]:,.0f}", "high": f"{bounds[1]:,.0f}"}
    money = ""
    if each.revenue_cost is not None and sign * each.revenue_cost.value > 0 and key != "even_line":
        money = words("cost_money", value=words.amount(sign * each.revenue_cost.value, currency))
    return words(key, name=each.placement, money=money, **numbers)


ListRow = tuple[str, int, int, float, int, int, float, dict[str, float]]


def _by_placement(yields: tuple[PlacementStats, ...]) -> list[ListRow]:
    """Add up the bundles of each placement, the most sold first."""
    grouped: dict[str, list[PlacementStats]] = defaultdict(list)
    for each in yields:
        grouped[each.placement].append(each)
    rows: list[ListRow] = []
    for name, parts in grouped.items():
        shown, clicks, carts, bought = (
            sum(getattr(part, key) for part in parts) for key in ("impressions", "clicks", "carts", "purchases")
        )
        revenue: dict[str, float] = defaultdict(float)
        for part in parts:
            for currency, amount in part.revenue.items():
                revenue[currency] += amount
        rows.append((name, shown, clicks, clicks / max(shown, 1), carts, bought, bought / max(shown, 1), dict(revenue)))
    return sorted(rows, key=lambda row: (-row[5], -row[1], row[0]))


def _list_row(row: ListRow, words: Words) -> tuple[str, ...]:
    name, shown, clicks, ctr, carts, bought, conversion, revenue = row
    return (
        *(name or words("no_name"), f"{shown:,}", f"{clicks:,}", words.percent(ctr), f"{carts:,}", f"{bought:,}"),
        *(words.percent(conversion), _revenue(revenue, words)),
    )


def _revenue(revenue: dict[str, float], words: Words) -> str:
    return ", ".join(words.amount(amount, currency) for currency, amount in sorted(revenue.items())) or "–"
