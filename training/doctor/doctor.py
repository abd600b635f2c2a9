"""A health check of a folder of tables: its content, its problems, and the lists that it supports."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import TABLES
from recsys.data.dataset import DAY_S, Dataset, build_dataset
from recsys.data.orders import OrderCounts
from recsys.data.service_items import ServiceItem, ServiceItemConfig, find_service_items
from recsys.rules.loader import read_placements
from recsys.rules.rule_effects import own_weights, rule_effects
from training.doctor.consent import ConsentColumn, consent_lines, measure_consents
from training.doctor.dataset_measurements import (
    BasketStats,
    RepeatStats,
    count_head,
    count_learners,
    measure_baskets,
    measure_repeats,
    target_event_name,
)
from training.doctor.feasibility import TARGET_WORDS, DataFacts, ModelFeasibility, counted, grade_models, plural
from training.doctor.ids import NO_IDS, IdHealth, measure_ids
from training.doctor.measurements import (
    BotStats,
    CatalogHealth,
    ClockSkew,
    DayStats,
    count_event_types,
    has_content,
    measure_bots,
    measure_catalog,
    measure_clock,
    measure_days,
    share,
    user_events,
)
from training.doctor.moments import grade_moments
from training.ingest.event_names import listed, mapping_advice


@dataclass(frozen=True)
class DoctorReport:
    """The findings.

    Attributes:
        timezone: IANA zone of the shop, also of the days.
        rows: rows of each table.
        users: different users in events.
        visitors: different visitors in events.
        items: different items in events.
        kinds: events by name, most frequent first, without the order lines that do not count.
        orders: these lines, and what receipt numbers are unique within.
        product_events: events with the id of a product, which count for one of its variants.
        is_catalog_complete: whether items that the items table lacks are not listed.
        goal: name of the target event of the models.
        goals: number of target events.
        days: events by local day.
        catalogue: references between the tables.
        clock: delays and future times.
        bots: suspected bots.
        baskets: baskets, as the models count them.
        repeat_share: share of the target events after a user's first day that repeat an earlier one, in [0, 1].
        service_items: items that are no products, which no list contains.
        duplicates: duplicate rows that the ingest left out.
        rejects: all rows that the ingest left out, by table and reason.
        skipped: events that the ingest skipped because they are not about an item, by name.
        unknown_events: events that the ingest rejected for their unknown names, by name.
        emptied: cells that the ingest emptied, by table, column and reason.
        examples: the first row or cell of each reason, by table.
        ids: ids that are probably not what they seem.
        feeds: the lists that the data supports, by model.
        moments: the moment lists that it supports.
        consents: consents to messages, by column of the users table.
        placements: what to know of a file of placements: its weights that replace learned ones, and its rules that
            keep no item; None without a file.
    """

    timezone: str
    rows: dict[str, int]
    users: int
    visitors: int
    items: int
    kinds: dict[str, int]
    orders: OrderCounts
    product_events: int
    is_catalog_complete: bool
    goal: str
    goals: int
    days: DayStats
    catalogue: CatalogHealth
    clock: ClockSkew
    bots: BotStats
    baskets: BasketStats
    repeat_share: float
    service_items: tuple[ServiceItem, ...]
    duplicates: int
    rejects: dict[str, dict[str, int]]
    skipped: dict[str, int]
    unknown_events: dict[str, int]
    emptied: dict[str, dict[str, int]]
    examples: dict[str, dict[str, str]]
    ids: IdHealth
    feeds: tuple[ModelFeasibility, ...]
    moments: tuple[ModelFeasibility, ...] = ()
    consents: tuple[ConsentColumn, ...] = ()
    placements: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; days are ISO texts.

        `verdict` is the deprecated name of `grade` and will be removed in the next release.
        """
        plain: dict[str, Any] = json.loads(json.dumps(asdict(replace(self, ids=NO_IDS)), default=str))
        plain["ids"] = self.ids.to_dict()
        for feed in plain["feeds"]:
            feed["verdict"] = feed["grade"]
        return plain


def run_doctor(
    data_dir: Path, now: datetime | None = None, placements: Path | None = None, dataset: Dataset | None = None
) -> DoctorReport:
    """Examine a folder that `ingest` wrote.

    Args:
        data_dir: the folder of tables.
        now: aware present moment; events after it are in the future. None counts none.
        placements: a file of placements to check against the catalog.
        dataset: content of the folder if it was read already.

    Returns:
        The report; a folder with items only has no events.

    Raises:
        DataError: the folder does not exist, or a table in it cannot be read.
        ConfigError: with everything that is wrong with the file of placements.
    """
    described = _json_file(data_dir / "dataset.json")
    timezone, is_complete = str(described.get("timezone", "UTC")), bool(described.get("is_catalog_complete"))
    tables = {name: _table(data_dir, name) for name in TABLES}
    events, items = tables["events"], tables["items"]
    ingested = _json_file(report) if (report := data_dir / "report.json").exists() else {}
    if dataset is None:
        dataset = build_dataset(events, items, tables["users"], timezone=timezone, is_catalog_complete=is_complete)
    goal = target_event_name(dataset)
    service_items = find_service_items(dataset, ServiceItemConfig())
    days, baskets, repeats = measure_days(events, timezone), measure_baskets(dataset), measure_repeats(dataset)
    return DoctorReport(
        timezone=timezone,
        rows={name: frame.height for name, frame in tables.items() if _path(data_dir, name).exists()},
        users=events["user_id"].drop_nulls().n_unique(),
        visitors=events["visitor_id"].drop_nulls().n_unique(),
        items=events["item_id"].n_unique(),
        kinds=count_event_types(events, dataset.orders.left_out),
        orders=dataset.orders,
        product_events=dataset.n_product_events,
        is_catalog_complete=is_complete,
        goal=goal,
        goals=len(dataset.target_events),
        days=days,
        catalogue=measure_catalog(tables, goal),
        clock=measure_clock(events, now),
        bots=measure_bots(user_events(events), timezone),
        baskets=baskets,
        repeat_share=repeats.share,
        service_items=service_items,
        duplicates=sum(table.get("duplicates", 0) for table in ingested.values()),
        rejects={name: table["reasons"] for name, table in ingested.items() if table.get("reasons")},
        skipped=ingested.get("events", {}).get("skipped", {}),
        unknown_events=ingested.get("events", {}).get("unknown_events", {}),
        feeds=grade_models(_facts(dataset, items, days, baskets, repeats)),
        moments=grade_moments(tables, repeats.pairs, _n_days(dataset)),
        consents=measure_consents(tables["users"]),
        emptied={name: table["emptied"] for name, table in ingested.items() if table.get("emptied")},
        examples={name: table["examples"] for name, table in ingested.items() if table.get("examples")},
        ids=measure_ids(tables, ingested),
        placements=None if placements is None else _check_placements(placements, data_dir, dataset, service_items),
    )


def _n_days(dataset: Dataset) -> int:
    return (dataset.end - int(dataset.events.timestamp[0])) // DAY_S + 1 if len(dataset.events) else 0


def _check_placements(
    path: Path, data_dir: Path, dataset: Dataset, service_items: tuple[ServiceItem, ...]
) -> tuple[str, ...]:
    items = pl.read_parquet(file, glob=False) if (file := _path(data_dir, "items")).exists() else dataset.catalog
    registry = read_placements(path, items.schema)
    is_service = pl.col("item_id").is_in([item.item_id for item in service_items])
    listable = items.select(pl.col("available").fill_null(True) & ~is_service).to_series().to_numpy()
    lists = registry.placements.values()
    now = datetime.fromtimestamp(dataset.end, UTC) if dataset.end else None
    effects = [effect for placement in lists for effect in rule_effects(placement, items, listable, now)]
    useless = [effect.sentence() for effect in effects if not effect.kept]
    return (*own_weights(lists).values(), *useless)


def _facts(
    dataset: Dataset, items: pl.DataFrame, days: DayStats, baskets: BasketStats, repeats: RepeatStats
) -> DataFacts:
    learners, shared_items = count_learners(dataset)
    return DataFacts(
        target_event=target_event_name(dataset),
        n_targets=len(dataset.target_events),
        target_items=len(np.unique(dataset.target_events.item_idx)),
        learners=learners,
        shared_items=shared_items,
        items=len(dataset.items),
        catalog_items=items.height,
        described=items.filter(has_content()).height,
        categorized=items.filter(pl.col("category").list.len() > 0).height,
        pair_baskets=baskets.pairs,
        by_basket=baskets.by_basket,
        repeat_share=repeats.share,
        repeat_pairs=repeats.pairs,
        finer_than_day=days.finer,
        head_items=count_head(dataset),
    )


def _json_file(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path.parent} has no {path.name}; write the folder with `recsys ingest`") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); write the folder again with `recsys ingest`") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a JSON object; write the folder again with `recsys ingest`")
    return value


def _path(data_dir: Path, name: str) -> Path:
    return data_dir / f"{name}.parquet"


def _table(data_dir: Path, name: str) -> pl.DataFrame:
    """Read a table: its canonical columns, of items and users the shop's own too; what is missing is empty."""
    path, columns = _path(data_dir, name), TABLES[name]
    if not path.exists():
        return pl.DataFrame(schema=columns)
    try:
        known = [each for each in pl.read_parquet_schema(path) if each in columns or name in ("items", "users")]
        table = pl.read_parquet(path, columns=known, glob=False)
        added = (pl.lit(None, dtype).alias(each) for each, dtype in columns.items() if each not in known)
        return table.with_columns(*added).select(*columns, pl.exclude(*columns))
    except (pl.exceptions.PolarsError, OSError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} cannot be read ({first}); write the folder again with `recsys ingest`") from None


def render(report: DoctorReport) -> str:
    """Write the report as plain text in sections, with one finding per line.

    Args:
        report: the findings.

    Returns:
        Text without a final line break.
    """
    sections = {
        "Content": _render_contents(report),
        "Days": _render_days(report),
        "Problems": findings(report) or ["nothing"],
        "Left out by ingest": _render_rejects(report),
        "Supported lists": [
            f"{feed.grade:<4}  {', '.join(feed.lists)} ({feed.model}): {feed.why}"
            for feed in (*report.feeds, *report.moments)
        ],
    }
    sections["Consent to messages"] = consent_lines(report.consents, report.users)
    if report.placements is not None:
        sections["Placements"] = list(report.placements) or ["nothing to report"]
    return "\n\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in sections.items())


def _render_contents(report: DoctorReport) -> list[str]:
    lines = [f"{name}: {counted(count, 'row')}" for name, count in report.rows.items()]
    people = f"{counted(report.users, 'user')}, {counted(report.visitors, 'visitor')}"
    lines.append(f"{people} and {counted(report.items, 'item')} in events")
    lines += [f"{kind}: {counted(count, 'event')}" for kind, count in report.kinds.items()]
    return lines + (_render_goal(report) if report.goals else [])


def _render_goal(report: DoctorReport) -> list[str]:
    word, baskets, lines = TARGET_WORDS[report.goal], report.baskets, []
    if report.goal != "purchase":
        lines.append(f"the target event is a {word} ({report.goal}): stronger events are missing or too few")
    if baskets.count:
        group = counted(baskets.count, "basket" if baskets.by_basket else "user")
        lines.append(f"{group} with target events, {baskets.single_share:.1%} with a single item")
    return [*lines, f"{report.repeat_share:.1%} of {plural(word)} after a user's first day repeat an earlier one"]


def _render_days(report: DoctorReport) -> list[str]:
    days = report.days
    if days.first is None:
        return ["no event"]
    fine = "times of day are known" if days.finer else "dates only, no times of day"
    lines = [
        f"{days.first} to {days.last} ({report.timezone}); {fine}",
        f"{counted(days.active, 'day')} with events, {days.silent:,} without; the median day has {days.median:,.0f}",
        f"busiest: {days.busiest} with {days.most:,}",
    ]
    return lines + [f"no events: {first} to {last}" for first, last in days.gaps]


def findings(report: DoctorReport) -> list[str]:
    """Write what is unusual, one sentence per finding."""
    catalogue, clock, bots = report.catalogue, report.clock, report.bots
    counts = (
        (catalogue.without_content, f"{catalogue.without_content:.1%} of the items have no content"),
        (
            catalogue.orphan_items,
            f"{counted(catalogue.orphan_items, 'item')} of events not in the items table "
            f"({share(catalogue.orphan_events, report.rows.get('events', 0)):.1%} of the events): "
            f"they are {'not listed' if report.is_catalog_complete else 'listed too'}",
        ),
        (
            report.product_events,
            f"{counted(report.product_events, 'event')} of products (item_group_id) count for one of their variants",
        ),
        (catalogue.orphan_users, f"{counted(catalogue.orphan_users, 'user')} of events not in the users table"),
        (
            catalogue.never_bought,
            f"{counted(catalogue.never_bought, 'item')} of the catalog without a {TARGET_WORDS[report.goal]}",
        ),
        (
            catalogue.orphan_offers,
            f"{counted(catalogue.orphan_offers, 'offer')} of {report.rows.get('offers', 0):,} for items that neither "
            "the items table nor an event has: they are not used",
        ),
        (clock.known, f"events arrive {clock.median_s:,.1f} s late (99 %: {clock.p99_s:,.1f} s)"),
        (clock.early, f"{counted(clock.early, 'event')} received before they happened: a clock is wrong"),
        (clock.future, f"{counted(clock.future, 'event')} in the future"),
        (bots.suspects, f"{counted(bots.suspects, 'suspected bot')} ({counted(bots.events, 'event')})"),
    )
    lines = [line for found, line in counts if found] + _render_orders(report.orders)
    lines += [f"suspected bot: {name}, {rate:,.0f} events per day" for name, rate in bots.busiest]
    return lines + [_render_service(item) for item in report.service_items] + report.ids.lines()


def _render_orders(orders: OrderCounts) -> list[str]:
    scope = " and ".join(orders.scope)
    findings = (
        (
            orders.scope,
            f"receipt numbers (basket_id) restart per {scope}: those of each {scope} are orders of their own",
        ),
        (orders.copies, f"{counted(orders.copies, 'order line')} delivered again: each counts once"),
        (
            orders.added,
            f"{counted(orders.added, 'order line')} of an item that is in its order already: they add up",
        ),
        (orders.returned, f"{counted(orders.returned, 'purchase')} returned: they do not count"),
        (orders.part_returns, f"{counted(orders.part_returns, 'refund')} of a part of a purchase, which still counts"),
        (orders.unmatched, f"{counted(orders.unmatched, 'refund')} of purchases that the events do not have"),
    )
    return [line for found, line in findings if found]


def _render_service(item: ServiceItem) -> str:
    signs = [f"in {item.basket_share:.1%} of the baskets"]
    if item.named:
        signs.append("named like a service")
    if item.uncategorized:
        signs.append("without a category")
    if item.price_ratio is not None:
        signs.append(f"its 90th percentile of prices is {item.price_ratio:.1f} times the 10th")
    return f"no product, left out of every list: {item.item_id} ({'; '.join(signs)})"


def _render_rejects(report: DoctorReport) -> list[str]:
    lines = [
        f"{table}: {counted(count, noun)}{effect}: {reason}{_example(report, table, reason)}"
        for noun, effect, found in (("row", "", report.rejects), ("cell", " emptied", report.emptied))
        for table, reasons in found.items()
        for reason, count in reasons.items()
    ]
    if report.skipped:
        lines.append(f"events: skipped, because they are not about an item: {listed(report.skipped)}")
    if report.unknown_events:
        lines.append(f"events: unknown names: {listed(report.unknown_events)}; {mapping_advice(report.unknown_events)}")
    return lines or ["nothing"]


def _example(report: DoctorReport, table: str, reason: str) -> str:
    text = report.examples.get(table, {}).get(reason)
    return f" ({text})" if text else ""
