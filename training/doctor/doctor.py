"""A health check of a folder of tables: what is in it, what is odd, and what it can feed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.core.errors import DataError
from recsys.core.schema import TABLES
from recsys.data.dataset import Dataset, build_dataset
from training.doctor.feasibility import GOAL_WORDS, DataFacts, ModelFeasibility, counted, grade, plural
from training.doctor.measurements import (
    BasketStats,
    BotStats,
    CatalogHealth,
    ClockSkew,
    DayStats,
    RepeatStats,
    count_head,
    count_kinds,
    count_learners,
    has_content,
    measure_baskets,
    measure_bots,
    measure_catalog,
    measure_clock,
    measure_days,
    measure_repeats,
    name_goal,
    share,
    with_person,
)


@dataclass(frozen=True)
class DoctorReport:
    """What was found.

    Attributes:
        timezone: the shop's zone, by which days are told.
        rows: rows by table.
        users: different users in events.
        visitors: different visitors in events.
        items: different items in events.
        kinds: events by name, most frequent first.
        goal: the event that counts as success when models are fitted.
        goals: events of that kind that models are fitted on.
        days: events by local day.
        catalogue: how the tables fit together.
        clock: skew and future times.
        bots: suspected ids.
        baskets: what was taken together, as models take it.
        repeat_share: share of goal events after a shopper's first day that repeat an earlier one, in [0, 1].
        duplicates: rows that the ingest left out because another says the same.
        rejects: all rows that the ingest left out, by table and reason.
        feeds: what the data can feed.
    """

    timezone: str
    rows: dict[str, int]
    users: int
    visitors: int
    items: int
    kinds: dict[str, int]
    goal: str
    goals: int
    days: DayStats
    catalogue: CatalogHealth
    clock: ClockSkew
    bots: BotStats
    baskets: BasketStats
    repeat_share: float
    duplicates: int
    rejects: dict[str, dict[str, int]]
    feeds: tuple[ModelFeasibility, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values; days are ISO texts."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


def run_doctor(data_dir: Path, now: datetime | None = None) -> DoctorReport:
    """Examine a folder that `ingest` wrote.

    Args:
        data_dir: the folder of tables.
        now: aware; events later than this count as future. None counts none.

    Returns:
        The report; a folder of items alone has nothing in its events.

    Raises:
        DataError: there is no such folder, or a table in it cannot be read.
    """
    timezone = str(_json_file(data_dir / "dataset.json").get("timezone", "UTC"))
    tables = {name: _table(data_dir, name) for name in TABLES}
    events, items = tables["events"], tables["items"]
    report = data_dir / "report.json"
    ingested = _json_file(report) if report.exists() else {}
    dataset = build_dataset(events, items, tables["users"], timezone=timezone)
    goal = name_goal(dataset)
    days, baskets, repeats = measure_days(events, timezone), measure_baskets(dataset), measure_repeats(dataset)
    return DoctorReport(
        timezone=timezone,
        rows={name: frame.height for name, frame in tables.items() if _path(data_dir, name).exists()},
        users=events["user_id"].drop_nulls().n_unique(),
        visitors=events["visitor_id"].drop_nulls().n_unique(),
        items=events["item_id"].n_unique(),
        kinds=count_kinds(events),
        goal=goal,
        goals=len(dataset.target_events),
        days=days,
        catalogue=measure_catalog(tables, goal),
        clock=measure_clock(events, now),
        bots=measure_bots(with_person(events), timezone),
        baskets=baskets,
        repeat_share=repeats.share,
        duplicates=sum(table.get("duplicates", 0) for table in ingested.values()),
        rejects={name: table["reasons"] for name, table in ingested.items() if table.get("reasons")},
        feeds=grade(_facts(dataset, items, days, baskets, repeats)),
    )


def _facts(
    dataset: Dataset, items: pl.DataFrame, days: DayStats, baskets: BasketStats, repeats: RepeatStats
) -> DataFacts:
    learners, shared_items = count_learners(dataset)
    return DataFacts(
        goal=name_goal(dataset),
        goals=len(dataset.target_events),
        goal_items=len(np.unique(dataset.target_events.item_idx)),
        learners=learners,
        shared_items=shared_items,
        items=len(dataset.items),
        catalogue=items.height,
        described=items.filter(has_content()).height,
        categorised=items.filter(pl.col("category").list.len() > 0).height,
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
        raise DataError(f"{path.parent} holds no {path.name}; write the folder with `recsys ingest`") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); write the folder again with `recsys ingest`") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no object; write the folder again with `recsys ingest`")
    return value


def _path(data_dir: Path, name: str) -> Path:
    return data_dir / f"{name}.parquet"


def _table(data_dir: Path, name: str) -> pl.DataFrame:
    """The canonical columns of a table; no rows where the folder has none of that name."""
    path = _path(data_dir, name)
    if not path.exists():
        return pl.DataFrame(schema=TABLES[name])
    try:
        return pl.read_parquet(path, columns=list(TABLES[name]), glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} cannot be read ({first}); write the folder again with `recsys ingest`") from None


def render(report: DoctorReport) -> str:
    """The report for people: plain text in sections, one finding a line.

    Args:
        report: what `run_doctor` found.

    Returns:
        Text that ends without a line break.
    """
    sections = {
        "What is there": _render_contents(report),
        "Days": _render_days(report),
        "What is odd": _render_findings(report),
        "Left out by the ingest": _render_rejects(report),
        "What it can feed": [
            f"{feed.verdict:<4}  {', '.join(feed.lists)} ({feed.model}): {feed.why}" for feed in report.feeds
        ],
    }
    return "\n\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in sections.items())


def _render_contents(report: DoctorReport) -> list[str]:
    lines = [f"{name}: {counted(count, 'row')}" for name, count in report.rows.items()]
    people = f"{counted(report.users, 'user')}, {counted(report.visitors, 'visitor')}"
    lines.append(f"{people} and {counted(report.items, 'item')} in events")
    lines += [f"{kind}: {counted(count, 'event')}" for kind, count in report.kinds.items()]
    return lines + (_render_goal(report) if report.goals else [])


def _render_goal(report: DoctorReport) -> list[str]:
    word, baskets, lines = GOAL_WORDS[report.goal], report.baskets, []
    if report.goal != "purchase":
        lines.append(f"success is a {word} ({report.goal}): stronger events are missing or too few")
    if baskets.count:
        group = counted(baskets.count, "basket" if baskets.by_basket else "shopper")
        lines.append(f"{group} to learn from what is taken together, {baskets.single_share:.1%} of one item alone")
    return [*lines, f"{report.repeat_share:.1%} of {plural(word)} after a shopper's first day repeat an earlier one"]


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
    return lines + [f"silent: {first} to {last}" for first, last in days.gaps]


def _render_findings(report: DoctorReport) -> list[str]:
    catalogue, clock, bots = report.catalogue, report.clock, report.bots
    findings = (
        (catalogue.without_content, f"{catalogue.without_content:.1%} of the items have no content"),
        (
            catalogue.orphan_items,
            f"{counted(catalogue.orphan_items, 'item')} of events not in the items table "
            f"({share(catalogue.orphan_events, report.rows.get('events', 0)):.1%} of the events)",
        ),
        (catalogue.orphan_users, f"{counted(catalogue.orphan_users, 'user')} of events not in the users table"),
        (
            catalogue.never_bought,
            f"{counted(catalogue.never_bought, 'item')} of the catalogue without a {GOAL_WORDS[report.goal]}",
        ),
        (
            catalogue.orphan_offers,
            f"{counted(catalogue.orphan_offers, 'offer')} of {report.rows.get('offers', 0):,} for items that neither "
            "the items table nor an event names: nothing comes of them",
        ),
        (clock.known, f"events arrive {clock.median_s:,.1f} s late (99 %: {clock.p99_s:,.1f} s)"),
        (clock.early, f"{counted(clock.early, 'event')} received before happening: a clock is wrong"),
        (clock.future, f"{counted(clock.future, 'event')} in the future"),
        (bots.suspects, f"{counted(bots.suspects, 'suspected bot')} ({counted(bots.events, 'event')})"),
    )
    lines = [line for found, line in findings if found]
    lines += [f"suspected bot: {name}, {rate:,.0f} events a day" for name, rate in bots.busiest]
    return lines or ["nothing"]


def _render_rejects(report: DoctorReport) -> list[str]:
    lines = [
        f"{table}: {counted(count, 'row')}: {reason}"
        for table, reasons in report.rejects.items()
        for reason, count in reasons.items()
    ]
    return lines or ["nothing"]
